/* kernels/kernels_impl.h - the sets that kernels.c chooses from, and what is the same in all of them. */
#pragma once

#include <math.h>
#include <stdbool.h>

#include "kernels/kernels.h"

/* Lanes of every sum; part of the definition of the results, whatever the machine's vectors are. */
enum { LANES = 16 };

extern const struct kernels kernels_ref;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_neon;
extern const struct kernels kernels_neon_dotprod;

/* avx512_bf16.c: see kernels_matmul_bf16. */
matmul_bf16 avx512_matmul_bf16;

/* Below this the inverse of a block's scale might not be finite. */
#define QUANT_MIN 0x1p-100f

/* ref_quantized.c: entries of kernels_ref. */
void ref_quantize(const float *x, int64_t row, const struct q8_rows *rows);
void ref_matmul_quantized(const struct matrix *w, int64_t row_begin, int64_t row_end, const struct q8_rows *x,
                          int64_t n_tokens, float *y, int64_t y_stride);
void ref_matmul_quantized_exact(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                                const struct q8_rows *x, const float *scale, int64_t n_tokens, int64_t *sums,
                                int64_t sums_stride, int64_t *bad);

/* One block's product on the grid; one that does not fit is counted in `bad`. */
static inline void add_block_exact(float dot, float scale, int64_t *sum, int64_t *bad) {
    const float value = dot * scale;
    if (fabsf(value) < EXACT_BLOCK_LIMIT) /* false for NaN */
        *sum += llrint((double)value * EXACT_UNITS_PER_ONE);
    else
        __atomic_fetch_add(bad, 1, __ATOMIC_RELAXED);
}

/* Adds 16 lanes as the tree that kernels.h describes. The lanes are overwritten. */
static inline float lanes_sum(float lanes[LANES]) {
    for (int step = LANES / 2; step >= 1; step /= 2)
        for (int i = 0; i < step; i++)
            lanes[i] += lanes[i + step];
    return lanes[0];
}

/* The larger of two numbers; a NaN in `x` is passed over, as x86's maxps(x, max) does. */
static inline float max_of(float x, float max) {
    return x > max ? x : max;
}
