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

static enum status create_scratch(struct arena *memory, const struct attention_shape *shape, size_t group,
                                  struct scratch *scratch) {
    const size_t queries = group * BATCH_BLOCK_ROWS, head_dim = (size_t)shape->head_dim;
    const size_t max_chunks = (size_t)chunks_of(shape->context_length) + KV_STRIPES;
    const size_t later = shape->n_threads > 1 ? max_chunks * group : 0;
    TRY(ARENA_TAKE(memory, queries * head_dim, &scratch->q));
    TRY(ARENA_TAKE(memory, queries * ATTEND_CHUNK, &scratch->scores));
    TRY(ARENA_TAKE(memory, queries, &scratch->n_valid));
    TRY(ARENA_TAKE(memory, 2, &scratch->rows));
    TRY(ARENA_TAKE(memory, head_dim * ATTEND_CHUNK, &scratch->columns));
    TRY(partial_create(memory, queries, head_dim, &scratch->chunk));
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++)
        TRY(partial_create(memory, queries, head_dim, &scratch->sums[stripe]));
    return partial_create(memory, later, head_dim, &scratch->later);
}

/* Of one sequence, where the policy may ever look at scores. */
static enum status create_score_memory(struct arena *memory, const struct attention_shape *shape,
                                       struct attention *attention) {
    const size_t context = (size_t)shape->context_length;
    const size_t lists = shape->rescores ? (size_t)shape->n_kv_heads_local * context : 0;
    const size_t scores = shape->selects || shape->rescores ? (size_t)shape->n_heads_local * context : 0;
    TRY(ARENA_TAKE(memory, scores, &attention->scores));
    TRY(ARENA_TAKE(memory, lists, &attention->entries));
    return ARENA_TAKE(memory, lists, &attention->rows);
}

static void own_stripes(struct attention *attention) {
    struct head_group *group = attention->shape.group;
    attention->own =
        group ? head_group_stripes(group, head_group_member(group)) : (struct shard_range){0, KV_STRIPES};
    for (int32_t place = 0, n = 0; place < KV_STRIPES; place++) {
        const int32_t stripe = kv_stripe_reversed(place);
        if (stripe >= attention->own.begin && stripe < attention->own.end) attention->in_order[n++] = stripe;
    }
}

enum status attention_create(const struct attention_shape *shape, const struct kernels *kernels,
                             struct arena *memory, struct attention **attention_out) {
    struct attention *attention;
    const size_t n_heads = (size_t)shape->n_heads_local;
    TRY(ARENA_TAKE(memory, 1, &attention));
    attention->shape = *shape;
    attention->kernels = kernels;
    attention->group = shape->n_heads_local / shape->n_kv_heads_local;
    attention->scale = attention_scale(shape->head_dim);
    TRY(ARENA_TAKE(memory, (size_t)shape->n_threads, &attention->scratch));
    for (int32_t thread = 0; thread < shape->n_threads; thread++)
        TRY(create_scratch(memory, shape, (size_t)attention->group, &attention->scratch[thread]));
    TRY(ARENA_TAKE(memory, (size_t)shape->max_tokens * n_heads, &attention->items));
    TRY(ARENA_TAKE(memory, (size_t)shape->max_tokens, &attention->last_items));
    TRY(ARENA_TAKE(memory, n_heads * (size_t)shape->context_length, &attention->sorted_rows));
    TRY(ARENA_TAKE(memory, n_heads * (size_t)shape->context_length, &attention->sorted_entries));
    TRY(create_score_memory(memory, shape, attention));
    TRY(head_exchange_create(shape, memory, &attention->exchange));
    TRY(score_exchange_create(shape, kernels, memory, &attention->all_scores));
    own_stripes(attention);
    *attention_out = attention;
    return STATUS_OK;
}

static enum kv_attention action_of(const struct attention_call *call, const struct batch_block *block) {
    if (!block->decode) return KV_ATTEND_ALL;
    return kv_policy_layer(call->policy, block->slot, call->layer, block->first_position + 1);
}

static struct row_list rows_of(struct kv_set set) {
    return (struct row_list){.rows = set.rows ? set.rows : set.tokens, .n_first = set.n_tokens};
}

