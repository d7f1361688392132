/* kernels/dot16_neon_impl.h - sixteen integer dot products side by side, with the dot-product instructions
 * where the file that includes this is compiled for them, and without otherwise. dot16_avx2_impl.h says what
 * each function does. */
#pragma once

#include "kernels/vec16_neon_impl.h"

/* Tokens x panels of a tile: its integer sums are sixteen registers, its floats wait in the other sixteen or
 * in memory until a block is through. */
#define QUANT_TOKENS 4
#define QUANT_PANELS 1

typedef struct {
    uint8x16_t quarter[QUARTERS]; /* of rows 0-3, 4-7, 8-11, 12-15 */
} bytes64;
typedef int8x16_t word16;
typedef struct {
    int32x4_t quarter[QUARTERS];
} sums16;

INLINE bytes64 b64_load(const uint8_t *source) {
    bytes64 v;
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vld1q_u8(source + 16 * i);
    return v;
}
INLINE bytes64 b64_low_nibbles(bytes64 v) {
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vandq_u8(v.quarter[i], vdupq_n_u8(15));
    return v;
}
INLINE bytes64 b64_high_nibbles(bytes64 v) {
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vshrq_n_u8(v.quarter[i], 4);
    return v;
}
/* A shift to the left by a negative number is one to the right. */
INLINE bytes64 b64_with_bits(bytes64 nibbles, bytes64 plane, int first, int8_t mask) {
    const int8x16_t shift = vdupq_n_s8((int8_t)(4 - first));
    for (int i = 0; i < QUARTERS; i++) {
        const uint8x16_t bits = vandq_u8(vshlq_u8(plane.quarter[i], shift), vdupq_n_u8((uint8_t)mask));
        nibbles.quarter[i] = vorrq_u8(nibbles.quarter[i], bits);
    }
    return nibbles;
}
INLINE word16 w16_broadcast(const int8_t *source) {
    int32_t word;
    memcpy(&word, source, sizeof word);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

/* Signed bytes are multiplied with signed ones, so that a sign to flip is all that weights in bytes need. */
INLINE sums16 s16_start_bytes(const int32_t *minus_sum) {
    (void)minus_sum;
    const int32x4_t zero = vdupq_n_s32(0);
    return (sums16){{zero, zero, zero, zero}};
}
INLINE sums16 s16_start_nibbles(const int32_t *minus_sum) {
    const int32x4_t start = vshlq_n_s32(vdupq_n_s32(*minus_sum), 3);
    return (sums16){{start, start, start, start}};
}
INLINE sums16 s16_set(int32_t value) {
    const int32x4_t all = vdupq_n_s32(value);
    return (sums16){{all, all, all, all}};
}
INLINE int32x4_t add_products(int32x4_t sums, int8x16_t w, int8x16_t x) {
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sums, w, x);
#else
    /* Two products, at most 128 x 127 each, still fit 16 bits. */
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vpadalq_s16(sums, vpaddq_s16(low, high));
#endif
}
INLINE sums16 s16_add_bytes(sums16 sums, bytes64 w, word16 x) {
    for (int i = 0; i < QUARTERS; i++) {
        const uint8x16_t without_offset = veorq_u8(w.quarter[i], vdupq_n_u8(128));
        sums.quarter[i] = add_products(sums.quarter[i], vreinterpretq_s8_u8(without_offset), x);
    }
    return sums;
}
INLINE sums16 s16_add_nibbles(sums16 sums, bytes64 w, word16 x) {
    for (int i = 0; i < QUARTERS; i++)
        sums.quarter[i] = add_products(sums.quarter[i], vreinterpretq_s8_u8(w.quarter[i]), x);
    return sums;
}
INLINE vec16 s16_to_float(sums16 sums) {
    vec16 v;
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vcvtq_f32_s32(sums.quarter[i]);
    return v;
}

INLINE void v16_load_six_bits(const uint8_t *low, const uint8_t *high, int shift, vec16 *scales,
                              vec16 *mins) {
    const uint8x16_t nibbles = vld1q_u8(low), top = vdupq_n_u8(0x30);
    const uint8x16_t bits = vshlq_u8(vld1q_u8(high), vdupq_n_s8((int8_t)-shift));
    const uint8x16_t scale = vorrq_u8(vandq_u8(nibbles, vdupq_n_u8(15)), vandq_u8(vshlq_n_u8(bits, 4), top));
    const uint8x16_t min = vorrq_u8(vshrq_n_u8(nibbles, 4), vandq_u8(vshlq_n_u8(bits, 2), top));
    *scales = v16_scaled_bytes(vreinterpretq_s8_u8(scale), vdupq_n_f32(1));
    *mins = v16_scaled_bytes(vreinterpretq_s8_u8(min), vdupq_n_f32(1));
}
INLINE vec16 v16_load_i8(const uint8_t *source) {
    return v16_scaled_bytes(vreinterpretq_s8_u8(vld1q_u8(source)), vdupq_n_f32(1));
}

INLINE uint32_t v16_largest_magnitude(vec16 a, vec16 b) {
    uint32x4_t largest = vdupq_n_u32(0);
    for (int i = 0; i < QUARTERS; i++) {
        largest = vmaxq_u32(largest, vreinterpretq_u32_f32(vabsq_f32(a.quarter[i])));
        largest = vmaxq_u32(largest, vreinterpretq_u32_f32(vabsq_f32(b.quarter[i])));
    }
    return vmaxvq_u32(largest);
}
INLINE int32_t v16_round_to_bytes(vec16 v, int8_t *target) {
    int32x4_t rounded[QUARTERS];
    for (int i = 0; i < QUARTERS; i++)
        rounded[i] = vcvtnq_s32_f32(v.quarter[i]);
    const int16x8_t low = vcombine_s16(vmovn_s32(rounded[0]), vmovn_s32(rounded[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(rounded[2]), vmovn_s32(rounded[3]));
    vst1q_s8(target, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    return vaddvq_s16(vaddq_s16(low, high));
}
