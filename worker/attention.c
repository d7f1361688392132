#include "worker/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/check.h"
#include "base/timer.h"
#include "worker/threads.h"

/* What one thread needs for one (block, KV head): g = query heads of a KV head, queries = rows x g. */
struct scratch {
    float *q;                              /* [queries, head_dim] */
    float *scores;                         /* [queries, ATTEND_CHUNK] */
    float *max, *sum, *acc;                /* running: [queries], [queries], [queries, head_dim] */
    float *part_max, *part_sum, *part_acc; /* of one chunk */
    int32_t *n_valid;                      /* [queries] */
    const void **keys, **values;           /* [ATTEND_CHUNK] */
};

struct attention {
    struct attention_shape shape;
    const struct kernels *kernels;
    int32_t group;           /* g */
    float scale;             /* 1 / sqrt(head_dim) */
    struct scratch *scratch; /* [n_threads] */
    double propose_seconds;
    float *scores; /* [n_heads_local, context_length] of one sequence at a selecting layer */
};

/* The tokens that the rows of a block attend to: `tokens`, or first, first + 1, … where it is NULL. Row i
 * of the block sees the first n_first + i entries. */
struct token_span {
    const int32_t *tokens;
    int64_t first;
    int64_t n_first;
};

static enum status create_scratch(struct arena *memory, size_t queries, size_t head_dim,
                                  struct scratch *scratch) {
    TRY(ARENA_TAKE(memory, queries * head_dim, &scratch->q));
    TRY(ARENA_TAKE(memory, queries * ATTEND_CHUNK, &scratch->scores));
    TRY(ARENA_TAKE(memory, queries, &scratch->max));
    TRY(ARENA_TAKE(memory, queries, &scratch->sum));
    TRY(ARENA_TAKE(memory, queries * head_dim, &scratch->acc));
    TRY(ARENA_TAKE(memory, queries, &scratch->part_max));
    TRY(ARENA_TAKE(memory, queries, &scratch->part_sum));
    TRY(ARENA_TAKE(memory, queries * head_dim, &scratch->part_acc));
    TRY(ARENA_TAKE(memory, queries, &scratch->n_valid));
    TRY(ARENA_TAKE(memory, (size_t)ATTEND_CHUNK, &scratch->keys));
    return ARENA_TAKE(memory, (size_t)ATTEND_CHUNK, &scratch->values);
}

enum status attention_create(const struct attention_shape *shape, const struct kernels *kernels,
                             struct arena *memory, struct attention **attention_out) {
    struct attention *attention;
    TRY(ARENA_TAKE(memory, 1, &attention));
    attention->shape = *shape;
    attention->kernels = kernels;
    attention->group = shape->n_heads_local / shape->n_kv_heads_local;
    attention->scale = (float)(1 / sqrt((double)shape->head_dim));
    TRY(ARENA_TAKE(memory, (size_t)shape->n_threads, &attention->scratch));
    const size_t queries = (size_t)attention->group * BATCH_BLOCK_ROWS;
    for (int32_t thread = 0; thread < shape->n_threads; thread++)
        TRY(create_scratch(memory, queries, (size_t)shape->head_dim, &attention->scratch[thread]));
    const size_t n_scores = shape->selects ? (size_t)shape->n_heads_local * (size_t)shape->context_length : 0;
    TRY(ARENA_TAKE(memory, n_scores, &attention->scores));
    *attention_out = attention;
    return STATUS_OK;
}

/* Query heads, all of one KV head, that read the same tokens. */
struct head_group {
    int32_t kv_head;
    int32_t first; /* local number of the first query head */
    int32_t n;
};

static struct head_group heads_of(const struct attention *attention, int32_t kv_head) {
    return (struct head_group){
        .kv_head = kv_head, .first = kv_head * attention->group, .n = attention->group};
}

/* The queries of a block, copied together: row after row, n heads each. */
static void gather_queries(const struct attention *attention, const struct attention_call *call,
                           const struct batch_block *block, struct head_group heads,
                           struct scratch *scratch) {
    const int64_t head_dim = attention->shape.head_dim, row_size = attention->shape.n_heads_local * head_dim;
    const int64_t group_size = heads.n * head_dim;
    for (int32_t i = 0; i < block->n_rows; i++)
        memcpy(scratch->q + i * group_size,
               call->q + (block->first_row + i) * row_size + heads.first * head_dim,
               (size_t)group_size * sizeof(float));
}