/* Everything up to each row's own token that was not evicted, or the window's end of it. */
static struct row_list dense_list(const struct attention *attention, const struct attention_call *call,
                                  const struct batch_block *block, int32_t kv_head) {
    const int64_t n_cached = block->first_position + block->n_rows, window = attention->shape.sliding_window;
    struct row_list list =
        rows_of(kv_policy_resident(call->policy, block->slot, call->layer, kv_head, n_cached));
    list.n_first -= block->n_rows - 1; /* what the block's first row sees; its tokens are the last ones */
    DCHECK(window == 0 || (block->n_rows == 1 && !list.rows));
    if (window > 0 && n_cached > window)
        list = (struct row_list){.first = n_cached - window, .n_first = window};
    return list;
}

/* What the block's last row sees. */
static int64_t list_size(const struct batch_block *block, struct row_list list) {
    return list.n_first + block->n_rows - 1;
}

/* Puts the item behind those that were counted before. */
static void count_item(struct attention *attention, struct item *item) {
    int64_t *begins = item->chunk_begins;
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++) {
        const bool own = stripe >= attention->own.begin && stripe < attention->own.end;
        begins[stripe + 1] = begins[stripe] + (own ? chunks_of(striped_list_size(&item->list, stripe)) : 0);
    }
    item->cost_begin = attention->cost;
    attention->cost += begins[KV_STRIPES] * item->block->n_rows;
    attention->n_products += item->list.begins[KV_STRIPES] * item->block->n_rows;
}

static void clear_items(struct attention *attention) {
    attention->n_items = 0;
    attention->cost = attention->n_products = attention->n_sorted = 0;
}

static void run_items(const struct attention *attention, const struct attention_call *call) {
    const int64_t multiply_adds = attention->n_products * attention->group * attention->shape.head_dim;
#pragma omp parallel if (threads_worthwhile(multiply_adds))
    {
        const int thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
        attend_share(attention, call, thread, n_threads);
#pragma omp barrier
        attend_finish(attention, call, thread, n_threads);
    }
}

/* Of several heads that have one list it is sorted once. */
static struct striped_list sort_list(struct attention *attention, const struct item *item, int32_t block) {
    const int64_t n = list_size(item->block, item->source), at = attention->n_sorted;
    const int32_t before = attention->last_items[block];
    const struct item *other = &attention->items[before];
    attention->last_items[block] = (int32_t)(item - attention->items);
    if (other < item && other->block == item->block && other->source.rows == item->source.rows &&
        other->list.begins[KV_STRIPES] == n)
        return other->list;
    attention->n_sorted += n;
    return striped_sort(item->source.rows, n, attention->sorted_rows + at, attention->sorted_entries + at);
}

/* Where no room is left to sort the list, those before it are attended to first. One sequence's lists always
 * have room. */
static struct item *add_item(struct attention *attention, const struct attention_call *call,
                             const struct batch_block *block, struct query_heads heads,
                             struct row_list list) {
    const int64_t n = list_size(block, list),
                  room = attention->shape.n_heads_local * attention->shape.context_length;
    if (list.rows && attention->n_sorted + n > room) {
        run_items(attention, call);
        clear_items(attention);
    }
    struct item *item = &attention->items[attention->n_items++];
    *item = (struct item){.block = block, .heads = heads, .source = list};
    item->list = list.rows ? sort_list(attention, item, (int32_t)(block - call->batch->blocks))
                           : striped_range(list.first, n);
    count_item(attention, item);
    return item;
}

static struct query_heads heads_of(const struct attention *attention, int32_t kv_head) {
    return (struct query_heads){
        .kv_head = kv_head, .first = kv_head * attention->group, .n = attention->group};
}

static bool same_set(struct kv_set a, struct kv_set b) {
    return a.tokens == b.tokens && a.rows == b.rows && a.n_tokens == b.n_tokens;
}

/* Of a KV head's query heads from `first` on, as many as share the first one's list: its rows are read once
 * for all of them. */
static struct query_heads same_list(const struct attention_call *call, const struct batch_block *block,
                                    struct query_heads left, struct kv_set *set_out) {
    const int64_t n_cached = block->first_position + 1;
    *set_out = kv_policy_set(call->policy, block->slot, call->layer, n_cached, left.first);
    for (int32_t n = 1; n < left.n; n++)
        if (!same_set(*set_out,
                      kv_policy_set(call->policy, block->slot, call->layer, n_cached, left.first + n)))
            return (struct query_heads){left.kv_head, left.first, n};
    return left;
}

