/* kernels/ref.c - the definition of every result, in plain C. The other sets are held against it bit for
 * bit; nothing here is meant to be fast. */
#include "kernels/kernels_impl.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/elementwise_impl.h"
#include "kernels/exp_impl.h"
#include "kernels/half_impl.h"
#include "kernels/packed_impl.h"
#include "kernels/super_block_impl.h"

/* Element i of a row, of a type without super-blocks. A quantised weight is an exact f32: at most 8 bits of
 * integer, 11 of scale. */
static float element(const void *row, enum dtype dtype, int64_t i) {
    const struct dtype_layout *layout = dtype_layout(dtype);
    const uint8_t *block = (const uint8_t *)row + i / layout->block_elements * layout->block_bytes;
    const int64_t within = i % layout->block_elements;
    switch (dtype) {
    case DTYPE_F16:
        return float_of_f16(read_u16(block));
    case DTYPE_BF16:
        return float_of_bf16(read_u16(block));
    case DTYPE_Q8_0:
        return (float)(int8_t)block[2 + within] * float_of_f16(read_u16(block));
    case DTYPE_Q4_0: { /* byte j: element j in the low nibble, element j + 16 in the high one */
        const int nibble = within < 16 ? block[2 + within] & 15 : block[2 + within - 16] >> 4;
        return (float)(nibble - 8) * float_of_f16(read_u16(block));
    }
    default: {
        float value;
        memcpy(&value, block, sizeof value);
        return value;
    }
    }
}

/* The dot product of elements [begin, end) of a row with x[begin, end), in 16 lanes. */
static float dot(const void *row, enum dtype dtype, const float *x, int64_t begin, int64_t end) {
    float lanes[LANES] = {0};
    for (int64_t i = begin; i < end; i += LANES)
        for (int64_t lane = 0; lane < LANES; lane++) {
            const bool inside = i + lane < end; /* padding: fma(0, 0, lane), which makes -0 +0 */
            const float weight = inside ? element(row, dtype, i + lane) : 0;
            lanes[lane] = fmaf(weight, inside ? x[i + lane] : 0, lanes[lane]);
        }
    return lanes_sum(lanes);
}

static const void *row_of(const struct matrix *w, int64_t row) {
    return (const uint8_t *)w->data + (size_t)row * dtype_bytes(w->dtype, w->cols);
}

static void matmul(const struct matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                   int64_t x_stride, int64_t n_tokens, float *y, int64_t y_stride) {
    for (int64_t row = row_begin; row < row_end; row++)
        for (int64_t token = 0; token < n_tokens; token++)
            y[token * y_stride + row] = dot(row_of(w, row), w->dtype, x + token * x_stride, 0, w->cols);
}

static void matmul_exact(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                         const float *x, int64_t x_stride, const float *scale, int64_t n_tokens,
                         int64_t *sums, int64_t sums_stride, int64_t *bad) {
    for (int64_t row = row_begin; row < row_end; row++)
        for (int64_t token = 0; token < n_tokens; token++)
            for (int64_t begin = 0; begin < w->cols; begin += block) {
                const int64_t end = w->cols - begin < block ? w->cols : begin + block;
                add_block_exact(dot(row_of(w, row), w->dtype, x + token * x_stride, begin, end),
                                scale ? scale[token] : 1, &sums[token * sums_stride + row], &bad[token]);
            }
}

static void rms_norm(const float *x, const float *weight, float eps, int64_t n, float *y) {
    const float mean = dot(x, DTYPE_F32, x, 0, n) / (float)n;
    const float scale = 1 / sqrtf(mean + eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * scale * weight[i];
}

static void silu_mul(float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1 + exp_scalar(-gate[i])) * up[i];
}

static void score(const float *q, int64_t n_queries, const void *const *keys, const void *const *ahead,
                  enum dtype dtype, int64_t n, int64_t head_dim, float scale, float *scores,
                  int64_t scores_stride) {
    (void)ahead;
    for (int64_t query = 0; query < n_queries; query++)
        for (int64_t i = 0; i < n; i++)
            scores[query * scores_stride + i] =
                dot(keys[i], dtype, q + query * head_dim, 0, head_dim) * scale;
}

/* Where columns have element d of key i. */
static int64_t column_of(int64_t i, int64_t d, int64_t head_dim) {
    return (i / LANES * head_dim + d) * LANES + i % LANES;
}

