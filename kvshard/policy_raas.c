/* RaaS (Hu et al., "Efficient Long-Decoding Inference with Reasoning-Aware Attention Sparsity",
 * arXiv 2502.11147): a page that attention has left for longest is forgotten.
 *
 * Lemmas of a derivation are looked at for a while and then never again (milestones); what is needed again
 * later stands in the prompt (phoenix tokens). Each KV head of each layer has its own pages:
 *
 *   read     at a decode step: all pages that are kept
 *   stamp    the step's N, for the best `share` of the kept pages that are not pinned, by their bounds
 *            (page_bounds_impl.h), the largest of g query heads, ties to the lower page; or with alpha > 0
 *            instead for those that get more than alpha of some query head's softmax over the bounds of all
 *            kept pages. A new page begins with a stamp
 *   evict    when a page is full and with the next one more than K/S would be kept: the page with the oldest
 *            stamp, of equal ones the lowest
 *
 * Never evicted are the newest page and pinned ones: all that have a token which was read densely. That is
 * the prompt, what later turns say, and what --dense-below covers; these come on top of K. While N <= K
 * nothing is evicted.
 *
 * So a page stamped at every step stays where others are not, as with a share of 1/2 and K/S >= 4. Pinned
 * pages do not compete for stamps, which they do not need: they would take those of a short answer's pages.
 *
 * Deviations: a KV head's query heads share pages, as the reference implementation has it for g = 1; prompt
 * pages are pinned and evicted memory is returned, as the paper says and its code does not do.
 *
 * Cost: O(K + prompt) to attend, 1/S of that to choose; nothing is communicated. Memory: the kept pages, 1/16
 * of them for bounds, and 4.5 bytes a kept token and table. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "kvshard/budget_impl.h"
#include "kvshard/head_lists_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/page_bounds_impl.h"
#include "kvshard/softmax_impl.h"
#include "kvshard/top_tokens_impl.h"

#define PINNED (-1)

/* Of one KV head of a layer, ascending. Their tokens are in `lists`, their bounds in `bounds`. */
struct kept_pages {
    int32_t *pages;  /* [context in pages] */
    int32_t *stamps; /* likewise; PINNED: never evicted */
    int64_t n;
    int64_t n_generated; /* those that are not pinned */
};

struct scratch {
    struct top_scratch top;
    uint32_t *words;  /* [context in pages] */
    int32_t *entries; /* likewise */
    float *weights;   /* [g, context in pages] */
};

struct raas {
    const struct kernels *kernels;
    struct kv_cache *cache;
    int32_t n_layers, n_kv_heads, group;
    int64_t budget, n_pages, max_pages; /* K, K/S, of a context */
    bool evicts;                        /* a context is larger than the budget */
    double alpha, share;
    struct page_bounds *bounds;
    struct head_lists lists;
    struct kept_pages *kept; /* [n_slots, n_layers, n_kv_heads] */
    struct scratch *scratch; /* [n_threads] */
};

enum { OPTION_ALPHA, OPTION_SHARE };

static const struct kv_policy_option raas_options[] = {
    [OPTION_ALPHA] = {"alpha", 0, 0, 1, false, "stamp pages of more than this weight; 0: the best share"},
    [OPTION_SHARE] = {"share", 0.5, 0, 1, false,
                      "part of the pages that are not pinned, stamped at each step"},
    {0},
};

static enum status create_tables(const struct kv_policy_config *config, struct arena *memory,
                                 struct raas *raas) {
    const int64_t n = (int64_t)config->n_slots * raas->n_layers * raas->n_kv_heads;
    TRY(head_lists_create(config, 0, memory, &raas->lists));
    TRY(page_bounds_create(config, memory, &raas->bounds));
    TRY(ARENA_TAKE(memory, (size_t)n, &raas->kept));
    for (int64_t i = 0; i < n; i++) {
        TRY(ARENA_TAKE(memory, (size_t)raas->max_pages, &raas->kept[i].pages));
        TRY(ARENA_TAKE(memory, (size_t)raas->max_pages, &raas->kept[i].stamps));
    }
    return STATUS_OK;
}

