/* kernels/dot16_avx512_impl.h - sixteen integer dot products side by side, with VNNI. dot16_avx2_impl.h says
 * what each function does. */
#pragma once

#include "kernels/six_bits_sse_impl.h"
#include "kernels/vec16_avx512_impl.h"

/* Tokens x panels of a tile: their sums, integers and floats, fill most of the 32 registers. */
#define QUANT_TOKENS 4
#define QUANT_PANELS 2

typedef __m512i bytes64;
typedef __m512i word16;
typedef __m512i sums16;

INLINE bytes64 b64_load(const uint8_t *source) {
    return _mm512_loadu_si512(source);
}
INLINE bytes64 b64_low_nibbles(bytes64 v) {
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}
INLINE bytes64 b64_high_nibbles(bytes64 v) {
    return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}
/* The shift is a constant, but not yet where the compiler looks at an intrinsic's. */
INLINE bytes64 b64_with_bits(bytes64 nibbles, bytes64 plane, int first, int8_t mask) {
    typedef uint16_t words __attribute__((vector_size(64)));
    const words bits = first < 4 ? (words)plane << (4 - first) : (words)plane >> (first - 4);
    return _mm512_or_si512(nibbles, _mm512_and_si512((__m512i)bits, _mm512_set1_epi8(mask)));
}
INLINE word16 w16_broadcast(const int8_t *source) {
    int32_t word;
    memcpy(&word, source, sizeof word);
    return _mm512_set1_epi32(word);
}
/* vpdpbusd multiplies unsigned with signed bytes: (w + 128) x - 128 x */
INLINE sums16 s16_start_bytes(const int32_t *minus_sum) {
    return _mm512_slli_epi32(_mm512_set1_epi32(*minus_sum), 7);
}
INLINE sums16 s16_start_nibbles(const int32_t *minus_sum) {
    return _mm512_slli_epi32(_mm512_set1_epi32(*minus_sum), 3);
}
INLINE sums16 s16_set(int32_t value) {
    return _mm512_set1_epi32(value);
}
INLINE sums16 s16_add_bytes(sums16 sums, bytes64 w, word16 x) {
    return _mm512_dpbusd_epi32(sums, w, x);
}
INLINE sums16 s16_add_nibbles(sums16 sums, bytes64 w, word16 x) {
    return _mm512_dpbusd_epi32(sums, w, x);
}
INLINE vec16 s16_to_float(sums16 sums) {
    return _mm512_cvtepi32_ps(sums);
}

INLINE void v16_load_six_bits(const uint8_t *low, const uint8_t *high, int shift, vec16 *scales,
                              vec16 *mins) {
    __m128i scale_bytes, min_bytes;
    six_bits(low, high, shift, &scale_bytes, &min_bytes);
    *scales = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(scale_bytes));
    *mins = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(min_bytes));
}
INLINE vec16 v16_load_i8(const uint8_t *source) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)source)));
}

INLINE uint32_t v16_largest_magnitude(vec16 a, vec16 b) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                                                    _mm512_and_si512(_mm512_castps_si512(b), magnitude)));
}
INLINE int32_t v16_round_to_bytes(vec16 v, int8_t *target) {
    const __m512i rounded = _mm512_cvtps_epi32(v);
    _mm_storeu_si128((void *)target, _mm512_cvtepi32_epi8(rounded));
    return _mm512_reduce_add_epi32(rounded);
}