static void turn_keys(const void *const *keys, enum dtype dtype, int64_t n, int64_t head_dim,
                      float *columns) {
    for (int64_t d = 0; d < head_dim; d++)
        for (int64_t i = 0; i < (n + LANES - 1) / LANES * LANES; i++)
            columns[column_of(i, d, head_dim)] = i < n ? element(keys[i], dtype, d) : 0;
}

static void score_columns(const float *q, int64_t n_queries, const float *columns, int64_t n,
                          int64_t head_dim, float scale, float *scores, int64_t scores_stride) {
    for (int64_t query = 0; query < n_queries; query++)
        for (int64_t i = 0; i < n; i++) {
            float lanes[LANES] = {0};
            for (int64_t d = 0; d < (head_dim + LANES - 1) / LANES * LANES; d++) {
                const bool inside = d < head_dim;
                lanes[d % LANES] = fmaf(inside ? columns[column_of(i, d, head_dim)] : 0,
                                        inside ? q[query * head_dim + d] : 0, lanes[d % LANES]);
            }
            scores[query * scores_stride + i] = lanes_sum(lanes) * scale;
        }
}

/* weights[i] = exp((x[i] - max) * scale) where weights is not NULL; their sum, in 16 lanes. */
static float exp_and_sum(const float *x, int64_t n, float scale, float *max_out, float *weights) {
    float max = -INFINITY, lanes[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        max = max_of(x[i], max);
    max += 0; /* -0 becomes +0: which zero came first must not show */
    for (int64_t i = 0; i < n; i++) {
        const float weight = exp_scalar((x[i] - max) * scale);
        lanes[i % LANES] += weight;
        if (weights) weights[i] = weight;
    }
    *max_out = max;
    return lanes_sum(lanes);
}

static void attend_chunk(float *scores, int64_t scores_stride, int64_t n_queries, const int32_t *n_valid,
                         const void *const *values, const void *const *ahead, enum dtype dtype, int64_t n,
                         int64_t head_dim, float *max_out, float *sum_out, float *acc) {
    (void)ahead;
    for (int64_t query = 0; query < n_queries; query++) {
        float *weights = scores + query * scores_stride;
        const int64_t n_seen = n_valid ? n_valid[query] : n;
        sum_out[query] = exp_and_sum(weights, n_seen, 1, &max_out[query], weights);
        for (int64_t d = 0; d < head_dim; d++) {
            float sum = 0;
            for (int64_t i = 0; i < n_seen; i++)
                sum = fmaf(weights[i], element(values[i], dtype, d), sum);
            acc[query * head_dim + d] = sum;
        }
    }
}

static void exp_sum(const float *x, int64_t n, float scale, float *max_out, float *sum_out) {
    *sum_out = exp_and_sum(x, n, scale, max_out, NULL);
}

static void exp_all(const float *x, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++)
        y[i] = exp_scalar(x[i]);
}

static int64_t words_at_most(const uint32_t *words, int64_t n, uint32_t limit, int32_t *indices_out) {
    int64_t n_found = 0;
    for (int64_t i = 0; i < n; i++)
        if (words[i] <= limit) indices_out[n_found++] = (int32_t)i;
    return n_found;
}

static void load(const void *source, enum dtype dtype, int64_t n, float *x) {
    if (packed_super_blocks(dtype)) {
        super_blocks_load(dtype, source, n, x);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = element(source, dtype, i);
}

static void store(const float *x, int64_t n, enum dtype dtype, void *target) {
    if (dtype == DTYPE_F32) {
        memcpy(target, x, (size_t)n * sizeof *x);
        return;
    }
    if (dtype == DTYPE_Q8_0) {
        quantize_weights(x, n, dtype, target);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const uint16_t half = dtype == DTYPE_F16 ? f16_of_float(x[i]) : bf16_of_float(x[i]);
        memcpy((uint8_t *)target + i * 2, &half, sizeof half);
    }
}

const struct kernels kernels_ref = {
    .name = "ref",
    .matmul = matmul,
    .matmul_exact = matmul_exact,
    .quantize = ref_quantize,
    .matmul_quantized = ref_matmul_quantized,
    .matmul_quantized_exact = ref_matmul_quantized_exact,
    .rms_norm = rms_norm,
    .rope = rope,
    .silu_mul = silu_mul,
    .add = add,
    .add_exact = add_exact,
    .score = score,
    .turn_keys = turn_keys,
    .score_columns = score_columns,
    .attend_chunk = attend_chunk,
    .attend_merge = attend_merge,
    .exp_sum = exp_sum,
    .exp = exp_all,
    .words_of_scores = words_of_scores,
    .words_at_most = words_at_most,
    .load = load,
    .store = store,
};