static enum status create_scratch(const struct raas *raas, struct arena *memory, struct scratch *scratch) {
    const size_t max_pages = (size_t)raas->max_pages;
    TRY(top_scratch_create(memory, raas->kernels, raas->max_pages, &scratch->top));
    TRY(ARENA_TAKE(memory, max_pages, &scratch->words));
    TRY(ARENA_TAKE(memory, max_pages, &scratch->entries));
    return ARENA_TAKE(memory, (size_t)raas->group * max_pages, &scratch->weights);
}

static enum status raas_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    return budget_check_pages(config, 2);
}

static enum status raas_create(const struct kv_policy_config *config, const double *values,
                               struct arena *memory, void **state_out) {
    struct raas *raas;
    TRY(ARENA_TAKE(memory, 1, &raas));
    raas->kernels = config->kernels;
    raas->cache = config->cache;
    raas->n_layers = config->n_layers;
    raas->n_kv_heads = config->n_kv_heads_local;
    raas->group = config->n_heads_local / config->n_kv_heads_local;
    raas->budget = config->budget;
    raas->n_pages = config->budget / KV_PAGE_TOKENS;
    raas->max_pages = kv_pages_of(config->context_length);
    raas->evicts = config->budget < config->context_length;
    raas->alpha = values[OPTION_ALPHA];
    raas->share = values[OPTION_SHARE];
    TRY(create_tables(config, memory, raas));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &raas->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(raas, memory, &raas->scratch[i]));
    *state_out = raas;
    return STATUS_OK;
}

static struct kept_pages *kept_of(const struct raas *raas, struct bounds_table at) {
    const int64_t layer = (int64_t)at.slot * raas->n_layers + at.layer;
    return &raas->kept[layer * raas->n_kv_heads + at.kv_head];
}

static struct head_list *list_of(const struct raas *raas, struct bounds_table at) {
    return head_list_of(&raas->lists, at.slot, at.layer, at.kv_head);
}

