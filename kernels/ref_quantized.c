/* kernels/ref_quantized.c - the definition of products with quantised weights, in plain C. */
#include <math.h>

#include "kernels/half_impl.h"
#include "kernels/kernels_impl.h"
#include "kernels/packed_impl.h"

/* Values of a block: 127 steps of x's largest magnitude. Returns its scale. */
static float quantize_block(const float *x, int8_t *values) {
    uint32_t largest = 0; /* as bits, of which a NaN has more than any number */
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffffu;
        if (magnitude > largest) largest = magnitude;
    }
    const float max = float_of_bits(largest);
    const bool usable = max >= QUANT_MIN && isfinite(max);
    const float inverse = 127 / max;
    for (int i = 0; i < QUANT_BLOCK; i++)
        values[i] = usable ? (int8_t)lrintf(x[i] * inverse) : 0;
    return usable ? max / 127 : isfinite(max) ? 0 : NAN;
}

static int32_t minus_sum(const int8_t *values, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++)
        sum -= values[i];
    return sum;
}

void ref_quantize(const float *x, int64_t row, const struct q8_rows *rows) {
    const int64_t n_blocks = rows->cols / QUANT_BLOCK;
    for (int64_t b = 0; b < n_blocks; b++) {
        int8_t *values = rows->values + row * rows->cols + b * QUANT_BLOCK;
        rows->scales[row * n_blocks + b] = quantize_block(x + b * QUANT_BLOCK, values);
        rows->minus_sums[row * n_blocks + b] = minus_sum(values, QUANT_BLOCK);
        rows->minus_half_sums[row * n_blocks + b] = minus_sum(values, QUANT_BLOCK / 2);
    }
}

/* dot, taken on by one block: its columns in parts of one scale each, then its min. */
static float add_block(const struct matrix *w, int64_t row, const struct q8_rows *x, int64_t token,
                       int64_t block, float dot) {
    const int8_t *values = x->values + token * x->cols;
    const int64_t x_block = token * (x->cols / QUANT_BLOCK) + block, n = packed_scale_cols(w->dtype);
    const int64_t begin = block * QUANT_BLOCK;
    for (int64_t part = begin; part < begin + QUANT_BLOCK; part += n) {
        int32_t products = 0;
        for (int64_t col = part; col < part + n; col++)
            products += packed_value(w, row, col) * values[col];
        dot = fmaf((float)products, packed_scale(w, row, part) * x->scales[x_block], dot);
    }
    if (!packed_has_mins(w->dtype)) return dot;
    return fmaf(packed_min(w, row, begin), x->scales[x_block] * (float)x->minus_sums[x_block], dot);
}

/* Columns [begin, end) of a row of w times those of a row of x. */
static float dot(const struct matrix *w, int64_t row, const struct q8_rows *x, int64_t token, int64_t begin,
                 int64_t end) {
    float sum = 0;
    for (int64_t block = begin / QUANT_BLOCK; block < end / QUANT_BLOCK; block++)
        sum = add_block(w, row, x, token, block, sum);
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
