#include "worker/attention.h"

#include <math.h>
#include <omp.h>

#include "base/check.h"
#include "base/timer.h"
#include "worker/attention_impl.h"
#include "worker/threads.h"

static int64_t chunks_of(int64_t n_entries) {
    return (n_entries + ATTEND_CHUNK - 1) / ATTEND_CHUNK;
}

static enum status create_partial(struct arena *memory, size_t queries, size_t head_dim,
                                  struct partial *partial) {
    TRY(ARENA_TAKE(memory, queries, &partial->max));
    TRY(ARENA_TAKE(memory, queries, &partial->sum));
    return ARENA_TAKE(memory, queries * head_dim, &partial->acc);
}

static enum status create_scratch(struct arena *memory, const struct attention_shape *shape, size_t group,
                                  struct scratch *scratch) {
    const size_t queries = group * BATCH_BLOCK_ROWS, head_dim = (size_t)shape->head_dim;
    const size_t later = shape->n_threads > 1 ? (size_t)chunks_of(shape->context_length) * group : 0;
    TRY(ARENA_TAKE(memory, queries * head_dim, &scratch->q));
    TRY(ARENA_TAKE(memory, queries * ATTEND_CHUNK, &scratch->scores));
    TRY(ARENA_TAKE(memory, queries, &scratch->n_valid));
    TRY(ARENA_TAKE(memory, 2, &scratch->rows));
    TRY(ARENA_TAKE(memory, head_dim * ATTEND_CHUNK, &scratch->columns));
    TRY(create_partial(memory, queries, head_dim, &scratch->merged));
    TRY(create_partial(memory, queries, head_dim, &scratch->chunk));
    return create_partial(memory, later, head_dim, &scratch->later);
}

enum status attention_create(const struct attention_shape *shape, const struct kernels *kernels,
                             struct arena *memory, struct attention **attention_out) {
    struct attention *attention;
    const size_t n_heads = (size_t)shape->n_heads_local;
    TRY(ARENA_TAKE(memory, 1, &attention));
    attention->shape = *shape;
    attention->kernels = kernels;
    attention->group = shape->n_heads_local / shape->n_kv_heads_local;
    attention->scale = (float)(1 / sqrt((double)shape->head_dim));
    TRY(ARENA_TAKE(memory, (size_t)shape->n_threads, &attention->scratch));
    for (int32_t thread = 0; thread < shape->n_threads; thread++)
        TRY(create_scratch(memory, shape, (size_t)attention->group, &attention->scratch[thread]));
    TRY(ARENA_TAKE(memory, (size_t)shape->max_tokens * n_heads, &attention->items));
    TRY(ARENA_TAKE(memory, shape->selects ? n_heads * (size_t)shape->context_length : 0, &attention->scores));
    *attention_out = attention;
    return STATUS_OK;
}

static enum kv_attention action_of(const struct attention_call *call, const struct batch_block *block) {
    if (!block->decode) return KV_ATTEND_ALL;
    return kv_policy_layer(call->policy, block->slot, call->layer, block->first_position + 1);
}

/* Everything up to each row's own token, or the window's end of it. */
static struct token_span dense_list(const struct attention *attention, const struct batch_block *block) {
    const int64_t window = attention->shape.sliding_window, n_cached = block->first_position + 1;
    const int64_t first = window > 0 && n_cached > window ? n_cached - window : 0;
    DCHECK(window == 0 || block->n_rows == 1);
    return (struct token_span){.tokens = NULL, .first = first, .n_first = n_cached - first};
}

static struct item *add_item(struct attention *attention, const struct batch_block *block,
                             struct head_group heads, struct token_span list) {
    struct item *item = &attention->items[attention->n_items++];
    const int64_t n_entries = list.n_first + block->n_rows - 1;
    *item = (struct item){.block = block,
                          .heads = heads,
                          .list = list,
                          .n_entries = n_entries,
                          .n_chunks = chunks_of(n_entries),
                          .cost_begin = attention->cost};
    attention->cost += item->n_chunks * block->n_rows;
    return item;
}

static struct head_group heads_of(const struct attention *attention, int32_t kv_head) {
    return (struct head_group){
        .kv_head = kv_head, .first = kv_head * attention->group, .n = attention->group};
}

