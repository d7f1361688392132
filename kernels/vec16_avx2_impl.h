/* kernels/vec16_avx2_impl.h - sixteen floats as two AVX registers, and what a set needs to do with them.
 *
 * simd_*_impl.h are written over this list alone, so a further instruction set is one
 * more header like this one and a file that includes it (NEON: four float32x4_t). Pointers need no alignment.
 */
#pragma once

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* The shape of a tile of products, and the sums of a tile of weighted values: chosen so that they fill the
 * 16 registers and leave some for the operands. */
#define TILE_ROWS   2
#define TILE_TOKENS 3
enum { ATTEND_SUMS = 4 };

typedef struct {
    __m256 low, high; /* lanes 0-7, 8-15 */
} vec16;

INLINE vec16 v16_set(float value) {
    return (vec16){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
INLINE vec16 v16_load(const void *source) {
    const float *values = source;
    return (vec16){_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
}
INLINE void v16_store(void *target, vec16 v) {
    float *values = target;
    _mm256_storeu_ps(values, v.low);
    _mm256_storeu_ps(values + 8, v.high);
}
INLINE vec16 v16_add(vec16 a, vec16 b) {
    return (vec16){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
INLINE vec16 v16_sub(vec16 a, vec16 b) {
    return (vec16){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
INLINE vec16 v16_mul(vec16 a, vec16 b) {
    return (vec16){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
INLINE vec16 v16_div(vec16 a, vec16 b) {
    return (vec16){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
/* a * b + c, rounded once */
INLINE vec16 v16_fma(vec16 a, vec16 b, vec16 c) {
    return (vec16){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
/* x > max ? x : max, so a NaN in x is passed over */
INLINE vec16 v16_max(vec16 x, vec16 max) {
    return (vec16){_mm256_max_ps(x.low, max.low), _mm256_max_ps(x.high, max.high)};
}
/* a > b ? yes : no */
INLINE vec16 v16_where_greater(vec16 a, vec16 b, vec16 yes, vec16 no) {
    return (vec16){_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ)),
                   _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ))};
}
INLINE __m256 shift_left_23(__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 23));
}
/* the bits of every lane, shifted */
INLINE vec16 v16_shift_left_23(vec16 v) {
    return (vec16){shift_left_23(v.low), shift_left_23(v.high)};
}

INLINE vec16 v16_load_f16(const void *source) {
    const __m128i *halves = source;
    return (vec16){_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
INLINE __m256 from_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
INLINE vec16 v16_load_bf16(const void *source) {
    const __m128i *halves = source;
    return (vec16){from_bf16(_mm_loadu_si128(halves)), from_bf16(_mm_loadu_si128(halves + 1))};
}
/* Both round to nearest, ties to even, and keep a NaN a NaN. */
INLINE void v16_store_f16(void *target, vec16 v) {
    __m128i *halves = target;
    _mm_storeu_si128(halves, _mm256_cvtps_ph(v.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(v.high, _MM_FROUND_TO_NEAREST_INT));
}
INLINE __m128i to_bf16(__m256 v) {
    const __m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
INLINE void v16_store_bf16(void *target, vec16 v) {
    __m128i *halves = target;
    _mm_storeu_si128(halves, to_bf16(v.low));
    _mm_storeu_si128(halves + 1, to_bf16(v.high));
}

/* A quantised block's 32 weights, exactly. */
INLINE __m256 block_scale(const uint8_t *block) {
    int16_t half;
    memcpy(&half, block, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
}
INLINE __m256 scaled_bytes(__m128i bytes, __m256 scale) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scale);
}
INLINE vec16 v16_scaled_bytes(__m128i bytes, __m256 scale) {
    return (vec16){scaled_bytes(bytes, scale), scaled_bytes(_mm_srli_si128(bytes, 8), scale)};
}
INLINE vec16 v16_load_q8_0_half(const uint8_t *block, int64_t half) { /* its first or its last sixteen */
    return v16_scaled_bytes(_mm_loadu_si128((const void *)(block + 2 + 16 * half)), block_scale(block));
}
INLINE void v16_load_q8_0(const uint8_t *block, vec16 pair[2]) {
    const __m256 scale = block_scale(block);
    pair[0] = v16_scaled_bytes(_mm_loadu_si128((const void *)(block + 2)), scale);
    pair[1] = v16_scaled_bytes(_mm_loadu_si128((const void *)(block + 18)), scale);
}
INLINE void v16_load_q4_0(const uint8_t *block, vec16 pair[2]) {
    const __m256 scale = block_scale(block);
    const __m128i bytes = _mm_loadu_si128((const void *)(block + 2));
    const __m128i mask = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    pair[0] = v16_scaled_bytes(_mm_sub_epi8(_mm_and_si128(bytes, mask), eight), scale);
    pair[1] = v16_scaled_bytes(_mm_sub_epi8(high, eight), scale);
}

INLINE uint32_t at_most(const uint32_t *words, __m256i limit) {
    const __m256i v = _mm256_loadu_si256((const void *)words);
    const __m256i found = _mm256_cmpeq_epi32(_mm256_min_epu32(v, limit), v);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(found));
}
/* first + i for every i < 16 with words[i] <= limit, ascending; returns how many. All 16 indices may be
 * overwritten. */
INLINE int v16_indices_at_most(const uint32_t *words, uint32_t limit, int32_t first, int32_t *indices) {
    const __m256i limits = _mm256_set1_epi32((int32_t)limit);
    int n = 0;
    for (uint32_t found = at_most(words, limits) | at_most(words + 8, limits) << 8; found; found &= found - 1)
        indices[n++] = first + __builtin_ctz(found);
    return n;
}

/* The sums of four vectors, each as the tree l + l+8, l + l+4, l + l+2, l + l+1. */
INLINE __m128 sum4(const vec16 v[4]) {
    __m256 eights[4];
    for (int i = 0; i < 4; i++)
        eights[i] = _mm256_add_ps(v[i].low, v[i].high);
    const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(eights[0], eights[1], 0x20),
                                    _mm256_permute2f128_ps(eights[0], eights[1], 0x31));
    const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(eights[2], eights[3], 0x20),
                                    _mm256_permute2f128_ps(eights[2], eights[3], 0x31));
    const __m256 pairs = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    const __m256 all = _mm256_hadd_ps(pairs, pairs); /* a c a c | b d b d */
    return _mm_unpacklo_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}
INLINE void v16_sum4(const vec16 v[4], float sums[4]) {
    _mm_storeu_ps(sums, sum4(v));
}
INLINE vec16 v16_sum16(const vec16 v[16]) { /* of sixteen vectors */
    return (vec16){_mm256_set_m128(sum4(v + 4), sum4(v)), _mm256_set_m128(sum4(v + 12), sum4(v + 8))};
}

INLINE __m256 magnitude_of(__m256 v) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}
/* Are all magnitudes below the limit? A NaN is not. */
INLINE bool v16_all_below(vec16 v, float limit) {
    const __m256 low = _mm256_cmp_ps(magnitude_of(v.low), _mm256_set1_ps(limit), _CMP_LT_OQ);
    const __m256 high = _mm256_cmp_ps(magnitude_of(v.high), _mm256_set1_ps(limit), _CMP_LT_OQ);
    return _mm256_movemask_ps(_mm256_and_ps(low, high)) == 0xff;
}
/* sums[i] += v[i] in units of the grid, to nearest, ties to even; |v| < EXACT_BLOCK_LIMIT. */
INLINE void v16_add_to_grid(vec16 v, int64_t sums[16]) {
    float values[16];
    v16_store(values, v);
    for (int i = 0; i < 16; i++)
        sums[i] += _mm_cvtsd_si64(_mm_set_sd((double)values[i] * EXACT_UNITS_PER_ONE));
}
