#include "worker/threads.h"

#include <omp.h>

/* Rows are dealt in groups of this many, so that a thread's part is whole tiles of the kernels. */
enum { ROW_GROUP = 16 };

struct row_range {
    int64_t begin, end;
};

static struct row_range rows_of_this_thread(int64_t rows) {
    const int64_t groups = (rows + ROW_GROUP - 1) / ROW_GROUP;
    const int64_t thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
    struct row_range range = {groups * thread / n_threads * ROW_GROUP,
                              groups * (thread + 1) / n_threads * ROW_GROUP};
    if (range.end > rows) range.end = rows;
    return range;
}

void threads_matmul(const struct kernels *kernels, const struct matrix *w, const float *x, int64_t n_tokens,
                    float *y) {
#pragma omp parallel if (threads_worthwhile(w->rows * w->cols * n_tokens))
    {
        const struct row_range range = rows_of_this_thread(w->rows);
        if (range.begin < range.end)
            kernels->matmul(w, range.begin, range.end, x, w->cols, n_tokens, y, w->rows);
    }
}

void threads_matmul_exact(const struct kernels *kernels, const struct matrix *w, int64_t block,
                          const float *x, const float *scale, int64_t n_tokens, int64_t *sums, int64_t *bad) {
    if (w->cols == 0) return; /* this rank owns no columns of the sum */
#pragma omp parallel if (threads_worthwhile(w->rows * w->cols * n_tokens))
    {
        const struct row_range range = rows_of_this_thread(w->rows);
        if (range.begin < range.end)
            kernels->matmul_exact(w, range.begin, range.end, block, x, w->cols, scale, n_tokens, sums,
                                  w->rows, bad);
    }
}