/* A decode token at a sparse layer: neighbouring query heads that share their set go together, so that its
 * rows are read once. */
static void add_set(struct attention *attention, const struct attention_call *call,
                    const struct batch_block *block, int32_t kv_head) {
    const struct head_group all = heads_of(attention, kv_head);
    for (int32_t i = 0, n; i < all.n; i += n) {
        const struct kv_set set = kv_policy_set(call->policy, block->slot, call->layer, all.first + i);
        for (n = 1; i + n < all.n; n++)
            if (kv_policy_set(call->policy, block->slot, call->layer, all.first + i + n).tokens != set.tokens)
                break;
        const struct token_span list = {.tokens = set.tokens, .first = 0, .n_first = set.n_tokens};
        add_item(attention, block, (struct head_group){kv_head, all.first + i, n}, list);
    }
}

static void clear_items(struct attention *attention) {
    attention->n_items = 0;
    attention->cost = 0;
}

/* KV head by KV head: a thread's share then reads few of them, and one sequence's blocks again and again. */
static void add_batch(struct attention *attention, const struct attention_call *call) {
    for (int32_t kv_head = 0; kv_head < attention->shape.n_kv_heads_local; kv_head++)
        for (int32_t b = 0; b < call->batch->n_blocks; b++) {
            const struct batch_block *block = &call->batch->blocks[b];
            const enum kv_attention action = action_of(call, block);
            if (action == KV_ATTEND_ALL)
                add_item(attention, block, heads_of(attention, kv_head), dense_list(attention, block));
            else if (action == KV_ATTEND_SET)
                add_set(attention, call, block, kv_head);
        }
}

static void run_items(const struct attention *attention, const struct attention_call *call) {
    const int64_t multiply_adds =
        attention->cost * ATTEND_CHUNK * attention->group * attention->shape.head_dim;
#pragma omp parallel if (threads_worthwhile(multiply_adds))
    {
        const int thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
        attend_share(attention, call, thread, n_threads);
#pragma omp barrier
        attend_finish(attention, call, thread, n_threads);
    }
}

/* Every head ranks its tokens by the scores that were kept. */
static void propose(const struct attention *attention, const struct attention_call *call,
                    const struct batch_block *block, uint32_t *message_out) {
    const int64_t context = attention->shape.context_length, n_cached = block->first_position + 1;
    const int32_t n_heads = attention->shape.n_heads_local;
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_cached * n_heads))
    for (int32_t head = 0; head < n_heads; head++)
        kv_policy_rank(call->policy, omp_get_thread_num(), block->slot, call->layer, n_cached, head,
                       attention->scores + head * context);
    kv_policy_propose(call->policy, block->slot, call->layer, n_cached, message_out);
}

/* A decode token at a selecting layer: dense attention that keeps its scores, then the proposal. */
static void attend_and_propose(struct attention *attention, const struct attention_call *call,
                               int32_t decode) {
    const struct batch_block *block = &call->batch->blocks[call->batch->decodes[decode]];
    const int64_t context = attention->shape.context_length;
    clear_items(attention);
    for (int32_t kv_head = 0; kv_head < attention->shape.n_kv_heads_local; kv_head++)
        add_item(attention, block, heads_of(attention, kv_head), dense_list(attention, block))->scores =
            attention->scores + kv_head * attention->group * context;
    run_items(attention, call);
    const double begin = timer_seconds();
    propose(attention, call, block, call->messages + call->message_offsets[decode]);
    attention->propose_seconds += timer_seconds() - begin;
}

void attention_run(struct attention *attention, const struct attention_call *call) {
    clear_items(attention);
    add_batch(attention, call);
    if (attention->n_items > 0) run_items(attention, call);
    for (int32_t decode = 0; decode < call->batch->n_decodes; decode++)
        if (action_of(call, &call->batch->blocks[call->batch->decodes[decode]]) == KV_ATTEND_ALL_AND_SELECT)
            attend_and_propose(attention, call, decode);
}

double attention_take_propose_seconds(struct attention *attention) {
    const double seconds = attention->propose_seconds;
    attention->propose_seconds = 0;
    return seconds;
}
