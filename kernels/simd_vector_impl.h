/* kernels/simd_vector_impl.h - functions of one vector, over the vec16 that was included before. */
#pragma once

#include <math.h>
#include <string.h>

#include "kernels/exp_impl.h"
#include "kernels/half_impl.h"
#include "kernels/kernels_impl.h"
#include "kernels/super_block_impl.h"

/* The last values of a row, fewer than 16, padded with zeros. Out of line: they are rare, and a call of
 * memcpy in the midst of a loop would cost it its registers. */
static __attribute__((noinline)) vec16 v16_load_rest(const void *source, int64_t n) {
    float padded[LANES] = {0};
    memcpy(padded, source, (size_t)n * sizeof *padded);
    return v16_load(padded);
}

static __attribute__((noinline)) void v16_store_rest(float *target, int64_t n, vec16 v) {
    float padded[LANES];
    v16_store(padded, v);
    memcpy(target, padded, (size_t)n * sizeof *target);
}

static __attribute__((noinline)) vec16 v16_load_half_rest(enum dtype dtype, const uint8_t *source,
                                                          int64_t n) {
    uint8_t padded[2 * LANES] = {0};
    memcpy(padded, source, 2 * (size_t)n);
    return dtype == DTYPE_F16 ? v16_load_f16(padded) : v16_load_bf16(padded);
}

/* Up to 16 of the n values that are left. */
INLINE vec16 v16_load_upto(const void *source, int64_t n) {
    return n >= LANES ? v16_load(source) : v16_load_rest(source, n);
}

INLINE void v16_store_upto(float *target, int64_t n, vec16 v) {
    if (n >= LANES)
        v16_store(target, v);
    else
        v16_store_rest(target, n, v);
}

/* Up to 16 of the n values of a float type that are left at `source`. */
INLINE vec16 v16_load_upto_as(enum dtype dtype, const uint8_t *source, int64_t n) {
    if (dtype == DTYPE_F32) return v16_load_upto(source, n);
    if (n < LANES) return v16_load_half_rest(dtype, source, n);
    return dtype == DTYPE_F16 ? v16_load_f16(source) : v16_load_bf16(source);
}

/* Lanes from n on become +0. */
INLINE vec16 v16_first(int64_t n, vec16 v) {
    if (n >= LANES) return v;
    float padded[LANES];
    v16_store(padded, v);
    return v16_load_rest(padded, n);
}

INLINE float v16_sum(vec16 v) {
    float lanes[LANES];
    v16_store(lanes, v);
    return lanes_sum(lanes);
}

INLINE size_t half_pair_bytes(enum dtype dtype) { /* of the float types */
    return LANES * (dtype == DTYPE_F32 ? 4 : 2);
}

INLINE size_t pair_bytes(enum dtype dtype) {
    return dtype == DTYPE_Q8_0 ? 34 : dtype == DTYPE_Q4_0 ? 18 : 2 * half_pair_bytes(dtype);
}

/* Thirty-two values, one block of the quantised types. */
INLINE void v16_load_pair_as(enum dtype dtype, const uint8_t *source, vec16 pair[2]) {
    if (dtype == DTYPE_Q8_0) {
        v16_load_q8_0(source, pair);
    } else if (dtype == DTYPE_Q4_0) {
        v16_load_q4_0(source, pair);
    } else {
        pair[0] = v16_load_upto_as(dtype, source, LANES);
        pair[1] = v16_load_upto_as(dtype, source + half_pair_bytes(dtype), LANES);
    }
}

/* exp_scalar, step by step. */
INLINE vec16 v16_exp(vec16 x) {
    const vec16 round = v16_set(EXP_ROUND), bias = v16_set(EXP_BIAS);
    const vec16 k = v16_sub(v16_fma(x, v16_set(EXP_LOG2E), round), round);
    const vec16 r = v16_fma(k, v16_set(-EXP_LN2_LOW), v16_fma(k, v16_set(-EXP_LN2_HIGH), x));
    vec16 p = v16_fma(v16_set(EXP_C7), r, v16_set(EXP_C6));
    p = v16_fma(p, r, v16_set(EXP_C5));
    p = v16_fma(p, r, v16_set(EXP_C4));
    p = v16_fma(p, r, v16_set(EXP_C3));
    p = v16_fma(p, r, v16_set(EXP_C2));
    p = v16_add(v16_fma(p, v16_mul(r, r), r), v16_set(1));
    const vec16 half = v16_sub(v16_fma(k, v16_set(0.5f), round), round);
    p = v16_mul(p, v16_shift_left_23(v16_add(half, bias)));
    p = v16_mul(p, v16_shift_left_23(v16_add(v16_sub(k, half), bias)));
    p = v16_where_greater(x, v16_set(EXP_LARGEST), v16_set(INFINITY), p);
    return v16_where_greater(v16_set(EXP_SMALLEST), x, v16_set(0), p);
}

static void exp_all(const float *x, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i += LANES)
        v16_store_upto(y + i, n - i, v16_exp(v16_load_upto(x + i, n - i)));
}

static void silu_mul(float *gate, const float *up, int64_t n) {
    const vec16 one = v16_set(1);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec16 x = v16_load_upto(gate + i, n - i);
        const vec16 silu = v16_div(x, v16_add(one, v16_exp(v16_mul(x, v16_set(-1)))));
        v16_store_upto(gate + i, n - i, v16_mul(silu, v16_load_upto(up + i, n - i)));
    }
}

