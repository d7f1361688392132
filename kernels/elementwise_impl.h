/* kernels/elementwise_impl.h - loops without a sum over elements: any vector width gives the same bits,
 * so each set compiles these very lines with its own flags and leaves the vectors to the compiler. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/exp_impl.h"
#include "kernels/kernels_impl.h"

static void rotate(int64_t n, const float *restrict cosine, const float *restrict sine, float *restrict a,
                   float *restrict b) {
    for (int64_t i = 0; i < n; i++) {
        const float x = a[i], y = b[i];
        a[i] = fmaf(-y, sine[i], x * cosine[i]);
        b[i] = fmaf(x, sine[i], y * cosine[i]);
    }
}

static void rope(float *x, const float *cos_sin, int64_t head_dim) {
    const int64_t half = head_dim / 2;
    rotate(half, cos_sin, cos_sin + half, x, x + half);
}

static void add(const float *restrict a, int64_t n, float *restrict x) {
    for (int64_t i = 0; i < n; i++)
        x[i] += a[i];
}

static void add_exact(const int64_t *restrict sums, int64_t n, float *restrict x) {
    for (int64_t i = 0; i < n; i++)
        x[i] += (float)((double)sums[i] * (1 / EXACT_UNITS_PER_ONE));
}

static void rescale_and_add(int64_t n, float scale, const float *restrict part, float part_scale,
                            float *restrict x) {
    for (int64_t i = 0; i < n; i++)
        x[i] = fmaf(part[i], part_scale, x[i] * scale);
}

static void attend_merge(float *max, float *sum, float *acc, float part_max, float part_sum,
                         const float *part_acc, int64_t head_dim) {
    if (part_sum == 0) return;
    if (*sum == 0) {
        *max = part_max;
        *sum = part_sum;
        memcpy(acc, part_acc, (size_t)head_dim * sizeof *acc);
        return;
    }
    const float larger = max_of(part_max, *max);
    const float scale = exp_scalar(*max - larger), part_scale = exp_scalar(part_max - larger);
    *max = larger;
    *sum = fmaf(part_sum, part_scale, *sum * scale);
    rescale_and_add(head_dim, scale, part_acc, part_scale, acc);
}

/* The bits of a positive float grow with it, those of a negative one fall. */
static void words_of_scores(const float *restrict scores, int64_t n, uint32_t *restrict words) {
    for (int64_t i = 0; i < n; i++) {
        const float score = scores[i] + 0.0f; /* -0 becomes +0 */
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        const uint32_t sign = (uint32_t)((int32_t)bits >> 31); /* all ones or none */
        const uint32_t word = bits ^ (~sign & 0x7FFFFFFFu);
        words[i] = score == score ? word : UINT32_MAX;
    }
}
