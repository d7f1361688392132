#include "worker/linear.h"

#include <omp.h>

#include "base/check.h"
#include "cluster/heartbeat.h"
#include "worker/threads.h"

/* A thread's part of all products of a call, and how many pieces of it were taken. Each has a cache line to
 * itself. */
struct share {
    _Alignas(ARENA_ALIGNMENT) int64_t next_piece;
    int64_t n_panels;
};

struct linear {
    const struct kernels *kernels;
    int64_t max_tokens, max_cols;
    const float *x; /* [n_tokens, cols] */
    int64_t cols, n_tokens;
    const int32_t *rows;   /* [n_tokens] of the step; NULL: the first */
    const bool *in_prompt; /* [rows of the step]; NULL: none is */
    bool is_quantized;     /* does `q8` hold x already? */
    struct q8_rows q8;
    matmul_bf16 *in_bf16;
    bool is_rounded; /* likewise `bf16` */
    uint16_t *bf16;  /* [n_tokens, cols] */
    int32_t n_threads;
    struct share *shares;    /* [n_threads] */
    void (*between)(void *); /* NULL: nothing is called */
    void *between_argument;
    struct heartbeat *heartbeat; /* NULL: nothing counts */
};

enum status linear_create(const struct kernels *kernels, matmul_bf16 *in_bf16,
                          const struct linear_shape *shape, struct arena *memory,
                          struct linear **linear_out) {
    struct linear *linear;
    TRY(ARENA_TAKE(memory, 1, &linear));
    linear->kernels = kernels;
    linear->in_bf16 = in_bf16;
    linear->n_threads = shape->n_threads;
    linear->heartbeat = shape->heartbeat;
    linear->max_tokens = shape->max_tokens;
    linear->max_cols = shape->max_cols;
    const size_t values = (size_t)shape->max_tokens * (size_t)shape->max_cols;
    if (in_bf16) TRY(ARENA_TAKE(memory, values, &linear->bf16));
    TRY(ARENA_TAKE(memory, values, &linear->q8.values));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.scales));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.minus_sums));
    TRY(ARENA_TAKE(memory, values / QUANT_BLOCK, &linear->q8.minus_half_sums));
    TRY(ARENA_TAKE(memory, (size_t)shape->n_threads, &linear->shares));
    *linear_out = linear;
    return STATUS_OK;
}

void linear_between(struct linear *linear, void (*call)(void *argument), void *argument) {
    linear->between = call;
    linear->between_argument = argument;
}

/* MPI lets nobody call it but the main thread (FUNNELED), whose pieces are short for this. */
static void call_between(const struct linear *linear) {
    if (linear->heartbeat && linear->n_tokens > 1 && omp_get_thread_num() == 0)
        heartbeat_count(linear->heartbeat);
    if (linear->between && linear->n_tokens > 1 && omp_get_thread_num() == 0)
        linear->between(linear->between_argument);
}

void linear_step(struct linear *linear, const bool *in_prompt) {
    linear->in_prompt = in_prompt;
}

void linear_input(struct linear *linear, const float *x, int64_t cols, int32_t n_tokens,
                  const int32_t *rows) {
    DCHECK(cols <= linear->max_cols && n_tokens <= linear->max_tokens);
    linear->x = x;
    linear->cols = cols;
    linear->n_tokens = n_tokens;
    linear->rows = rows;
    linear->is_quantized = linear->is_rounded = false;
}

static void quantize_input(struct linear *linear) {
    if (linear->is_quantized) return;
    linear->q8.cols = linear->cols;
#pragma omp parallel for if (linear->n_tokens > 1 && threads_worthwhile(linear->n_tokens * linear->cols))
    for (int64_t token = 0; token < linear->n_tokens; token++)
        linear->kernels->quantize(linear->x + token * linear->cols, token, &linear->q8);
    linear->is_quantized = true;
}

static void round_input(struct linear *linear) {
    if (linear->is_rounded) return;
    const int64_t cols = linear->cols;
#pragma omp parallel for if (threads_worthwhile(linear->n_tokens * cols))
    for (int64_t token = 0; token < linear->n_tokens; token++)
        linear->kernels->store(linear->x + token * cols, cols, DTYPE_BF16, linear->bf16 + token * cols);
    linear->is_rounded = true;
}

struct range { /* [begin, end) */
    int64_t begin, end;
};