/* The lists of a decode token's query heads of one KV head. scores: of these heads, or NULL for ATTEND. */
static void add_sets(struct attention *attention, const struct attention_call *call,
                     const struct batch_block *block, int32_t kv_head, enum item_work work, float *scores) {
    const enum kv_attention action = action_of(call, block);
    const struct query_heads all = heads_of(attention, kv_head);
    struct query_heads heads;
    for (int32_t i = 0; i < all.n; i += heads.n) {
        struct kv_set set;
        heads = same_list(call, block, (struct query_heads){kv_head, all.first + i, all.n - i}, &set);
        struct item *item = add_item(attention, call, block, heads, rows_of(set));
        item->work = work;
        item->scores = scores ? scores + i * attention->shape.context_length : NULL;
        if (action & KV_ADD_PARTIAL)
            item->added = kv_policy_partial(call->policy, block->slot, call->layer, kv_head);
    }
}

/* What the policy has a say in is attended to sequence by sequence: there is room for the scores of one. */
static bool needs_scores(enum kv_attention action) {
    return action & (KV_RANK | KV_RESCORE);
}

/* KV head by KV head: a thread's share then reads few of them, and one sequence's blocks again and again. */
static void add_batch(struct attention *attention, const struct attention_call *call) {
    for (int32_t kv_head = 0; kv_head < attention->shape.n_kv_heads_local; kv_head++)
        for (int32_t b = 0; b < call->batch->n_blocks; b++) {
            const struct batch_block *block = &call->batch->blocks[b];
            const enum kv_attention action = action_of(call, block);
            if (action == KV_ATTEND_ALL)
                add_item(attention, call, block, heads_of(attention, kv_head),
                         dense_list(attention, call, block, kv_head));
            else if (!needs_scores(action))
                add_sets(attention, call, block, kv_head, ATTEND, NULL);
        }
}

/* Every KV head of every decode token whose set depends on its queries. */
static void choose_sets(const struct attention *attention, const struct attention_call *call) {
    const struct batch *batch = call->batch;
    const struct attention_shape *shape = &attention->shape;
    const int64_t row_size = (int64_t)shape->n_heads_local * shape->head_dim;
    const int64_t group_size = (int64_t)attention->group * shape->head_dim;
    bool any = false;
    for (int32_t d = 0; d < batch->n_decodes; d++)
        any |= (action_of(call, &batch->blocks[batch->decodes[d]]) & KV_CHOOSE) != 0;
    if (!any) return;
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int32_t d = 0; d < batch->n_decodes; d++)
        for (int32_t kv_head = 0; kv_head < shape->n_kv_heads_local; kv_head++) {
            const struct batch_block *block = &batch->blocks[batch->decodes[d]];
            if (!(action_of(call, block) & KV_CHOOSE)) continue;
            kv_policy_choose(call->policy, omp_get_thread_num(), block->slot, call->layer,
                             block->first_position + 1, kv_head,
                             call->q + block->first_row * row_size + kv_head * group_size);
        }
}

/* Gets the scores of other ranks' rows. true: of the best only. */
static bool exchange_scores(const struct attention *attention, const struct attention_call *call,
                            const struct batch_block *block) {
    struct score_exchange *exchange = attention->all_scores;
    if (!exchange) return false;
    const struct kv_best best =
        kv_policy_best(call->policy, block->slot, call->layer, block->first_position + 1);
    if (best.n > 0 && score_exchange_best(exchange, call->policy, &attention->items[0], best)) return true;
    score_exchange_all(exchange, attention->items, attention->n_items);
    return false;
}

/* Every head looks at the scores that were kept, or at the best of all ranks'. */
static void rank(const struct attention *attention, const struct attention_call *call,
                 const struct batch_block *block, bool best) {
    const int64_t context = attention->shape.context_length, n_cached = block->first_position + 1;
    const int32_t n_heads = attention->shape.n_heads_local;
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_cached * n_heads))
    for (int32_t head = 0; head < n_heads; head++)
        if (best)
            kv_policy_rank_best(call->policy, omp_get_thread_num(), block->slot, call->layer, n_cached, head,
                                score_exchange_scored(attention->all_scores, head));
        else
            kv_policy_rank(call->policy, omp_get_thread_num(), block->slot, call->layer, n_cached, head,
                           attention->scores + head * context);
}

