#include "worker/linear.h"

#include <omp.h>
#include <stdbool.h>

#include "base/check.h"
#include "worker/threads.h"

/* Rows are dealt in groups, so that a thread's part is whole tiles and panels of the kernels. */
enum { ROW_GROUP = PACKED_ROWS };

struct linear {
    const struct kernels *kernels;
    int64_t max_tokens, max_cols;
    const float *x; /* [n_tokens, cols] */
    int64_t cols, n_tokens;
    bool is_quantized; /* does `q8` hold x already? */
    struct q8_rows q8;
};

enum status linear_create(const struct kernels *kernels, int32_t max_tokens, int64_t max_cols,
                          struct arena *memory, struct linear **linear_out) {
    struct linear *linear;
    TRY(ARENA_TAKE(memory, 1, &linear));
    linear->kernels = kernels;
    linear->max_tokens = max_tokens;
    linear->max_cols = max_cols;
    const size_t values = (size_t)max_tokens * (size_t)max_cols;
    TRY(ARENA_TAKE(memory, values, &linear->q8.values));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.scales));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.minus_sums));
    *linear_out = linear;
    return STATUS_OK;
}

void linear_input(struct linear *linear, const float *x, int64_t cols, int32_t n_tokens) {
    DCHECK(cols <= linear->max_cols && n_tokens <= linear->max_tokens);
    linear->x = x;
    linear->cols = cols;
    linear->n_tokens = n_tokens;
    linear->is_quantized = false;
}

static void quantize_input(struct linear *linear) {
    if (linear->is_quantized) return;
    linear->q8.cols = linear->cols;
#pragma omp parallel for if (linear->n_tokens > 1 && threads_worthwhile(linear->n_tokens * linear->cols))
    for (int64_t token = 0; token < linear->n_tokens; token++)
        linear->kernels->quantize(linear->x + token * linear->cols, token, &linear->q8);
    linear->is_quantized = true;
}

struct row_range {
    int64_t begin, end;
};

static int64_t groups_of(const struct matrix *w) {
    return (w->rows + ROW_GROUP - 1) / ROW_GROUP;
}

/* This thread's part of n groups, of which the matrix has those from first_group on. */
static struct row_range rows_of_this_thread(const struct matrix *w, int64_t first_group, int64_t n) {
    const int64_t thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
    struct row_range range = {(n * thread / n_threads - first_group) * ROW_GROUP,
                              (n * (thread + 1) / n_threads - first_group) * ROW_GROUP};
    if (range.begin < 0) range.begin = 0;
    if (range.end > w->rows) range.end = w->rows;
    return range;
}

static void multiply(const struct linear *linear, const struct matrix *w, struct row_range rows, float *y) {
    if (rows.begin >= rows.end) return;
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized(w, rows.begin, rows.end, &linear->q8, linear->n_tokens, y, w->rows);
    else
        linear->kernels->matmul(w, rows.begin, rows.end, linear->x, linear->cols, linear->n_tokens, y,
                                w->rows);
}

void linear_run(struct linear *linear, const struct linear_product *products, int32_t n_products) {
    int64_t n_groups = 0;
    for (int32_t i = 0; i < n_products; i++) {
        DCHECK(products[i].w->rows == 0 || products[i].w->cols == linear->cols);
        n_groups += groups_of(products[i].w);
        if (packed_dtype(products[i].w->dtype)) quantize_input(linear);
    }
#pragma omp parallel if (threads_worthwhile(n_groups * ROW_GROUP * linear->cols * linear->n_tokens))
    for (int64_t i = 0, first_group = 0; i < n_products; i++) {
        const struct matrix *w = products[i].w;
        multiply(linear, w, rows_of_this_thread(w, first_group, n_groups), products[i].y);
        first_group += groups_of(w);
    }
}

static void multiply_exact(const struct linear *linear, const struct matrix *w, struct row_range rows,
                           int64_t block, const float *scale, int64_t *sums, int64_t *bad) {
    if (rows.begin >= rows.end) return;
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized_exact(w, rows.begin, rows.end, block, &linear->q8, scale,
                                                linear->n_tokens, sums, w->rows, bad);
    else
        linear->kernels->matmul_exact(w, rows.begin, rows.end, block, linear->x, linear->cols, scale,
                                      linear->n_tokens, sums, w->rows, bad);
}

void linear_run_exact(struct linear *linear, const struct matrix *w, int64_t block, const float *scale,
                      int64_t *sums, int64_t *bad) {
    DCHECK(w->cols == linear->cols);
    if (packed_dtype(w->dtype)) quantize_input(linear);
#pragma omp parallel if (threads_worthwhile(w->rows * w->cols * linear->n_tokens))
    multiply_exact(linear, w, rows_of_this_thread(w, 0, groups_of(w)), block, scale, sums, bad);
}
