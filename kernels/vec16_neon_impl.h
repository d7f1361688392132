/* kernels/vec16_neon_impl.h - sixteen floats as four NEON registers of AArch64. For the notes on each
 * function see vec16_avx2_impl.h, which has the same list.
 *
 * All of it is in the first version of the architecture: fused multiply-adds, conversions of f16, and
 * rounding as IEEE 754 has it, subnormals included. Memory is read and written as bytes, which need no
 * alignment; a number's lowest byte comes first. */
#pragma once

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#ifdef __ARM_BIG_ENDIAN
#error "the kernels read numbers as little-endian machines store them"
#endif

#define INLINE static inline __attribute__((always_inline))

/* Four lanes' sums are sixteen of the 32 registers; a pair of weights takes eight more. */
#define TILE_ROWS   2
#define TILE_TOKENS 2
enum { ATTEND_SUMS = 4, QUARTERS = 4 };

typedef struct {
    float32x4_t quarter[QUARTERS]; /* lanes 0-3, 4-7, 8-11, 12-15 */
} vec16;

/* The loops over quarters are unrolled by every compiler that optimises. */

INLINE vec16 v16_set(float value) {
    const float32x4_t all = vdupq_n_f32(value);
    return (vec16){{all, all, all, all}};
}
INLINE vec16 v16_load(const void *source) {
    vec16 v;
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)source + 16 * i));
    return v;
}
INLINE void v16_store(void *target, vec16 v) {
    for (int i = 0; i < QUARTERS; i++)
        vst1q_u8((uint8_t *)target + 16 * i, vreinterpretq_u8_f32(v.quarter[i]));
}
INLINE vec16 v16_add(vec16 a, vec16 b) {
    for (int i = 0; i < QUARTERS; i++)
        a.quarter[i] = vaddq_f32(a.quarter[i], b.quarter[i]);
    return a;
}
INLINE vec16 v16_sub(vec16 a, vec16 b) {
    for (int i = 0; i < QUARTERS; i++)
        a.quarter[i] = vsubq_f32(a.quarter[i], b.quarter[i]);
    return a;
}
INLINE vec16 v16_mul(vec16 a, vec16 b) {
    for (int i = 0; i < QUARTERS; i++)
        a.quarter[i] = vmulq_f32(a.quarter[i], b.quarter[i]);
    return a;
}
INLINE vec16 v16_div(vec16 a, vec16 b) {
    for (int i = 0; i < QUARTERS; i++)
        a.quarter[i] = vdivq_f32(a.quarter[i], b.quarter[i]);
    return a;
}
INLINE vec16 v16_fma(vec16 a, vec16 b, vec16 c) {
    for (int i = 0; i < QUARTERS; i++)
        c.quarter[i] = vfmaq_f32(c.quarter[i], a.quarter[i], b.quarter[i]);
    return c;
}
INLINE vec16 v16_where_greater(vec16 a, vec16 b, vec16 yes, vec16 no) {
    for (int i = 0; i < QUARTERS; i++)
        no.quarter[i] = vbslq_f32(vcgtq_f32(a.quarter[i], b.quarter[i]), yes.quarter[i], no.quarter[i]);
    return no;
}
/* Not vmaxq_f32, which would hand on a NaN. */
INLINE vec16 v16_max(vec16 x, vec16 max) {
    return v16_where_greater(x, max, x, max);
}
INLINE vec16 v16_shift_left_23(vec16 v) {
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v.quarter[i]), 23));
    return v;
}

INLINE uint16x8_t load_halves(const void *source) {
    return vreinterpretq_u16_u8(vld1q_u8(source));
}
INLINE void store_halves(void *target, uint16x8_t halves) {
    vst1q_u8(target, vreinterpretq_u8_u16(halves));
}
INLINE vec16 v16_load_f16(const void *source) {
    const float16x8_t low = vreinterpretq_f16_u16(load_halves(source));
    const float16x8_t high = vreinterpretq_f16_u16(load_halves((const uint8_t *)source + 16));
    return (vec16){{vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                    vcvt_high_f32_f16(high)}};
}
INLINE vec16 v16_load_bf16(const void *source) {
    const uint16x8_t low = load_halves(source), high = load_halves((const uint8_t *)source + 16);
    const uint32x4_t words[QUARTERS] = {vshll_n_u16(vget_low_u16(low), 16), vshll_high_n_u16(low, 16),
                                        vshll_n_u16(vget_low_u16(high), 16), vshll_high_n_u16(high, 16)};
    vec16 v;
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vreinterpretq_f32_u32(words[i]);
    return v;
}
INLINE uint16x8_t to_f16(float32x4_t low, float32x4_t high) {
    return vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(low), high));
}
INLINE void v16_store_f16(void *target, vec16 v) {
    store_halves(target, to_f16(v.quarter[0], v.quarter[1]));
    store_halves((uint8_t *)target + 16, to_f16(v.quarter[2], v.quarter[3]));
}
INLINE uint16x4_t to_bf16(float32x4_t v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v), high = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
    const uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet));
}
INLINE void v16_store_bf16(void *target, vec16 v) {
    store_halves(target, vcombine_u16(to_bf16(v.quarter[0]), to_bf16(v.quarter[1])));
    store_halves((uint8_t *)target + 16, vcombine_u16(to_bf16(v.quarter[2]), to_bf16(v.quarter[3])));
}

