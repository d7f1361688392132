#include "worker/linear.h"

#include <omp.h>
#include <stdbool.h>

#include "base/check.h"
#include "worker/threads.h"

/* Pieces are multiples of this many rows: whole tiles and panels of the kernels. */
enum { ROW_GROUP = PACKED_ROWS };

/* Where a thread is in its own part of the pieces. Each has a cache line to itself. */
struct share {
    _Alignas(ARENA_ALIGNMENT) int64_t next, end;
};

struct linear {
    const struct kernels *kernels;
    int64_t max_tokens, max_cols;
    const float *x; /* [n_tokens, cols] */
    int64_t cols, n_tokens;
    bool is_quantized; /* does `q8` hold x already? */
    struct q8_rows q8;
    int32_t n_threads;
    struct share *shares; /* [n_threads] */
};

enum status linear_create(const struct kernels *kernels, int32_t n_threads, int32_t max_tokens,
                          int64_t max_cols, struct arena *memory, struct linear **linear_out) {
    struct linear *linear;
    TRY(ARENA_TAKE(memory, 1, &linear));
    linear->kernels = kernels;
    linear->n_threads = n_threads;
    linear->max_tokens = max_tokens;
    linear->max_cols = max_cols;
    const size_t values = (size_t)max_tokens * (size_t)max_cols;
    TRY(ARENA_TAKE(memory, values, &linear->q8.values));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.scales));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.minus_sums));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.minus_half_sums));
    TRY(ARENA_TAKE(memory, (size_t)n_threads, &linear->shares));
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

/* Rows [begin, end) of one of the matrices of a call. */
struct piece {
    const struct matrix *w;
    float *y;
    int64_t begin, end;
};

struct work {
    const struct linear_product *products;
    int32_t n_products;
    int64_t piece_rows; /* a multiple of ROW_GROUP */
    int64_t n_pieces;
};

static int64_t pieces_of(const struct matrix *w, int64_t piece_rows) {
    return (w->rows + piece_rows - 1) / piece_rows;
}

static struct piece piece_at(const struct work *work, int64_t index) {
    const struct linear_product *product = work->products;
    for (int64_t n; index >= (n = pieces_of(product->w, work->piece_rows)); product++)
        index -= n;
    const int64_t begin = index * work->piece_rows, end = begin + work->piece_rows;
    return (struct piece){product->w, product->y, begin, end < product->w->rows ? end : product->w->rows};
}

/* One token reads weights once: small pieces, so that threads end together. Several go over them again and
 * again, and then as many rows as the kernels keep in the cache save reads of x. */
static struct work divide(const struct linear *linear, const struct linear_product *products,
                          int32_t n_products) {
    const int64_t row_bytes = linear->cols * dtype_layout(products->w->dtype)->block_bytes /
                                  dtype_layout(products->w->dtype)->block_elements +
                              1;
    const int64_t groups = (linear->n_tokens == 1 ? 64 : 256) * 1024 / (row_bytes * ROW_GROUP);
    struct work work = {
        .products = products, .n_products = n_products, .piece_rows = (groups + 1) * ROW_GROUP};
    for (int32_t i = 0; i < n_products; i++)
        work.n_pieces += pieces_of(products[i].w, work.piece_rows);
    return work;
}

static void deal(struct linear *linear, const struct work *work) {
    for (int64_t i = 0; i < linear->n_threads; i++)
        linear->shares[i] = (struct share){.next = work->n_pieces * i / linear->n_threads,
                                           .end = work->n_pieces * (i + 1) / linear->n_threads};
}

/* The next piece of this thread's own part, which lies in the memory near it; then of those that others have
 * not come to. -1: none is left. */
static int64_t take_piece(struct linear *linear) {
    for (int64_t i = 0; i < linear->n_threads; i++) {
        struct share *share = &linear->shares[(omp_get_thread_num() + i) % linear->n_threads];
        if (__atomic_load_n(&share->next, __ATOMIC_RELAXED) >= share->end) continue;
        const int64_t index = __atomic_fetch_add(&share->next, 1, __ATOMIC_RELAXED);
        if (index < share->end) return index;
    }
    return -1;
}

static int64_t multiply_adds(const struct linear *linear, const struct work *work) {
    return work->n_pieces * work->piece_rows * linear->cols * linear->n_tokens;
}

static void multiply(const struct linear *linear, const struct piece *piece) {
    const struct matrix *w = piece->w;
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized(w, piece->begin, piece->end, &linear->q8, linear->n_tokens,
                                          piece->y, w->rows);
    else
        linear->kernels->matmul(w, piece->begin, piece->end, linear->x, linear->cols, linear->n_tokens,
                                piece->y, w->rows);
}

void linear_run(struct linear *linear, const struct linear_product *products, int32_t n_products) {
    for (int32_t i = 0; i < n_products; i++) {
        DCHECK(products[i].w->rows == 0 || products[i].w->cols == linear->cols);
        if (packed_dtype(products[i].w->dtype)) quantize_input(linear);
    }
    const struct work work = divide(linear, products, n_products);
    deal(linear, &work);
#pragma omp parallel if (threads_worthwhile(multiply_adds(linear, &work)))
    for (int64_t index; (index = take_piece(linear)) >= 0;) {
        const struct piece piece = piece_at(&work, index);
        multiply(linear, &piece);
    }
}

static void multiply_exact(const struct linear *linear, const struct piece *piece, int64_t block,
                           const float *scale, int64_t *sums, int64_t *bad) {
    const struct matrix *w = piece->w;
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized_exact(w, piece->begin, piece->end, block, &linear->q8, scale,
                                                linear->n_tokens, sums, w->rows, bad);
    else
        linear->kernels->matmul_exact(w, piece->begin, piece->end, block, linear->x, linear->cols, scale,
                                      linear->n_tokens, sums, w->rows, bad);
}

void linear_run_exact(struct linear *linear, const struct matrix *w, int64_t block, const float *scale,
                      int64_t *sums, int64_t *bad) {
    DCHECK(w->cols == linear->cols);
    if (packed_dtype(w->dtype)) quantize_input(linear);
    const struct linear_product product = {w, NULL};
    const struct work work = divide(linear, &product, 1);
    deal(linear, &work);
#pragma omp parallel if (threads_worthwhile(multiply_adds(linear, &work)))
    for (int64_t index; (index = take_piece(linear)) >= 0;) {
        const struct piece piece = piece_at(&work, index);
        multiply_exact(linear, &piece, block, scale, sums, bad);
    }
}
