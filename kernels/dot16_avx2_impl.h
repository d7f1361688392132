/* kernels/dot16_avx2_impl.h - sixteen integer dot products side by side: what simd_quantized_impl.h needs
 * beside vec16. All of it is exact. */
#pragma once

#include "kernels/six_bits_sse_impl.h"
#include "kernels/vec16_avx2_impl.h"

/* Tokens x panels of a tile: its sums, integers and floats, leave some of the 16 registers free. */
#define QUANT_TOKENS 2
#define QUANT_PANELS 1

typedef struct { /* four bytes of each of sixteen rows */
    __m256i low, high;
} bytes64;
typedef __m256i word16; /* the same four bytes for all rows */
typedef struct {        /* an int32 of each row */
    __m256i low, high;
} sums16;

INLINE bytes64 b64_load(const uint8_t *source) {
    return (bytes64){_mm256_loadu_si256((const void *)source),
                     _mm256_loadu_si256((const void *)(source + 32))};
}
INLINE bytes64 b64_low_nibbles(bytes64 v) {
    const __m256i mask = _mm256_set1_epi8(15);
    return (bytes64){_mm256_and_si256(v.low, mask), _mm256_and_si256(v.high, mask)};
}
INLINE bytes64 b64_high_nibbles(bytes64 v) {
    const __m256i mask = _mm256_set1_epi8(15);
    return (bytes64){_mm256_and_si256(_mm256_srli_epi16(v.low, 4), mask),
                     _mm256_and_si256(_mm256_srli_epi16(v.high, 4), mask)};
}
/* v with bits of a plane, from bit `first` on, above the nibbles: as those bits of `mask` */
INLINE __m256i with_bits(__m256i v, __m256i plane, int first, int8_t mask) {
    const __m256i bits =
        first < 4 ? _mm256_slli_epi16(plane, 4 - first) : _mm256_srli_epi16(plane, first - 4);
    return _mm256_or_si256(v, _mm256_and_si256(bits, _mm256_set1_epi8(mask)));
}
INLINE bytes64 b64_with_bits(bytes64 nibbles, bytes64 plane, int first, int8_t mask) {
    return (bytes64){with_bits(nibbles.low, plane.low, first, mask),
                     with_bits(nibbles.high, plane.high, first, mask)};
}
INLINE word16 w16_broadcast(const int8_t *source) {
    int32_t word;
    memcpy(&word, source, sizeof word);
    return _mm256_set1_epi32(word);
}

/* Weights are stored as w + 128 in bytes, w + 8 in nibbles. The sum of (w + c) x over a block is c sum(x) too
 * large: a set may start its sums with what takes that away, or subtract c from the weights. */
INLINE sums16 s16_start_bytes(const int32_t *minus_sum) {
    (void)minus_sum;
    return (sums16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
INLINE sums16 s16_start_nibbles(const int32_t *minus_sum) {
    const __m256i start = _mm256_slli_epi32(_mm256_set1_epi32(*minus_sum), 3);
    return (sums16){start, start};
}
INLINE sums16 s16_set(int32_t value) {
    return (sums16){_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
}
/* vpmaddubsw adds pairs of products in 16 bits: |w| x with w's sign on x stays within 2 x 128 x 127. */
INLINE __m256i add_signed(__m256i sums, __m256i offset_weights, __m256i x) {
    const __m256i w = _mm256_xor_si256(offset_weights, _mm256_set1_epi8(-128));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
INLINE __m256i add_small(__m256i sums, __m256i w, __m256i x) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}
/* sums += the four weights of every row times the four x; "nibbles" have up to 6 bits */
INLINE sums16 s16_add_bytes(sums16 sums, bytes64 w, word16 x) {
    return (sums16){add_signed(sums.low, w.low, x), add_signed(sums.high, w.high, x)};
}
INLINE sums16 s16_add_nibbles(sums16 sums, bytes64 w, word16 x) {
    return (sums16){add_small(sums.low, w.low, x), add_small(sums.high, w.high, x)};
}
INLINE vec16 s16_to_float(sums16 sums) {
    return (vec16){_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
}

INLINE vec16 v16_of_bytes(__m128i bytes) {
    return (vec16){_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
                   _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
/* Sixteen 6-bit scales and mins: a nibble each in `low`, 2 bits each from bit `shift` of `high` on. */
INLINE void v16_load_six_bits(const uint8_t *low, const uint8_t *high, int shift, vec16 *scales,
                              vec16 *mins) {
    __m128i scale_bytes, min_bytes;
    six_bits(low, high, shift, &scale_bytes, &min_bytes);
    *scales = v16_of_bytes(scale_bytes);
    *mins = v16_of_bytes(min_bytes);
}
INLINE vec16 v16_load_i8(const uint8_t *source) {
    return v16_scaled_bytes(_mm_loadu_si128((const void *)source), _mm256_set1_ps(1));
}

INLINE __m256i magnitude_bits(__m256 v) {
    return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
/* The largest of 32 floats without their signs, as bits: of these a NaN has more than any number. */
INLINE uint32_t v16_largest_magnitude(vec16 a, vec16 b) {
    const __m256i eight = _mm256_max_epu32(_mm256_max_epu32(magnitude_bits(a.low), magnitude_bits(a.high)),
                                           _mm256_max_epu32(magnitude_bits(b.low), magnitude_bits(b.high)));
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1)));
}
/* Sixteen values of at most 127 in magnitude, to nearest even; returns their sum. */
INLINE int32_t v16_round_to_bytes(vec16 v, int8_t *target) {
    const __m256i low = _mm256_cvtps_epi32(v.low), high = _mm256_cvtps_epi32(v.high);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    _mm_storeu_si128((void *)target,
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    const __m256i eight = _mm256_add_epi32(low, high);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