INLINE float32x4_t block_scale(const uint8_t *block) {
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
}
INLINE vec16 v16_scaled_bytes(int8x16_t bytes, float32x4_t scale) {
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    const int32x4_t words[QUARTERS] = {vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
                                       vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))};
    vec16 v;
    for (int i = 0; i < QUARTERS; i++)
        v.quarter[i] = vmulq_f32(vcvtq_f32_s32(words[i]), scale);
    return v;
}
INLINE vec16 v16_load_q8_0_half(const uint8_t *block, int64_t half) {
    return v16_scaled_bytes(vreinterpretq_s8_u8(vld1q_u8(block + 2 + 16 * half)), block_scale(block));
}
INLINE void v16_load_q8_0(const uint8_t *block, vec16 pair[2]) {
    const float32x4_t scale = block_scale(block);
    pair[0] = v16_scaled_bytes(vreinterpretq_s8_u8(vld1q_u8(block + 2)), scale);
    pair[1] = v16_scaled_bytes(vreinterpretq_s8_u8(vld1q_u8(block + 18)), scale);
}
INLINE void v16_load_q4_0(const uint8_t *block, vec16 pair[2]) {
    const float32x4_t scale = block_scale(block);
    const uint8x16_t bytes = vld1q_u8(block + 2);
    const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
    const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
    pair[0] = v16_scaled_bytes(vsubq_s8(low, vdupq_n_s8(8)), scale);
    pair[1] = v16_scaled_bytes(vsubq_s8(high, vdupq_n_s8(8)), scale);
}

/* l + l+8, then l + l+4: lanes 0-3 of what is left. */
INLINE float32x4_t sum_of_quarters(vec16 v) {
    return vaddq_f32(vaddq_f32(v.quarter[0], v.quarter[2]), vaddq_f32(v.quarter[1], v.quarter[3]));
}
/* l + l+2 of two vectors: a, a, b, b. */
INLINE float32x4_t sum_of_halves(float32x4_t a, float32x4_t b) {
    return vaddq_f32(vcombine_f32(vget_low_f32(a), vget_low_f32(b)),
                     vcombine_f32(vget_high_f32(a), vget_high_f32(b)));
}
INLINE float32x4_t sum4(const vec16 v[4]) {
    const float32x4_t ab = sum_of_halves(sum_of_quarters(v[0]), sum_of_quarters(v[1]));
    const float32x4_t cd = sum_of_halves(sum_of_quarters(v[2]), sum_of_quarters(v[3]));
    return vpaddq_f32(ab, cd); /* l + l+1 */
}
INLINE void v16_sum4(const vec16 v[4], float sums[4]) {
    vst1q_f32(sums, sum4(v));
}
INLINE vec16 v16_sum16(const vec16 v[16]) {
    return (vec16){{sum4(v), sum4(v + 4), sum4(v + 8), sum4(v + 12)}};
}

INLINE uint32_t at_most(const uint32_t *words, uint32_t limit) {
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const uint32x4_t v = vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)words));
    return vaddvq_u32(vandq_u32(vcleq_u32(v, vdupq_n_u32(limit)), vld1q_u32(bits)));
}
INLINE int v16_indices_at_most(const uint32_t *words, uint32_t limit, int32_t first, int32_t *indices) {
    uint32_t found = 0;
    for (int i = 0; i < QUARTERS; i++)
        found |= at_most(words + 4 * i, limit) << 4 * i;
    int n = 0;
    for (; found; found &= found - 1)
        indices[n++] = first + __builtin_ctz(found);
    return n;
}

INLINE bool v16_all_below(vec16 v, float limit) {
    uint32x4_t below = vdupq_n_u32(UINT32_MAX);
    for (int i = 0; i < QUARTERS; i++)
        below = vandq_u32(below, vcaltq_f32(v.quarter[i], vdupq_n_f32(limit)));
    return vminvq_u32(below) != 0;
}
INLINE void add_two_to_grid(float64x2_t v, int64_t sums[2]) {
    const int64x2_t units = vcvtnq_s64_f64(vmulq_n_f64(v, EXACT_UNITS_PER_ONE));
    vst1q_s64(sums, vaddq_s64(vld1q_s64(sums), units));
}
INLINE void v16_add_to_grid(vec16 v, int64_t sums[16]) {
    for (int i = 0; i < QUARTERS; i++) {
        add_two_to_grid(vcvt_f64_f32(vget_low_f32(v.quarter[i])), sums + 4 * i);
        add_two_to_grid(vcvt_high_f64_f32(v.quarter[i]), sums + 4 * i + 2);
    }
}
