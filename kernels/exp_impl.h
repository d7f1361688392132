/* kernels/exp_impl.h - the one exp, as a scalar. The vector bodies take the same steps in the same order.
 *
 * exp(x) = 2^k exp(r) with k = round(x / ln 2) and r = x - k ln 2, |r| <= ln(2)/2; exp(r) is the
 * polynomial of Cephes' expf (Moshier). ln 2 is taken off in two parts, so that r is all but exact. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXP_LARGEST  0x1.62e42ep6f /* the last float whose exp is finite */
#define EXP_SMALLEST (-104.0f)     /* below, exp rounds to 0 */
#define EXP_LOG2E    0x1.715476p0f
#define EXP_LN2_HIGH 0.693359375f /* 9 bits: k times it is exact */
#define EXP_LN2_LOW  (-2.12194440e-4f)
#define EXP_ROUND    0x1.8p23f /* added and subtracted: rounds to an integer */
#define EXP_C7       1.9875691500e-4f
#define EXP_C6       1.3981999507e-3f
#define EXP_C5       8.3334519073e-3f
#define EXP_C4       4.1665795894e-2f
#define EXP_C3       1.6666665459e-1f
#define EXP_C2       5.0000001201e-1f

/* Added to an integer k, leaves the exponent field of 2^k in the lowest bits. */
#define EXP_BIAS (EXP_ROUND + 127)

/* 2^k for an integer -126 <= k <= 127; anything for other k. */
static inline float exp_power_of_two(float k) {
    const float biased = k + EXP_BIAS;
    uint32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static inline float exp_scalar(float x) {
    const float k = fmaf(x, EXP_LOG2E, EXP_ROUND) - EXP_ROUND;
    const float r = fmaf(k, -EXP_LN2_LOW, fmaf(k, -EXP_LN2_HIGH, x));
    float p = fmaf(EXP_C7, r, EXP_C6);
    p = fmaf(p, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r * r, r) + 1;
    /* In two steps: 2^k may be subnormal or beyond the largest float. Only the second can round. */
    const float half = fmaf(k, 0.5f, EXP_ROUND) - EXP_ROUND;
    p = p * exp_power_of_two(half) * exp_power_of_two(k - half);
    if (x > EXP_LARGEST) return INFINITY;
    return x < EXP_SMALLEST ? 0 : p;
}