/* How many tokens of the list come before this one. */
static int64_t count_before(const struct head_list *list, int64_t token) {
    int64_t begin = 0, end = list->n;
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        if (list->tokens[middle] < token)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Takes items [begin, end) out of n. */
static void take_out(int32_t *items, int64_t n, int64_t begin, int64_t end) {
    memmove(items + begin, items + end, (size_t)(n - end) * sizeof *items);
}

static void evict(struct raas *raas, struct bounds_table at, int64_t entry) {
    struct kept_pages *kept = kept_of(raas, at);
    struct head_list *list = list_of(raas, at);
    const int64_t page = kept->pages[entry];
    const int64_t begin = count_before(list, page * KV_PAGE_TOKENS),
                  end = count_before(list, (page + 1) * KV_PAGE_TOKENS);
    kv_cache_release_page(raas->cache, at.slot, at.layer, at.kv_head, page);
    page_bounds_remove(raas->bounds, at, entry);
    take_out(list->tokens, list->n, begin, end);
    take_out(kept->pages, kept->n, entry, entry + 1);
    take_out(kept->stamps, kept->n, entry, entry + 1);
    list->n -= end - begin;
    kept->n--;
    kept->n_generated--;
}

/* Neither pinned nor the newest; there is one where more than one page was generated. */
static int64_t oldest(const struct kept_pages *kept) {
    int64_t best = -1;
    for (int64_t i = 0; i < kept->n - 1; i++)
        if (kept->stamps[i] != PINNED && (best < 0 || kept->stamps[i] < kept->stamps[best])) best = i;
    CHECK(best >= 0);
    return best;
}

/* Is the token the first of its page that comes? */
static bool begins_page(const struct kept_pages *kept, int64_t token) {
    return kept->n == 0 || kept->pages[kept->n - 1] != token / KV_PAGE_TOKENS;
}

/* Before the token comes there are at most K/S generated pages, its own counted. */
static void make_room(struct raas *raas, struct bounds_table at, int64_t token) {
    const struct kept_pages *kept = kept_of(raas, at);
    const int64_t limit = raas->n_pages - begins_page(kept, token);
    if (token < raas->budget) return;
    while (kept->n_generated > limit)
        evict(raas, at, oldest(kept));
}

/* `stamp` of the pages that begin; what is PINNED also pins the page that goes on. */
static void keep(struct raas *raas, struct bounds_table at, int64_t first, int64_t n, int32_t stamp) {
    struct kept_pages *kept = kept_of(raas, at);
    struct head_list *list = list_of(raas, at);
    for (int64_t token = first; token < first + n; token++) {
        list->tokens[list->n++] = (int32_t)token;
        if (begins_page(kept, token)) {
            kept->pages[kept->n] = (int32_t)(token / KV_PAGE_TOKENS);
            kept->stamps[kept->n++] = stamp;
            kept->n_generated += stamp != PINNED;
        } else if (stamp == PINNED && kept->stamps[kept->n - 1] != PINNED) {
            kept->stamps[kept->n - 1] = PINNED;
            kept->n_generated--;
        }
    }
}

static struct bounds_table table_at(int32_t slot, int32_t layer, int32_t kv_head) {
    return (struct bounds_table){.slot = slot, .layer = layer, .kv_head = kv_head};
}

static enum status raas_admit(void *state, int32_t slot, int64_t first, int64_t n, bool decode) {
    struct raas *raas = state;
    for (int32_t layer = 0; decode && raas->evicts && layer < raas->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < raas->n_kv_heads; kv_head++)
            make_room(raas, table_at(slot, layer, kv_head), first);
    TRY(kv_cache_reserve(raas->cache, slot, first + n));
    for (int32_t layer = 0; layer < raas->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < raas->n_kv_heads; kv_head++)
            keep(raas, table_at(slot, layer, kv_head), first, n, decode ? (int32_t)(first + 1) : PINNED);
    return STATUS_OK;
}

/* What comes behind n_cached was admitted with it, so none of it is gone. */
static struct kv_set raas_resident(const void *state, int32_t slot, int32_t layer, int32_t kv_head,
                                   int64_t n_cached) {
    const struct raas *raas = state;
    const struct head_list *list = list_of(raas, table_at(slot, layer, kv_head));
    CHECK(list->n > 0);
    const int64_t n_admitted = list->tokens[list->n - 1] + (int64_t)1;
    if (list->n == n_admitted) return (struct kv_set){.n_tokens = n_cached};
    return (struct kv_set){.tokens = list->tokens, .n_tokens = list->n - (n_admitted - n_cached)};
}

static enum kv_attention raas_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct raas *raas = state;
    (void)slot;
    (void)layer;
    (void)n_cached;
    return raas->evicts ? KV_CHOOSE : KV_ATTEND_ALL; /* of what is left */
}

static void stamp(struct kept_pages *kept, int64_t entry, int64_t now) {
    if (kept->stamps[entry] != PINNED) kept->stamps[entry] = (int32_t)now;
}

static void stamp_best(const struct raas *raas, struct bounds_table at, int64_t now, const float *q) {
    struct kept_pages *kept = kept_of(raas, at);
    const struct scratch *scratch = &raas->scratch[at.thread];
    const int64_t n_best = (int64_t)ceil(raas->share * (double)kept->n_generated);
    page_bounds_words(raas->bounds, at, q, kept->n, scratch->words);
    for (int64_t i = 0; i < kept->n; i++)
        if (kept->stamps[i] == PINNED) scratch->words[i] = UINT32_MAX;
    smallest_words(scratch->words, kept->n, n_best, &scratch->top, scratch->entries);
    for (int64_t i = 0; i < n_best; i++)
        stamp(kept, scratch->entries[i], now);
}

