#include "worker/logits.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "worker/threads.h"
#include "worker/top_candidates.h"

/* Rows of logits computed at a time: a prefill that wants all its rows would not fit in memory at once. */
enum { ROWS_AT_ONCE = 16 };

/* One canonical block of the vocabulary in one row: sums are relative to the block's own maximum. */
struct block_sums {
    float max;
    float sum;
    float sum_scaled;
};

/* What a rank sends per row: this header, then candidates [n_candidates], then blocks [n_blocks_local]. */
struct summary {
    float target_logit; /* NaN where another rank owns the target, or none is wanted */
    int32_t n_candidates;
    int32_t finite;
};

struct logits {
    struct comm *comm;
    const struct model_shard *shard;
    struct linear *linear;
    const int32_t *step_rows; /* of the last compute's batch: where the hidden states are from */
    int32_t n_held_rows;      /* hidden states kept since the last compute, for fetch */
    struct shard_range held;  /* of these rows, the ones whose logits are in `values` */
    float *hidden;            /* [max_tokens, hidden_size] normed */
    float *values;            /* [ROWS_AT_ONCE, vocabulary rows local] */
    int64_t n_blocks_local;   /* of the vocabulary */
    unsigned char *sent;      /* summaries of ROWS_AT_ONCE rows */

    /* Rank 0 only. */
    unsigned char *gathered;      /* the same of all ranks */
    size_t *gather_sizes;         /* [comm_size] (also elsewhere: all ranks compute them) */
    struct logits_row *rows;      /* [max_tokens] */
    struct candidate *candidates; /* [max_tokens, STEP_MAX_CANDIDATES] */
    struct candidate *merged;     /* [comm_size * STEP_MAX_CANDIDATES] */
};

static int64_t blocks_of(const struct shard_map *map, int rank) {
    const int64_t rows = shard_range_size(shard_map_vocab(map, rank));
    return (rows + map->vocab_block - 1) / map->vocab_block;
}

static size_t summary_bytes(int64_t n_blocks, int32_t n_candidates) {
    return sizeof(struct summary) + (size_t)n_candidates * sizeof(struct candidate) +
           (size_t)n_blocks * sizeof(struct block_sums);
}

static enum status create_on_rank_0(struct logits *logits, int32_t max_tokens, struct arena *memory) {
    const int n_ranks = comm_size(logits->comm);
    size_t bytes = 0;
    for (int rank = 0; rank < n_ranks; rank++)
        bytes += ROWS_AT_ONCE * summary_bytes(blocks_of(&logits->shard->map, rank), STEP_MAX_CANDIDATES);
    TRY(ARENA_TAKE(memory, bytes, &logits->gathered));
    TRY(ARENA_TAKE(memory, (size_t)max_tokens, &logits->rows));
    TRY(ARENA_TAKE(memory, (size_t)max_tokens * STEP_MAX_CANDIDATES, &logits->candidates));
    return ARENA_TAKE(memory, (size_t)n_ranks * STEP_MAX_CANDIDATES, &logits->merged);
}

enum status logits_create(struct comm *comm, const struct model_shard *shard, struct linear *linear,
                          int32_t max_tokens, struct arena *memory, struct logits **logits_out) {
    struct logits *logits;
    TRY(ARENA_TAKE(memory, 1, &logits));
    logits->comm = comm;
    logits->shard = shard;
    logits->linear = linear;
    logits->n_blocks_local = blocks_of(&shard->map, comm_rank(comm));
    TRY(ARENA_TAKE(memory, (size_t)max_tokens * (size_t)shard->spec->hidden_size, &logits->hidden));
    TRY(ARENA_TAKE(memory, ROWS_AT_ONCE * (size_t)shard_range_size(shard->vocab), &logits->values));
    TRY(ARENA_TAKE(memory, ROWS_AT_ONCE * summary_bytes(logits->n_blocks_local, STEP_MAX_CANDIDATES),
                   &logits->sent));
    TRY(ARENA_TAKE(memory, (size_t)comm_size(comm), &logits->gather_sizes));
    if (comm_rank(comm) == 0) TRY(create_on_rank_0(logits, max_tokens, memory));
    *logits_out = logits;
    return STATUS_OK;
}

