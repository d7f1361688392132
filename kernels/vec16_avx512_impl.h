/* kernels/vec16_avx512_impl.h - sixteen floats as one AVX-512 register. For the notes on each function see
 * vec16_avx2_impl.h, which has the same list. */
#pragma once

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

#define TILE_ROWS   4
#define TILE_TOKENS 4
enum { ATTEND_SUMS = 16 }; /* sixteen sums in either kind of tile: half of the registers */

typedef __m512 vec16;

INLINE vec16 v16_set(float value) {
    return _mm512_set1_ps(value);
}
INLINE vec16 v16_load(const void *source) {
    return _mm512_loadu_ps(source);
}
INLINE void v16_store(void *target, vec16 v) {
    _mm512_storeu_ps(target, v);
}
INLINE vec16 v16_add(vec16 a, vec16 b) {
    return _mm512_add_ps(a, b);
}
INLINE vec16 v16_sub(vec16 a, vec16 b) {
    return _mm512_sub_ps(a, b);
}
INLINE vec16 v16_mul(vec16 a, vec16 b) {
    return _mm512_mul_ps(a, b);
}
INLINE vec16 v16_div(vec16 a, vec16 b) {
    return _mm512_div_ps(a, b);
}
INLINE vec16 v16_fma(vec16 a, vec16 b, vec16 c) {
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vec16 v16_max(vec16 x, vec16 max) {
    return _mm512_max_ps(x, max);
}
INLINE vec16 v16_where_greater(vec16 a, vec16 b, vec16 yes, vec16 no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}
INLINE vec16 v16_shift_left_23(vec16 v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 23));
}

INLINE vec16 v16_load_f16(const void *source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(source));
}
INLINE vec16 v16_load_bf16(const void *source) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(source)), 16));
}
INLINE void v16_store_f16(void *target, vec16 v) {
    _mm256_storeu_si256(target, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE void v16_store_bf16(void *target, vec16 v) {
    const __m512i bits = _mm512_castps_si512(v), high = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    _mm256_storeu_si256(target, _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(is_nan, rounded, quiet)));
}

INLINE vec16 v16_block_scale(const uint8_t *block) {
    int16_t half;
    memcpy(&half, block, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}
INLINE vec16 v16_load_q8_0_half(const uint8_t *block, int64_t half) {
    const __m128i bytes = _mm_loadu_si128((const void *)(block + 2 + 16 * half));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), v16_block_scale(block));
}
INLINE void v16_load_q8_0(const uint8_t *block, vec16 pair[2]) {
    const vec16 scale = v16_block_scale(block);
    for (int i = 0; i < 2; i++) {
        const __m128i bytes = _mm_loadu_si128((const void *)(block + 2 + 16 * i));
        pair[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), scale);
    }
}
/* The sixteen values that a nibble can stand for, looked up: vpermps reads the low four bits only. */
INLINE void v16_load_q4_0(const uint8_t *block, vec16 pair[2]) {
    const vec16 nibble_values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    const vec16 table = _mm512_mul_ps(nibble_values, v16_block_scale(block));
    const __m512i low = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(block + 2)));
    pair[0] = _mm512_permutexvar_ps(low, table);
    pair[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(low, 4), table);
}

INLINE int v16_indices_at_most(const uint32_t *words, uint32_t limit, int32_t first, int32_t *indices) {
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __mmask16 found =
        _mm512_cmple_epu32_mask(_mm512_loadu_si512(words), _mm512_set1_epi32((int32_t)limit));
    _mm512_storeu_si512(
        indices, _mm512_maskz_compress_epi32(found, _mm512_add_epi32(places, _mm512_set1_epi32(first))));
    return __builtin_popcount(found);
}

INLINE void v16_sum4(const vec16 v[4], float sums[4]) {
    /* l + l+8, two vectors in one; then l + l+4, four in one, one per quarter */
    const vec16 ab =
        _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const vec16 cd =
        _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    vec16 all = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e)); /* l + l+2 */
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0xb1)); /* l + l+1 */
    const __m512i quarters = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    _mm_storeu_ps(sums, _mm512_castps512_ps128(_mm512_permutexvar_ps(quarters, all)));
}
/* As v16_sum4: each step of the tree halves the vectors, so that the lanes stay full. */
INLINE vec16 v16_sum16(const vec16 v[16]) {
    vec16 eights[8], fours[4], twos[2];
    for (int i = 0; i < 8; i++)
        eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44),
                                  _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xee));
    for (int i = 0; i < 4; i++)
        fours[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eights[2 * i], eights[2 * i + 1], 0x88),
                                 _mm512_shuffle_f32x4(eights[2 * i], eights[2 * i + 1], 0xdd));
    for (int i = 0; i < 2; i++)
        twos[i] = _mm512_add_ps(_mm512_shuffle_ps(fours[2 * i], fours[2 * i + 1], 0x44),
                                _mm512_shuffle_ps(fours[2 * i], fours[2 * i + 1], 0xee));
    const vec16 all =
        _mm512_add_ps(_mm512_shuffle_ps(twos[0], twos[1], 0x88), _mm512_shuffle_ps(twos[0], twos[1], 0xdd));
    const __m512i places = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(places, all);
}

INLINE bool v16_all_below(vec16 v, float limit) {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), _mm512_set1_ps(limit), _CMP_LT_OQ) == 0xffff;
}
INLINE void add_half_to_grid(__m256 v, int64_t sums[8]) {
    const __m512d units = _mm512_mul_pd(_mm512_cvtps_pd(v), _mm512_set1_pd(EXACT_UNITS_PER_ONE));
    _mm512_storeu_si512(sums, _mm512_add_epi64(_mm512_loadu_si512(sums), _mm512_cvtpd_epi64(units)));
}
INLINE void v16_add_to_grid(vec16 v, int64_t sums[16]) {
    add_half_to_grid(_mm512_castps512_ps256(v), sums);
    add_half_to_grid(_mm512_extractf32x8_ps(v, 1), sums + 8);
}