static float sum_of_squares(const float *x, int64_t n) {
    vec16 lanes = v16_set(0);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec16 v = v16_load_upto(x + i, n - i);
        lanes = v16_fma(v, v, lanes);
    }
    return v16_sum(lanes);
}

static void rms_norm(const float *x, const float *weight, float eps, int64_t n, float *y) {
    const float mean = sum_of_squares(x, n) / (float)n;
    const vec16 scale = v16_set(1 / sqrtf(mean + eps));
    for (int64_t i = 0; i < n; i += LANES) {
        const vec16 scaled = v16_mul(v16_load_upto(x + i, n - i), scale);
        v16_store_upto(y + i, n - i, v16_mul(scaled, v16_load_upto(weight + i, n - i)));
    }
}

static float max_of_all(const float *x, int64_t n) {
    vec16 lanes = v16_set(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes = v16_max(v16_load(x + i), lanes);
    float each[LANES], max = -INFINITY;
    v16_store(each, lanes);
    for (int lane = 0; lane < LANES; lane++)
        max = max_of(each[lane], max);
    for (; i < n; i++)
        max = max_of(x[i], max);
    return max + 0; /* which of -0 and +0 came first must not show */
}

/* weights[i] = exp((x[i] - max) * scale) where weights is not NULL (it may be x); their sum. */
INLINE float exp_and_sum(const float *x, int64_t n, float scale, float *max_out, float *weights) {
    const float max = max_of_all(x, n);
    const vec16 maxima = v16_set(max), scales = v16_set(scale);
    vec16 lanes = v16_set(0);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec16 shifted = v16_sub(v16_load_upto(x + i, n - i), maxima);
        const vec16 weight = v16_first(n - i, v16_exp(v16_mul(shifted, scales)));
        lanes = v16_add(lanes, weight);
        if (weights) v16_store_upto(weights + i, n - i, weight);
    }
    *max_out = max;
    return v16_sum(lanes);
}

static void exp_sum(const float *x, int64_t n, float scale, float *max_out, float *sum_out) {
    *sum_out = exp_and_sum(x, n, scale, max_out, NULL);
}

/* n values of a float type, or whole blocks. */
INLINE void load_as(enum dtype dtype, const uint8_t *source, int64_t n, float *x) {
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES, source += pair_bytes(dtype)) {
        vec16 pair[2];
        v16_load_pair_as(dtype, source, pair);
        v16_store(x + i, pair[0]);
        v16_store(x + i + LANES, pair[1]);
    }
    for (; i < n; i += LANES, source += half_pair_bytes(dtype)) /* float types only */
        v16_store_upto(x + i, n - i, v16_load_upto_as(dtype, source, n - i));
}

static void load(const void *source, enum dtype dtype, int64_t n, float *x) {
    switch (dtype) {
    case DTYPE_F16:
        load_as(DTYPE_F16, source, n, x);
        return;
    case DTYPE_BF16:
        load_as(DTYPE_BF16, source, n, x);
        return;
    case DTYPE_Q8_0:
        load_as(DTYPE_Q8_0, source, n, x);
        return;
    case DTYPE_Q4_0:
        load_as(DTYPE_Q4_0, source, n, x);
        return;
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
    case DTYPE_Q6_K:
        super_blocks_load(dtype, source, n, x);
        return;
    default:
        memcpy(x, source, (size_t)n * sizeof *x);
    }
}

INLINE void v16_store_as(enum dtype dtype, uint8_t *target, vec16 v) {
    if (dtype == DTYPE_F16)
        v16_store_f16(target, v);
    else
        v16_store_bf16(target, v);
}

INLINE void store_as(enum dtype dtype, const float *x, int64_t n, uint8_t *target) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v16_store_as(dtype, target + 2 * i, v16_load(x + i));
    if (i == n) return;
    uint8_t padded[2 * LANES];
    v16_store_as(dtype, padded, v16_load_rest(x + i, n - i));
    memcpy(target + 2 * i, padded, 2 * (size_t)(n - i));
}

/* quantize_weights' Q8_0, step by step. */
static void store_q8_0(const float *x, int64_t n, uint8_t *block) {
    for (int64_t i = 0; i < n; i += QUANT_BLOCK, block += pair_bytes(DTYPE_Q8_0)) {
        const vec16 low = v16_load(x + i), high = v16_load(x + i + LANES);
        const float scale = float_of_bits(v16_largest_magnitude(low, high)) / 127;
        const bool fits = scale < 65504; /* false for NaN */
        const uint16_t half = f16_of_float(fits ? scale : NAN);
        memcpy(block, &half, sizeof half);
        if (fits && scale >= QUANT_MIN) {
            const vec16 inverse = v16_set(1 / scale);
            v16_round_to_bytes(v16_mul(low, inverse), (int8_t *)block + 2);
            v16_round_to_bytes(v16_mul(high, inverse), (int8_t *)block + 2 + LANES);
        } else {
            memset(block + 2, 0, QUANT_BLOCK);
        }
    }
}

static void store(const float *x, int64_t n, enum dtype dtype, void *target) {
    if (dtype == DTYPE_F32)
        memcpy(target, x, (size_t)n * sizeof *x);
    else if (dtype == DTYPE_Q8_0)
        store_q8_0(x, n, target);
    else if (dtype == DTYPE_F16)
        store_as(DTYPE_F16, x, n, target);
    else
        store_as(DTYPE_BF16, x, n, target);
}