static void multiply(struct logits *logits, int32_t first_row, int32_t n_rows) {
    logits->held = (struct shard_range){first_row, (int64_t)first_row + n_rows};
    if (logits->shard->output.rows == 0) return;
    const float *x = logits->hidden + (int64_t)first_row * logits->shard->spec->hidden_size;
    linear_input(logits->linear, x, logits->shard->output.cols, n_rows, logits->step_rows + first_row);
    linear_run(logits->linear, &(struct linear_product){&logits->shard->output, logits->values}, 1);
}

static struct block_sums sum_block(const struct kernels *kernels, const float *values, int64_t n,
                                   double inverse_temperature) {
    struct block_sums sums;
    kernels->exp_sum(values, n, 1, &sums.max, &sums.sum);
    sums.sum_scaled = sums.sum;
    if (inverse_temperature != 1)
        kernels->exp_sum(values, n, (float)inverse_temperature, &sums.max, &sums.sum_scaled);
    return sums;
}

static bool all_finite(const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Summarises one row of this rank's logits into `target`. */
static void summarise(const struct logits *logits, const float *values, int32_t wanted_token,
                      double inverse_temperature, int32_t n_candidates, unsigned char *target) {
    const struct shard_range vocab = logits->shard->vocab;
    const int64_t n = shard_range_size(vocab), block_rows = logits->shard->map.vocab_block;
    struct summary summary = {.target_logit = NAN, .finite = all_finite(values, n)};
    if (wanted_token >= vocab.begin && wanted_token < vocab.end)
        summary.target_logit = values[wanted_token - vocab.begin];

    struct candidate best[STEP_MAX_CANDIDATES];
    summary.n_candidates = top_candidates(values, n, (int32_t)vocab.begin, n_candidates, best);
    memcpy(target, &summary, sizeof summary);
    target += sizeof summary;
    memcpy(target, best, (size_t)summary.n_candidates * sizeof *best);
    target += (size_t)n_candidates * sizeof *best;
    for (int64_t block = 0; block < logits->n_blocks_local; block++) {
        const int64_t begin = block * block_rows, left = n - begin;
        const struct block_sums sums = sum_block(logits->shard->kernels, values + begin,
                                                 left < block_rows ? left : block_rows, inverse_temperature);
        memcpy(target, &sums, sizeof sums);
        target += sizeof sums;
    }
}

/* A rank's summary of one row, as gathered. */
struct summary_view {
    struct summary head;
    const unsigned char *candidates;
    const unsigned char *blocks;
    int64_t n_blocks;
};

static struct summary_view view_of(const struct logits *logits, const unsigned char *rank_data, int rank,
                                   int32_t row, int32_t n_candidates) {
    struct summary_view view = {.n_blocks = blocks_of(&logits->shard->map, rank)};
    const unsigned char *data = rank_data + (size_t)row * summary_bytes(view.n_blocks, n_candidates);
    memcpy(&view.head, data, sizeof view.head);
    view.candidates = data + sizeof view.head;
    view.blocks = view.candidates + (size_t)n_candidates * sizeof(struct candidate);
    return view;
}

static struct block_sums block_at(const struct summary_view *view, int64_t block) {
    struct block_sums sums;
    memcpy(&sums, view->blocks + (size_t)block * sizeof sums, sizeof sums);
    return sums;
}

/* Candidates, target and maximum of one row from all ranks. Returns how many candidates were merged. */
static int32_t merge_heads(const struct logits *logits, int32_t row, int32_t n_candidates,
                           struct logits_row *merged) {
    const unsigned char *data = logits->gathered;
    int32_t n = 0;
    for (int rank = 0; rank < comm_size(logits->comm); rank++) {
        const struct summary_view view = view_of(logits, data, rank, row, n_candidates);
        memcpy(logits->merged + n, view.candidates,
               (size_t)view.head.n_candidates * sizeof(struct candidate));
        n += view.head.n_candidates;
        if (!isnan(view.head.target_logit)) merged->target_logit = view.head.target_logit;
        merged->finite = merged->finite && view.head.finite;
        for (int64_t block = 0; block < view.n_blocks; block++)
            merged->max_logit = fmaxf(merged->max_logit, block_at(&view, block).max);
        data += logits->gather_sizes[rank];
    }
    return n;
}

/* The sums of one row, relative to its maximum, block after block in vocabulary order. */
static void merge_sums(const struct logits *logits, int32_t row, int32_t n_candidates,
                       double inverse_temperature, struct logits_row *merged) {
    const unsigned char *data = logits->gathered;
    for (int rank = 0; rank < comm_size(logits->comm); rank++) {
        const struct summary_view view = view_of(logits, data, rank, row, n_candidates);
        for (int64_t block = 0; block < view.n_blocks; block++) {
            const struct block_sums sums = block_at(&view, block);
            const double below = (double)sums.max - (double)merged->max_logit;
            merged->sum_exp += (double)sums.sum * exp(below);
            merged->sum_exp_scaled += (double)sums.sum_scaled * exp(below * inverse_temperature);
        }
        data += logits->gather_sizes[rank];
    }
}

static void merge_row(struct logits *logits, const struct batch *batch, int32_t index, int32_t row_in_group,
                      int32_t n_candidates) {
    struct candidate *best = logits->candidates + (int64_t)index * STEP_MAX_CANDIDATES;
    struct logits_row *merged = &logits->rows[index];
    *merged = (struct logits_row){
        .position = batch->positions[batch->logits_rows[index]],
        .candidates = best,
        .max_logit = -INFINITY,
        .target_logit = NAN,
        .finite = true,
    };
    const int32_t n = merge_heads(logits, row_in_group, n_candidates, merged);
    merge_sums(logits, row_in_group, n_candidates, batch->logits_inverse_temperature[index], merged);
    merged->n_candidates = top_candidates_sort(logits->merged, n, n_candidates, best);
}

/* Up to ROWS_AT_ONCE rows: multiply, summarise, gather, merge. */
static void compute_group(struct logits *logits, const struct batch *batch, int32_t first, int32_t n_rows,
                          int32_t n_candidates) {
    const size_t bytes = summary_bytes(logits->n_blocks_local, n_candidates);
    multiply(logits, first, n_rows);
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_rows * logits->shard->output.rows))
    for (int32_t i = 0; i < n_rows; i++)
        summarise(logits, logits->values + i * logits->shard->output.rows, batch->logits_targets[first + i],
                  batch->logits_inverse_temperature[first + i], n_candidates,
                  logits->sent + (size_t)i * bytes);
    for (int rank = 0; rank < comm_size(logits->comm); rank++)
        logits->gather_sizes[rank] =
            (size_t)n_rows * summary_bytes(blocks_of(&logits->shard->map, rank), n_candidates);
    comm_gather(logits->comm, logits->sent, logits->gather_sizes, logits->gathered);
    if (comm_rank(logits->comm) != 0) return;
    for (int32_t i = 0; i < n_rows; i++)
        merge_row(logits, batch, first + i, i, n_candidates);
}