struct work {
    const struct linear_product *products;
    int32_t n_products;
    bool in_bf16; /* weights that are bf16 meet prompts' activations in bf16 */
    int64_t n_threads;
    int64_t n_panels; /* of all products */
    int64_t piece_panels;
    bool streams; /* a part's first piece is most of it */
};

/* What a thread has taken, of its own part or of another's: panels, counted through the part. */
struct piece {
    int64_t owner; /* the thread whose part it is */
    struct range panels;
};

/* One token reads weights once: small pieces, so that threads end together. Several go over them again and
 * again, and then as many rows as the kernels keep in the cache save reads of x. */
static struct work divide(const struct linear *linear, const struct linear_product *products,
                          int32_t n_products) {
    const struct dtype_layout *layout = dtype_layout(products->w->dtype);
    const int64_t row_bytes = linear->cols * layout->block_bytes / layout->block_elements + 1;
    const int64_t piece_bytes = (linear->n_tokens == 1 ? 64 : 256) * 1024;
    struct work work = {.products = products,
                        .n_products = n_products,
                        .n_threads = linear->n_threads,
                        .streams = linear->n_tokens == 1 || !linear->between,
                        .piece_panels = 1 + piece_bytes / (row_bytes * PACKED_ROWS)};
    for (int32_t i = 0; i < n_products; i++)
        work.n_panels += packed_panels(products[i].w->rows);
    return work;
}

/* A thread's panels of one matrix: those that it has loaded (worker/weight_reader.c) and that lie near it. */
static struct range part_of(const struct work *work, const struct matrix *w, int64_t thread) {
    const int64_t panels = packed_panels(w->rows);
    return (struct range){panels * thread / work->n_threads, panels * (thread + 1) / work->n_threads};
}

/* A part's first piece is most of it, as an uninterrupted stream is read fastest; or nothing. */
static struct range piece_at(const struct work *work, int64_t part_panels, int64_t index) {
    const int64_t first = work->streams ? part_panels * 3 / 4 : 0;
    struct range piece = {0, first};
    if (index > 0) {
        piece.begin = first + (index - 1) * work->piece_panels;
        piece.end = piece.begin + work->piece_panels;
    }
    if (piece.end > part_panels) piece.end = part_panels;
    return piece;
}

static void deal(struct linear *linear, const struct work *work) {
    for (int64_t thread = 0; thread < linear->n_threads; thread++) {
        struct share share = {.next_piece = 0, .n_panels = 0};
        for (int32_t i = 0; i < work->n_products; i++) {
            const struct range part = part_of(work, work->products[i].w, thread);
            share.n_panels += part.end - part.begin;
        }
        linear->shares[thread] = share;
    }
}

/* The next piece of this thread's own part; then of those that others have not come to. False: none is left.
 */
static bool take_piece(struct linear *linear, const struct work *work, struct piece *piece_out) {
    for (int64_t i = 0; i < linear->n_threads; i++) {
        const int64_t owner = (omp_get_thread_num() + i) % linear->n_threads;
        struct share *share = &linear->shares[owner];
        for (int64_t index = __atomic_load_n(&share->next_piece, __ATOMIC_RELAXED);
             index == 0 || piece_at(work, share->n_panels, index).begin < share->n_panels; index++) {
            index = __atomic_fetch_add(&share->next_piece, 1, __ATOMIC_RELAXED);
            *piece_out = (struct piece){owner, piece_at(work, share->n_panels, index)};
            if (piece_out->panels.begin < piece_out->panels.end) return true;
        }
    }
    return false;
}

static int64_t clamp(int64_t value, int64_t most) {
    return value < 0 ? 0 : value < most ? value : most;
}

/* What a piece has of the matrix that begins `before` panels into the owner's part: its rows. */
static struct range rows_of(const struct work *work, const struct matrix *w, const struct piece *piece,
                            int64_t before) {
    const struct range part = part_of(work, w, piece->owner);
    const int64_t n = part.end - part.begin;
    return (struct range){
        .begin = clamp((part.begin + clamp(piece->panels.begin - before, n)) * PACKED_ROWS, w->rows),
        .end = clamp((part.begin + clamp(piece->panels.end - before, n)) * PACKED_ROWS, w->rows),
    };
}

static int64_t multiply_adds(const struct linear *linear, const struct work *work) {
    return work->n_panels * PACKED_ROWS * linear->cols * linear->n_tokens;
}

static bool in_prompt(const struct linear *linear, int64_t token) {
    return linear->in_prompt && linear->in_prompt[linear->rows ? linear->rows[token] : token];
}

