/* kernels/ref_quantized.c - the definition of products with quantised weights, in plain C. */
#include <math.h>

#include "kernels/half_impl.h"
#include "kernels/kernels_impl.h"
#include "kernels/packed_impl.h"

static void quantize_block(const float *x, int8_t *values, float *scale, int32_t *minus_sum) {
    uint32_t largest = 0; /* as bits, of which a NaN has more than any number */
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffffu;
        if (magnitude > largest) largest = magnitude;
    }
    const float max = float_of_bits(largest);
    const bool usable = max >= QUANT_MIN && isfinite(max);
    *scale = usable ? max / 127 : isfinite(max) ? 0 : NAN;
    const float inverse = 127 / max;
    *minus_sum = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        values[i] = usable ? (int8_t)lrintf(x[i] * inverse) : 0;
        *minus_sum -= values[i];
    }
}

void ref_quantize(const float *x, int64_t row, const struct q8_rows *rows) {
    const int64_t n_blocks = rows->cols / QUANT_BLOCK;
    for (int64_t b = 0; b < n_blocks; b++)
        quantize_block(x + b * QUANT_BLOCK, rows->values + row * rows->cols + b * QUANT_BLOCK,
                       rows->scales + row * n_blocks + b, rows->minus_sums + row * n_blocks + b);
}

/* Columns [begin, end) of a row of w times those of a row of x. */
static float dot(const struct matrix *w, int64_t row, const struct q8_rows *x, int64_t token, int64_t begin,
                 int64_t end) {
    float sum = 0;
    for (int64_t col = begin; col < end; col += QUANT_BLOCK) {
        const int64_t block = col / QUANT_BLOCK;
        int32_t products = 0;
        for (int64_t i = col; i < col + QUANT_BLOCK; i++)
            products += packed_value(w, row, i) * x->values[token * x->cols + i];
        const float scale = packed_scale(w, row, block) * x->scales[token * (x->cols / QUANT_BLOCK) + block];
        sum = fmaf((float)products, scale, sum);
    }
    return sum;
}

void ref_matmul_quantized(const struct matrix *w, int64_t row_begin, int64_t row_end, const struct q8_rows *x,
                          int64_t n_tokens, float *y, int64_t y_stride) {
    for (int64_t row = row_begin; row < row_end; row++)
        for (int64_t token = 0; token < n_tokens; token++)
            y[token * y_stride + row] = dot(w, row, x, token, 0, w->cols);
}

void ref_matmul_quantized_exact(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                                const struct q8_rows *x, const float *scale, int64_t n_tokens, int64_t *sums,
                                int64_t sums_stride, int64_t *bad) {
    for (int64_t row = row_begin; row < row_end; row++)
        for (int64_t token = 0; token < n_tokens; token++)
            for (int64_t begin = 0; begin < w->cols; begin += block) {
                const int64_t end = w->cols - begin < block ? w->cols : begin + block;
                add_block_exact(dot(w, row, x, token, begin, end), scale ? scale[token] : 1,
                                &sums[token * sums_stride + row], &bad[token]);
            }
}