/* Has the policy replace the scores of one KV head; returns what is left of its list. */
static struct striped_list rescore(const struct attention *attention, const struct attention_call *call,
                                   const struct batch_block *block, int32_t kv_head) {
    const int64_t context = attention->shape.context_length, n_cached = block->first_position + 1;
    int32_t *entries = attention->entries + kv_head * context, *rows = attention->rows + kv_head * context;
    const int32_t head = kv_head * attention->group;
    const struct row_list list =
        rows_of(kv_policy_set(call->policy, block->slot, call->layer, n_cached, head));
    const int64_t n =
        kv_policy_rescore(call->policy, omp_get_thread_num(), block->slot, call->layer, n_cached, kv_head,
                          attention->scores + head * context, context, entries);
    CHECK(n >= 1 && n <= list.n_first);
    for (int64_t i = 0; i < n; i++)
        rows[i] = list.rows ? list.rows[entries[i]] : entries[i];
    return striped_sort(rows, n, attention->sorted_rows + kv_head * context,
                        attention->sorted_entries + kv_head * context);
}

/* The second half of a layer whose scores the policy replaces. */
static void weigh(struct attention *attention, const struct attention_call *call,
                  const struct batch_block *block) {
    const int32_t n_kv_heads = attention->shape.n_kv_heads_local;
    const int64_t n_cached = block->first_position + 1;
    clear_items(attention);
    for (int32_t kv_head = 0; kv_head < n_kv_heads; kv_head++) {
        struct item *item = &attention->items[attention->n_items++];
        *item = (struct item){.block = block, .heads = heads_of(attention, kv_head), .work = WEIGH};
        if (action_of(call, block) & KV_ADD_PARTIAL)
            item->added = kv_policy_partial(call->policy, block->slot, call->layer, kv_head);
        item->scores = attention->scores + item->heads.first * attention->shape.context_length;
    }
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_cached * attention->shape.n_heads_local))
    for (int32_t kv_head = 0; kv_head < n_kv_heads; kv_head++)
        attention->items[kv_head].list = rescore(attention, call, block, kv_head);
    for (int32_t i = 0; i < n_kv_heads; i++)
        count_item(attention, &attention->items[i]);
    run_items(attention, call);
}

/* Waiting for the group is no proposing. */
static double take_score_seconds(struct attention *attention) {
    const double seconds = attention->all_scores ? score_exchange_take_seconds(attention->all_scores) : 0;
    attention->sync_seconds += seconds;
    return seconds;
}

/* A decode token whose policy looks at the scores. */
static void attend_by_scores(struct attention *attention, const struct attention_call *call, int32_t decode) {
    const struct batch_block *block = &call->batch->blocks[call->batch->decodes[decode]];
    const enum kv_attention action = action_of(call, block);
    const enum item_work work = action & KV_RESCORE ? SCORE : ATTEND_KEEP_SCORES;
    clear_items(attention);
    for (int32_t kv_head = 0; kv_head < attention->shape.n_kv_heads_local; kv_head++)
        add_sets(attention, call, block, kv_head, work,
                 attention->scores + kv_head * attention->group * attention->shape.context_length);
    run_items(attention, call);
    const double begin = timer_seconds();
    const bool best = exchange_scores(attention, call, block);
    if (action & KV_RANK) rank(attention, call, block, best);
    if (action & KV_AGREE)
        kv_policy_propose(call->policy, block->slot, call->layer, block->first_position + 1,
                          call->messages + call->message_offsets[decode]);
    attention->propose_seconds += timer_seconds() - begin - take_score_seconds(attention);
    if (action & KV_RESCORE) weigh(attention, call, block);
}

void attention_run(struct attention *attention, const struct attention_call *call) {
    const double begin = timer_seconds();
    choose_sets(attention, call);
    attention->propose_seconds += timer_seconds() - begin;
    if (attention->exchange) head_exchange_begin(attention->exchange, call->batch->n_rows);
    clear_items(attention);
    add_batch(attention, call);
    if (attention->n_items > 0) run_items(attention, call);
    for (int32_t decode = 0; decode < call->batch->n_decodes; decode++)
        if (needs_scores(action_of(call, &call->batch->blocks[call->batch->decodes[decode]])))
            attend_by_scores(attention, call, decode);
    if (attention->exchange) head_exchange_finish(attention->exchange, attention->kernels, call->out);
}

double attention_take_propose_seconds(struct attention *attention) {
    const double seconds = attention->propose_seconds;
    attention->propose_seconds = 0;
    return seconds;
}

double attention_take_sync_seconds(struct attention *attention) {
    const double seconds = attention->sync_seconds;
    attention->sync_seconds = 0;
    return seconds + (attention->exchange ? head_exchange_take_seconds(attention->exchange) : 0);
}
