/* kernels/six_bits_sse_impl.h - the scales and mins of q4_k and q5_k, for both x86 sets. */
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/packed.h"

/* Bits 2 and 3 of a byte go above the nibbles of another, from `shift` on. */
static inline __attribute__((always_inline)) void six_bits(const uint8_t *low, const uint8_t *high, int shift,
                                                           __m128i *scales, __m128i *mins) {
    const __m128i nibble = _mm_set1_epi8(15), top = _mm_set1_epi8(0x30);
    const __m128i nibbles = _mm_loadu_si128((const void *)low);
    const __m128i bits = _mm_srl_epi16(_mm_loadu_si128((const void *)high), _mm_cvtsi32_si128(shift));
    *scales = _mm_or_si128(_mm_and_si128(nibbles, nibble), _mm_and_si128(_mm_slli_epi16(bits, 4), top));
    *mins = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(nibbles, 4), nibble),
                         _mm_and_si128(_mm_slli_epi16(bits, 2), top));
}
