#include "worker/residual.h"

#include <math.h>
#include <string.h>

#include "base/timer.h"
#include "cluster/allreduce.h"

struct residual {
    struct comm *comm;
    const struct kernels *kernels;
    struct linear *linear;
    enum numerics numerics;
    int64_t hidden_size;
    int32_t n_tokens;
    double sync_seconds;

    /* Reproducible: sums [n_tokens, hidden_size], then one count of blocks off the grid per token, so that
     * one collective carries both. The second array holds an expert's rows before they are scattered. */
    int64_t *exact;
    int64_t *exact_rows;

    /* Fast: [n_tokens, hidden_size]. */
    float *partial;
    float *partial_rows;
};

enum status residual_create(struct comm *comm, const struct kernels *kernels, struct linear *linear,
                            enum numerics numerics, int32_t max_tokens, int32_t hidden_size,
                            struct arena *memory, struct residual **residual_out) {
    struct residual *residual;
    TRY(ARENA_TAKE(memory, 1, &residual));
    residual->comm = comm;
    residual->kernels = kernels;
    residual->linear = linear;
    residual->numerics = numerics;
    residual->hidden_size = hidden_size;
    const size_t rows = (size_t)max_tokens, cols = (size_t)hidden_size;
    if (numerics == NUMERICS_REPRODUCIBLE) {
        TRY(ARENA_TAKE(memory, rows * (cols + 1), &residual->exact));
        TRY(ARENA_TAKE(memory, rows * (cols + 1), &residual->exact_rows));
    } else {
        TRY(ARENA_TAKE(memory, rows * cols, &residual->partial));
        TRY(ARENA_TAKE(memory, rows * cols, &residual->partial_rows));
    }
    *residual_out = residual;
    return STATUS_OK;
}

static int64_t *bad_counts(const struct residual *residual, int64_t *sums, int32_t n_rows) {
    return sums + (int64_t)n_rows * residual->hidden_size;
}

void residual_begin(struct residual *residual, int32_t n_tokens) {
    residual->n_tokens = n_tokens;
    const size_t rows = (size_t)n_tokens, cols = (size_t)residual->hidden_size;
    if (residual->numerics == NUMERICS_REPRODUCIBLE)
        memset(residual->exact, 0, rows * (cols + 1) * sizeof(int64_t));
    else
        memset(residual->partial, 0, rows * cols * sizeof(float));
}

void residual_add_product(struct residual *residual, const struct matrix *w, int64_t block, const float *x) {
    const int32_t n = residual->n_tokens;
    if (w->cols == 0) return; /* this rank owns none of the summed dimension */
    linear_input(residual->linear, x, w->cols, n, NULL);
    if (residual->numerics == NUMERICS_REPRODUCIBLE) {
        linear_run_exact(residual->linear, w, block, NULL, residual->exact,
                         bad_counts(residual, residual->exact, n));
        return;
    }
    linear_run(residual->linear, &(struct linear_product){w, residual->partial_rows}, 1);
    residual->kernels->add(residual->partial_rows, n * residual->hidden_size, residual->partial);
}

static void scatter_exact(struct residual *residual, const int32_t *rows, int32_t n_rows) {
    const int64_t hidden = residual->hidden_size;
    int64_t *bad = bad_counts(residual, residual->exact, residual->n_tokens);
    const int64_t *bad_rows = bad_counts(residual, residual->exact_rows, n_rows);
    for (int32_t i = 0; i < n_rows; i++) {
        int64_t *target = residual->exact + rows[i] * hidden;
        const int64_t *source = residual->exact_rows + i * hidden;
        for (int64_t j = 0; j < hidden; j++)
            target[j] += source[j];
        bad[rows[i]] += bad_rows[i];
    }
}

static void scatter_fast(struct residual *residual, const float *scale, const int32_t *rows, int32_t n_rows) {
    const int64_t hidden = residual->hidden_size;
    for (int32_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < hidden; j++)
            residual->partial[rows[i] * hidden + j] += scale[i] * residual->partial_rows[i * hidden + j];
}

void residual_add_scaled(struct residual *residual, const struct matrix *w, int64_t block, const float *x,
                         const float *scale, const int32_t *rows, int32_t n_rows) {
    if (w->cols == 0 || n_rows == 0) return;
    linear_input(residual->linear, x, w->cols, n_rows, rows);
    if (residual->numerics == NUMERICS_REPRODUCIBLE) {
        memset(residual->exact_rows, 0,
               (size_t)n_rows * ((size_t)residual->hidden_size + 1) * sizeof(int64_t));
        linear_run_exact(residual->linear, w, block, scale, residual->exact_rows,
                         bad_counts(residual, residual->exact_rows, n_rows));
        scatter_exact(residual, rows, n_rows);
        return;
    }
    linear_run(residual->linear, &(struct linear_product){w, residual->partial_rows}, 1);
    scatter_fast(residual, scale, rows, n_rows);
}

static void finish_exact(struct residual *residual, float *x) {
    const int64_t hidden = residual->hidden_size, n = residual->n_tokens;
    allreduce_sum_i64(residual->comm, residual->exact, (size_t)(n * (hidden + 1)));
    residual->kernels->add_exact(residual->exact, n * hidden, x);
    const int64_t *bad = bad_counts(residual, residual->exact, residual->n_tokens);
    for (int64_t row = 0; row < n; row++)
        if (bad[row] != 0)
            for (int64_t j = 0; j < hidden; j++)
                x[row * hidden + j] = NAN;
}

void residual_finish(struct residual *residual, float *x) {
    const double begin = timer_seconds();
    if (residual->numerics == NUMERICS_REPRODUCIBLE) {
        finish_exact(residual, x);
    } else {
        const int64_t n = residual->n_tokens * residual->hidden_size;
        allreduce_sum_f32(residual->comm, residual->partial, (size_t)n);
        residual->kernels->add(residual->partial, n, x);
    }
    residual->sync_seconds += timer_seconds() - begin;
}

double residual_take_sync_seconds(struct residual *residual) {
    const double seconds = residual->sync_seconds;
    residual->sync_seconds = 0;
    return seconds;
}