/* Divides by the sums and puts the heads back in their rows. */
static void scatter_outputs(const struct attention *attention, const struct attention_call *call,
                            const struct batch_block *block, struct head_group heads,
                            const struct scratch *scratch) {
    const int64_t head_dim = attention->shape.head_dim, row_size = attention->shape.n_heads_local * head_dim;
    for (int32_t query = 0; query < block->n_rows * heads.n; query++) {
        const int64_t row = block->first_row + query / heads.n, head = heads.first + query % heads.n;
        float *out = call->out + row * row_size + head * head_dim;
        for (int64_t d = 0; d < head_dim; d++)
            out[d] = scratch->acc[query * head_dim + d] / scratch->sum[query];
    }
}

/* One chunk of `n` entries from list position `begin`: scores, weights, weighted values, merged. */
static void attend_chunk(const struct attention *attention, const struct token_span *list, int64_t begin,
                         int64_t n, int32_t n_rows, int32_t n_heads, float *scores_out,
                         struct scratch *scratch) {
    const struct kernels *kernels = attention->kernels;
    const int64_t head_dim = attention->shape.head_dim;
    const int32_t n_queries = n_rows * n_heads;
    kernels->score(scratch->q, n_queries, scratch->keys, attention->shape.kv_dtype, n, head_dim,
                   attention->scale, scratch->scores, ATTEND_CHUNK);
    if (scores_out) /* a selecting layer: one row, g heads */
        for (int32_t query = 0; query < n_queries; query++)
            memcpy(scores_out + query * attention->shape.context_length + begin,
                   scratch->scores + (int64_t)query * ATTEND_CHUNK, (size_t)n * sizeof(float));

    for (int32_t query = 0; query < n_queries; query++) {
        const int64_t seen = list->n_first + query / n_heads - begin;
        scratch->n_valid[query] = (int32_t)(seen < 0 ? 0 : seen < n ? seen : n);
    }
    kernels->attend_chunk(scratch->scores, ATTEND_CHUNK, n_queries, scratch->n_valid, scratch->values,
                          attention->shape.kv_dtype, n, head_dim, scratch->part_max, scratch->part_sum,
                          scratch->part_acc);
    for (int32_t query = 0; query < n_queries; query++)
        kernels->attend_merge(&scratch->max[query], &scratch->sum[query], scratch->acc + query * head_dim,
                              scratch->part_max[query], scratch->part_sum[query],
                              scratch->part_acc + query * head_dim, head_dim);
}

/* All rows of a block, some heads. scores_out [heads.n, context_length] or NULL. */
static void attend_block(const struct attention *attention, const struct attention_call *call,
                         const struct batch_block *block, struct head_group heads,
                         const struct token_span *list, float *scores_out) {
    struct scratch *scratch = &attention->scratch[omp_get_thread_num()];
    const int32_t n_queries = block->n_rows * heads.n;
    const int64_t n_entries = list->n_first + block->n_rows - 1; /* what the last row sees */

    gather_queries(attention, call, block, heads, scratch);
    for (int32_t query = 0; query < n_queries; query++) {
        scratch->max[query] = -INFINITY;
        scratch->sum[query] = 0;
    }
    memset(scratch->acc, 0, (size_t)n_queries * (size_t)attention->shape.head_dim * sizeof(float));
    for (int64_t begin = 0; begin < n_entries; begin += ATTEND_CHUNK) {
        const int64_t left = n_entries - begin, n = left < ATTEND_CHUNK ? left : ATTEND_CHUNK;
        kv_cache_rows(call->cache, block->slot, call->layer, heads.kv_head,
                      list->tokens ? list->tokens + begin : NULL, list->first + begin, n, scratch->keys,
                      scratch->values);
        attend_chunk(attention, list, begin, n, block->n_rows, heads.n, scores_out, scratch);
    }
    scatter_outputs(attention, call, block, heads, scratch);
}