static void stamp_by_weight(const struct raas *raas, struct bounds_table at, int64_t now, const float *q) {
    struct kept_pages *kept = kept_of(raas, at);
    float *weights = raas->scratch[at.thread].weights;
    page_bounds_score(raas->bounds, at, q, kept->n, weights, raas->max_pages);
    for (int32_t head = 0; head < raas->group; head++) {
        float *own = weights + head * raas->max_pages;
        softmax_weights(raas->kernels, own, kept->n, own);
        for (int64_t i = 0; i < kept->n; i++)
            if ((double)own[i] > raas->alpha) stamp(kept, i, now);
    }
}

/* As choose would read them from the cache. */
static void raas_feed(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t token,
                      const float *key) {
    const struct raas *raas = state;
    if (raas->evicts)
        page_bounds_feed(raas->bounds, (struct bounds_table){thread, slot, layer, 0}, token, key);
}

static int64_t raas_next_key(const void *state, int32_t slot, int32_t layer) {
    const struct raas *raas = state;
    return raas->evicts ? page_bounds_next(raas->bounds, table_at(slot, layer, 0)) : INT64_MAX;
}

static void raas_choose(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                        int32_t kv_head, const float *q) {
    struct raas *raas = state;
    const struct bounds_table at = {thread, slot, layer, kv_head};
    page_bounds_extend(raas->bounds, at, n_cached);
    CHECK(page_bounds_entries(raas->bounds, at) == kept_of(raas, at)->n);
    if (raas->alpha > 0)
        stamp_by_weight(raas, at, n_cached, q);
    else
        stamp_best(raas, at, n_cached, q);
}

/* Has the last page no token of the list? One that was evicted may begin again in its middle. */
static bool last_is_empty(const struct kept_pages *kept, const struct head_list *list) {
    return list->n == 0 || begins_page(kept, list->tokens[list->n - 1]);
}

/* Pages of which tokens are left stay, with stamps that are not of the future. */
static void cut(struct raas *raas, struct bounds_table at, int64_t n) {
    struct kept_pages *kept = kept_of(raas, at);
    struct head_list *list = list_of(raas, at);
    kv_cache_shrink(raas->cache, at.slot, at.layer, at.kv_head, n);
    list->n = count_before(list, n);
    while (kept->n > 0 && last_is_empty(kept, list))
        kept->n--;
    kept->n_generated = 0;
    for (int64_t i = 0; i < kept->n; i++) {
        kept->stamps[i] = (int32_t)smaller_i64(kept->stamps[i], n);
        kept->n_generated += kept->stamps[i] != PINNED;
    }
    if (begins_page(kept, n)) {
        page_bounds_cut(raas->bounds, at, kept->n, n);
    } else { /* the page's bounds are made anew, from the first of its tokens that was kept */
        const int64_t begin = count_before(list, n / KV_PAGE_TOKENS * KV_PAGE_TOKENS);
        page_bounds_cut(raas->bounds, at, kept->n - 1, list->tokens[begin]);
    }
}

static void raas_rewind(void *state, int32_t slot, int64_t n) {
    struct raas *raas = state;
    for (int32_t layer = 0; layer < raas->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < raas->n_kv_heads; kv_head++)
            cut(raas, table_at(slot, layer, kv_head), n);
}

const struct kv_policy_vtable kv_policy_raas = {
    .name = "raas",
    .summary = "pages that attention has left for longest are forgotten, the prompt's never",
    .options = raas_options,
    .check = raas_check,
    .create = raas_create,
    .admit = raas_admit,
    .resident = raas_resident,
    .rewind = raas_rewind,
    .layer = raas_layer,
    .feed = raas_feed,
    .next_key = raas_next_key,
    .choose = raas_choose,
};