/* The end of the tokens from this one on that are all of prompts, or all not. */
static int64_t end_of_run(const struct linear *linear, int64_t token) {
    const bool first = in_prompt(linear, token);
    while (token < linear->n_tokens && in_prompt(linear, token) == first)
        token++;
    return token;
}

/* Prompts' tokens in bf16 and others in f32: what one of them gets does not depend on its neighbours. */
static void multiply_mixed(const struct linear *linear, const struct matrix *w, struct range rows, float *y) {
    const int64_t cols = linear->cols;
    for (int64_t token = 0, end; token < linear->n_tokens; token = end) {
        end = end_of_run(linear, token);
        if (in_prompt(linear, token))
            linear->in_bf16(w, rows.begin, rows.end, linear->bf16 + token * cols, end - token,
                            y + token * w->rows, w->rows);
        else
            linear->kernels->matmul(w, rows.begin, rows.end, linear->x + token * cols, cols, end - token,
                                    y + token * w->rows, w->rows);
    }
}

static void multiply(const struct linear *linear, const struct matrix *w, bool in_bf16, struct range rows,
                     float *y) {
    if (rows.begin >= rows.end) return;
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized(w, rows.begin, rows.end, &linear->q8, linear->n_tokens, y, w->rows);
    else if (in_bf16 && w->dtype == DTYPE_BF16)
        multiply_mixed(linear, w, rows, y);
    else
        linear->kernels->matmul(w, rows.begin, rows.end, linear->x, linear->cols, linear->n_tokens, y,
                                w->rows);
}

static void multiply_piece(const struct linear *linear, const struct work *work, const struct piece *piece) {
    int64_t before = 0;
    for (int32_t i = 0; i < work->n_products; i++) {
        const struct linear_product *product = &work->products[i];
        const struct range part = part_of(work, product->w, piece->owner);
        multiply(linear, product->w, work->in_bf16, rows_of(work, product->w, piece, before), product->y);
        before += part.end - part.begin;
    }
}

static void run(struct linear *linear, const struct linear_product *products, int32_t n_products,
                bool in_bf16) {
    for (int32_t i = 0; i < n_products; i++) {
        DCHECK(products[i].w->rows == 0 || products[i].w->cols == linear->cols);
        if (packed_dtype(products[i].w->dtype)) quantize_input(linear);
        if (in_bf16 && products[i].w->dtype == DTYPE_BF16) round_input(linear);
    }
    struct work work = divide(linear, products, n_products);
    work.in_bf16 = in_bf16;
    deal(linear, &work);
#pragma omp parallel if (threads_worthwhile(multiply_adds(linear, &work)))
    for (struct piece piece; take_piece(linear, &work, &piece); call_between(linear))
        multiply_piece(linear, &work, &piece);
}

void linear_run(struct linear *linear, const struct linear_product *products, int32_t n_products) {
    bool some = false;
    for (int64_t token = 0; linear->in_bf16 && !some && token < linear->n_tokens; token++)
        some = in_prompt(linear, token);
    run(linear, products, n_products, some);
}

void linear_run_replicated(struct linear *linear, const struct linear_product *product) {
    run(linear, product, 1, false);
}

static void multiply_exact(const struct linear *linear, const struct matrix *w, struct range rows,
                           int64_t block, const float *scale, int64_t *sums, int64_t sums_stride,
                           int64_t *bad) {
    if (packed_dtype(w->dtype))
        linear->kernels->matmul_quantized_exact(w, rows.begin, rows.end, block, &linear->q8, scale,
                                                linear->n_tokens, sums, sums_stride, bad);
    else
        linear->kernels->matmul_exact(w, rows.begin, rows.end, block, linear->x, linear->cols, scale,
                                      linear->n_tokens, sums, sums_stride, bad);
}

void linear_run_exact(struct linear *linear, const struct matrix *w, int64_t block, const float *scale,
                      int64_t *sums, int64_t sums_stride, int64_t *bad) {
    DCHECK(w->cols == linear->cols);
    if (packed_dtype(w->dtype)) quantize_input(linear);
    const struct work work = divide(linear, &(struct linear_product){.w = w}, 1);
    deal(linear, &work);
#pragma omp parallel if (threads_worthwhile(multiply_adds(linear, &work)))
    for (struct piece piece; take_piece(linear, &work, &piece); call_between(linear))
        multiply_exact(linear, w, rows_of(&work, w, &piece, 0), block, scale, sums, sums_stride, bad);
}