/* Everything up to each row's own token, or the window's end of it. */
static struct token_span dense_list(const struct attention *attention, const struct batch_block *block) {
    const int64_t window = attention->shape.sliding_window, n_cached = block->first_position + 1;
    const int64_t first = window > 0 && n_cached > window ? n_cached - window : 0;
    DCHECK(window == 0 || block->n_rows == 1);
    return (struct token_span){.tokens = NULL, .first = first, .n_first = n_cached - first};
}

static enum kv_attention action_of(const struct attention_call *call, const struct batch_block *block) {
    if (!block->decode) return KV_ATTEND_ALL;
    return kv_policy_layer(call->policy, block->slot, call->layer, block->first_position + 1);
}

/* A decode token at a sparse layer: neighbouring query heads that share their set go together, so that its
 * rows are read once. */
static void attend_set(const struct attention *attention, const struct attention_call *call,
                       const struct batch_block *block, int32_t kv_head) {
    const struct head_group all = heads_of(attention, kv_head);
    for (int32_t i = 0, n; i < all.n; i += n) {
        const struct kv_set set = kv_policy_set(call->policy, block->slot, call->layer, all.first + i);
        for (n = 1; i + n < all.n; n++)
            if (kv_policy_set(call->policy, block->slot, call->layer, all.first + i + n).tokens != set.tokens)
                break;
        const struct token_span list = {.tokens = set.tokens, .first = 0, .n_first = set.n_tokens};
        const struct head_group heads = {.kv_head = kv_head, .first = all.first + i, .n = n};
        attend_block(attention, call, block, heads, &list, NULL);
    }
}

/* A decode token at a selecting layer: dense attention that keeps its scores, then the proposal. */
static void attend_and_propose(struct attention *attention, const struct attention_call *call,
                               int32_t decode) {
    const struct batch_block *block = &call->batch->blocks[call->batch->decodes[decode]];
    const int64_t context = attention->shape.context_length, n_cached = block->first_position + 1;
    const struct token_span list = dense_list(attention, block);
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_cached * attention->shape.head_dim))
    for (int32_t kv_head = 0; kv_head < attention->shape.n_kv_heads_local; kv_head++)
        attend_block(attention, call, block, heads_of(attention, kv_head), &list,
                     attention->scores + kv_head * attention->group * context);
    const double begin = timer_seconds();
    kv_policy_propose(call->policy, block->slot, call->layer, n_cached, attention->scores, context,
                      call->messages + call->message_offsets[decode]);
    attention->propose_seconds += timer_seconds() - begin;
}

/* About how many multiply-adds the batch takes, were all of it dense. */
static int64_t work_of(const struct attention *attention, const struct batch *batch) {
    int64_t entries = 0;
    for (int32_t b = 0; b < batch->n_blocks; b++)
        entries += batch->blocks[b].n_rows * (batch->blocks[b].first_position + 1);
    return entries * attention->shape.n_heads_local * attention->shape.head_dim;
}

void attention_run(struct attention *attention, const struct attention_call *call) {
    const struct batch *batch = call->batch;
    const int32_t n_kv_heads = attention->shape.n_kv_heads_local;
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(work_of(attention, batch)))
    for (int32_t item = 0; item < batch->n_blocks * n_kv_heads; item++) {
        const struct batch_block *block = &batch->blocks[item / n_kv_heads];
        const int32_t kv_head = item % n_kv_heads;
        const struct token_span list = dense_list(attention, block);
        switch (action_of(call, block)) {
        case KV_ATTEND_ALL:
            attend_block(attention, call, block, heads_of(attention, kv_head), &list, NULL);
            break;
        case KV_ATTEND_SET:
            attend_set(attention, call, block, kv_head);
            break;
        case KV_ATTEND_ALL_AND_SELECT: /* below, one sequence at a time */
            break;
        }
    }
    for (int32_t decode = 0; decode < batch->n_decodes; decode++)
        if (action_of(call, &batch->blocks[batch->decodes[decode]]) == KV_ATTEND_ALL_AND_SELECT)
            attend_and_propose(attention, call, decode);
}

double attention_take_propose_seconds(struct attention *attention) {
    const double seconds = attention->propose_seconds;
    attention->propose_seconds = 0;
    return seconds;
}
