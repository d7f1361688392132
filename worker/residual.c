#include "worker/residual.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/timer.h"

struct residual {
    struct comm *comm;
    const struct kernels *kernels;
    struct linear *linear;
    enum numerics numerics;
    int32_t max_tokens;
    int64_t hidden_size;
    double sync_seconds;

    struct residual_rows parts[RESIDUAL_PARTS]; /* the oldest first */
    int n_parts;
    bool travels; /* these are under way */

    /* Reproducible: a part's sums [n, hidden_size], then one count of blocks off the grid per row, so that
     * one collective carries both; part behind part. The second array holds an expert's rows before they are
     * scattered. */
    int64_t *exact;
    int64_t *exact_rows;

    /* Fast: [n_tokens, hidden_size], and a product before it is added. */
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
    residual->max_tokens = max_tokens;
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

/* A part's bytes travel while another's are computed; half as many rows read the weights twice as often. */
enum { PART_ROWS_LEAST = 64, PART_ROWS_MOST = 256 };

int32_t residual_n_parts(const struct residual *residual, int32_t n_rows) {
    if (!allreduce_overlaps(residual->comm) || n_rows < 2 * PART_ROWS_LEAST) return 1;
    const int32_t n = (n_rows + PART_ROWS_MOST - 1) / PART_ROWS_MOST;
    return n < 2 ? 2 : n;
}

struct residual_rows residual_part(int32_t n_rows, int32_t n_parts, int32_t index) {
    const int32_t begin = (int32_t)((int64_t)n_rows * index / n_parts);
    const int32_t end = (int32_t)((int64_t)n_rows * (index + 1) / n_parts);
    return (struct residual_rows){.first = begin, .n = end - begin};
}

enum status residual_connect(struct residual *residual) {
    const int32_t n_rows = residual->max_tokens;
    const int32_t most =
        residual_n_parts(residual, n_rows) > 1 && n_rows > PART_ROWS_MOST ? PART_ROWS_MOST : n_rows;
    return allreduce_reserve(residual->comm,
                             (size_t)most * ((size_t)residual->hidden_size + 1) * sizeof(int64_t));
}

static int64_t *bad_counts(const struct residual *residual, int64_t *sums, int32_t n_rows) {
    return sums + (int64_t)n_rows * residual->hidden_size;
}

static int64_t *exact_of(const struct residual *residual, struct residual_rows rows) {
    return residual->exact + (int64_t)rows.first * (residual->hidden_size + 1);
}

static float *partial_of(const struct residual *residual, struct residual_rows rows) {
    return residual->partial + (int64_t)rows.first * residual->hidden_size;
}

/* The part that is being added to. */
static struct residual_rows newest(const struct residual *residual) {
    return residual->parts[residual->n_parts - 1];
}

void residual_begin(struct residual *residual, struct residual_rows rows) {
    CHECK(residual->n_parts < RESIDUAL_PARTS);
    residual->parts[residual->n_parts++] = rows;
    const size_t n = (size_t)rows.n, cols = (size_t)residual->hidden_size;
    if (residual->numerics == NUMERICS_REPRODUCIBLE)
        memset(exact_of(residual, rows), 0, n * (cols + 1) * sizeof(int64_t));
    else
        memset(partial_of(residual, rows), 0, n * cols * sizeof(float));
}

void residual_add_product(struct residual *residual, const struct matrix *w, int64_t first_row, int64_t block,
                          const float *x) {
    const struct residual_rows rows = newest(residual);
    if (w->cols == 0 || w->rows == 0) return; /* this rank owns none of it */
    linear_input(residual->linear, x, w->cols, rows.n, NULL);
    if (residual->numerics == NUMERICS_REPRODUCIBLE) {
        int64_t *sums = exact_of(residual, rows);
        linear_run_exact(residual->linear, w, block, NULL, sums + first_row, residual->hidden_size,
                         bad_counts(residual, sums, rows.n));
        return;
    }
    linear_run(residual->linear, &(struct linear_product){w, residual->partial_rows}, 1);
    for (int64_t row = 0; row < rows.n; row++)
        residual->kernels->add(residual->partial_rows + row * w->rows, w->rows,
                               partial_of(residual, rows) + row * residual->hidden_size + first_row);
}

static void scatter_exact(struct residual *residual, const int32_t *rows, int32_t n_rows) {
    const int64_t hidden = residual->hidden_size;
    int64_t *sums = exact_of(residual, newest(residual));
    int64_t *bad = bad_counts(residual, sums, newest(residual).n);
    const int64_t *bad_rows = bad_counts(residual, residual->exact_rows, n_rows);
    for (int32_t i = 0; i < n_rows; i++) {
        int64_t *target = sums + rows[i] * hidden;
        const int64_t *source = residual->exact_rows + i * hidden;
        for (int64_t j = 0; j < hidden; j++)
            target[j] += source[j];
        bad[rows[i]] += bad_rows[i];
    }
}

static void scatter_fast(struct residual *residual, const float *scale, const int32_t *rows, int32_t n_rows) {
    const int64_t hidden = residual->hidden_size;
    float *partial = partial_of(residual, newest(residual));
    for (int32_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < hidden; j++)
            partial[rows[i] * hidden + j] += scale[i] * residual->partial_rows[i * hidden + j];
}

void residual_add_scaled(struct residual *residual, const struct matrix *w, int64_t block, const float *x,
                         const float *scale, const int32_t *rows, int32_t n_rows) {
    if (w->cols == 0 || n_rows == 0) return;
    linear_input(residual->linear, x, w->cols, n_rows, rows);
    if (residual->numerics == NUMERICS_REPRODUCIBLE) {
        memset(residual->exact_rows, 0,
               (size_t)n_rows * ((size_t)residual->hidden_size + 1) * sizeof(int64_t));
        linear_run_exact(residual->linear, w, block, scale, residual->exact_rows, residual->hidden_size,
                         bad_counts(residual, residual->exact_rows, n_rows));
        scatter_exact(residual, rows, n_rows);
        return;
    }
    linear_run(residual->linear, &(struct linear_product){w, residual->partial_rows}, 1);
    scatter_fast(residual, scale, rows, n_rows);
}

void residual_send(struct residual *residual, bool travels) {
    residual->travels = travels;
    if (!travels) return;
    const double begin = timer_seconds();
    const struct residual_rows rows = newest(residual);
    const size_t n = (size_t)rows.n, cols = (size_t)residual->hidden_size;
    if (residual->numerics == NUMERICS_REPRODUCIBLE)
        allreduce_sum_i64_begin(residual->comm, exact_of(residual, rows), n * (cols + 1));
    else
        allreduce_sum_f32_begin(residual->comm, partial_of(residual, rows), n * cols);
    residual->sync_seconds += timer_seconds() - begin;
}

static void sum_over_ranks(struct residual *residual, struct residual_rows rows) {
    const size_t n = (size_t)rows.n, cols = (size_t)residual->hidden_size;
    if (residual->travels)
        allreduce_sum_finish(residual->comm);
    else if (residual->numerics == NUMERICS_REPRODUCIBLE)
        allreduce_sum_i64(residual->comm, exact_of(residual, rows), n * (cols + 1));
    else
        allreduce_sum_f32(residual->comm, partial_of(residual, rows), n * cols);
}

static void add_exact(const struct residual *residual, struct residual_rows rows, float *x) {
    const int64_t hidden = residual->hidden_size;
    int64_t *sums = exact_of(residual, rows);
    residual->kernels->add_exact(sums, rows.n * hidden, x);
    const int64_t *bad = bad_counts(residual, sums, rows.n);
    for (int64_t row = 0; row < rows.n; row++)
        if (bad[row] != 0)
            for (int64_t j = 0; j < hidden; j++)
                x[row * hidden + j] = NAN;
}

void residual_finish(struct residual *residual, float *x) {
    const double begin = timer_seconds();
    const struct residual_rows rows = residual->parts[0];
    float *x_rows = x + (int64_t)rows.first * residual->hidden_size;
    sum_over_ranks(residual, rows);
    if (residual->numerics == NUMERICS_REPRODUCIBLE)
        add_exact(residual, rows, x_rows);
    else
        residual->kernels->add(partial_of(residual, rows), rows.n * residual->hidden_size, x_rows);
    residual->n_parts--;
    memmove(&residual->parts[0], &residual->parts[1], (size_t)residual->n_parts * sizeof rows);
    residual->sync_seconds += timer_seconds() - begin;
}

double residual_take_sync_seconds(struct residual *residual) {
    const double seconds = residual->sync_seconds;
    residual->sync_seconds = 0;
    return seconds;
}
