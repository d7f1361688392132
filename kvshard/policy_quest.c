/* Quest (Tang et al., arXiv 2406.10774): attend to the pages whose bounds promise most.
 *
 *   bound(page)   = sum over channels of max(q min, q max)         of a query head (page_bounds_impl.h)
 *   bound(page)   = the largest of its g query heads               of a KV head
 *   set           = the K/S - 1 best of all pages but the last, ties to the lower page, and the last page
 *
 * Each KV head of each layer chooses for itself; the first two layers are dense. A page is read whole, so
 * the set has at most K tokens, and fewer where the last page is not full.
 *
 * Deviations: g query heads share a set, as their keys are read once for all (the paper's models have g = 1);
 * the last page is always attended to, which holds the current token.
 *
 * Cost: choose O(g N/S D) a KV head, and the one key that is new; nothing is communicated. Memory: 1/S of the
 * cache's, and 4 bytes a token of the sets. */
#include "base/numbers.h"
#include "kvshard/budget_impl.h"
#include "kvshard/head_lists_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/page_bounds_impl.h"
#include "kvshard/top_tokens_impl.h"

/* Of a thread that chooses. */
struct scratch {
    struct top_scratch top;
    uint32_t *words; /* [context in pages] */
    int32_t *pages;  /* likewise */
};

struct quest {
    int64_t budget, n_best; /* pages beside the last */
    int32_t group, n_kv_heads;
    struct page_bounds *bounds;
    struct head_lists lists;
    struct scratch *scratch; /* [n_threads] */
};

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct scratch *scratch) {
    const int64_t max_pages = kv_pages_of(config->context_length);
    TRY(top_scratch_create(memory, config->kernels, max_pages, &scratch->top));
    TRY(ARENA_TAKE(memory, (size_t)max_pages, &scratch->words));
    return ARENA_TAKE(memory, (size_t)max_pages, &scratch->pages);
}

static enum status quest_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    return budget_check_pages(config, 2);
}

static enum status quest_create(const struct kv_policy_config *config, const double *values,
                                struct arena *memory, void **state_out) {
    struct quest *quest;
    TRY(ARENA_TAKE(memory, 1, &quest));
    quest->budget = config->budget;
    quest->n_best = config->budget / KV_PAGE_TOKENS - 1;
    quest->n_kv_heads = config->n_kv_heads_local;
    quest->group = config->n_heads_local / config->n_kv_heads_local;
    TRY(head_lists_create(config, values[0], memory, &quest->lists));
    TRY(page_bounds_create(config, memory, &quest->bounds));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &quest->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(config, memory, &quest->scratch[i]));
    *state_out = quest;
    return STATUS_OK;
}

static enum kv_attention quest_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct quest *quest = state;
    (void)slot;
    const bool dense = n_cached <= quest->budget || layer < quest->lists.first_layer;
    return dense ? KV_ATTEND_ALL : KV_ATTEND_SET | KV_CHOOSE;
}

static void list_page(int64_t page, int64_t n_cached, struct head_list *list) {
    const int64_t end = smaller_i64((page + 1) * KV_PAGE_TOKENS, n_cached);
    for (int64_t token = page * KV_PAGE_TOKENS; token < end; token++)
        list->tokens[list->n++] = (int32_t)token;
}

static void quest_choose(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                         int32_t kv_head, const float *q) {
    struct quest *quest = state;
    const struct bounds_table table = {thread, slot, layer, kv_head};
    const struct scratch *scratch = &quest->scratch[thread];
    const int64_t last = kv_pages_of(n_cached) - 1; /* more than n_best, as N > K */
    page_bounds_extend(quest->bounds, table, n_cached);
    page_bounds_words(quest->bounds, table, q, last, scratch->words);
    smallest_words(scratch->words, last, quest->n_best, &scratch->top, scratch->pages);

    struct head_list *list = head_list_of(&quest->lists, slot, layer, kv_head);
    list->n = 0;
    for (int64_t i = 0; i < quest->n_best; i++)
        list_page(scratch->pages[i], n_cached, list);
    list_page(last, n_cached, list);
}

/* As choose would read them from the cache. */
static void quest_feed(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t token,
                       const float *key) {
    const struct quest *quest = state;
    if (layer >= quest->lists.first_layer)
        page_bounds_feed(quest->bounds, (struct bounds_table){thread, slot, layer, 0}, token, key);
}

static int64_t quest_next_key(const void *state, int32_t slot, int32_t layer) {
    const struct quest *quest = state;
    if (layer < quest->lists.first_layer) return INT64_MAX;
    return page_bounds_next(quest->bounds, (struct bounds_table){.slot = slot, .layer = layer});
}

static struct kv_set quest_set(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct quest *quest = state;
    return head_list_set(head_list_of(&quest->lists, slot, layer, head / quest->group));
}

static void quest_rewind(void *state, int32_t slot, int64_t n) {
    struct quest *quest = state;
    const int64_t n_full = n / KV_PAGE_TOKENS;
    for (int32_t layer = 0; layer < quest->lists.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < quest->n_kv_heads; kv_head++)
            page_bounds_cut(quest->bounds,
                            (struct bounds_table){.slot = slot, .layer = layer, .kv_head = kv_head}, n_full,
                            n_full * KV_PAGE_TOKENS);
    head_lists_clear(&quest->lists, slot);
}

static const struct kv_policy_option quest_options[] = {
    {"first-layer", 2, 0, 65535, true, "layers before this one attend to all tokens"},
    {0},
};

const struct kv_policy_vtable kv_policy_quest = {
    .name = "quest",
    .summary = "each KV head reads the pages whose largest keys promise most",
    .options = quest_options,
    .check = quest_check,
    .create = quest_create,
    .rewind = quest_rewind,
    .layer = quest_layer,
    .feed = quest_feed,
    .next_key = quest_next_key,
    .choose = quest_choose,
    .set = quest_set,
};