void logits_compute(struct logits *logits, const struct batch *batch, const float *x, int32_t n_candidates,
                    struct step_result *result) {
    const struct model_spec *spec = logits->shard->spec;
    for (int32_t i = 0; i < batch->n_logits; i++)
        logits->shard->kernels->rms_norm(x + (int64_t)batch->logits_rows[i] * spec->hidden_size,
                                         logits->shard->final_norm, spec->rms_norm_eps, spec->hidden_size,
                                         logits->hidden + (int64_t)i * spec->hidden_size);
    logits->n_held_rows = batch->n_logits;
    logits->step_rows = batch->logits_rows;
    for (int32_t first = 0; first < batch->n_logits; first += ROWS_AT_ONCE) {
        const int32_t left = batch->n_logits - first;
        compute_group(logits, batch, first, left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, n_candidates);
    }
    result->n_rows = batch->n_logits;
    result->rows = logits->rows;
}

void logits_fetch(struct logits *logits, int32_t index, float *row) {
    CHECK(index >= 0 && index < logits->n_held_rows);
    if (index < logits->held.begin || index >= logits->held.end) multiply(logits, index, 1);
    for (int rank = 0; rank < comm_size(logits->comm); rank++)
        logits->gather_sizes[rank] =
            (size_t)shard_range_size(shard_map_vocab(&logits->shard->map, rank)) * sizeof(float);
    const float *values = logits->values + (index - logits->held.begin) * logits->shard->output.rows;
    comm_gather(logits->comm, values, logits->gather_sizes, row);
}
