/* RaaS against its definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/kvshard/raas_fixture.h"

enum { S = KV_PAGE_TOKENS, MAX_PAGES = RAAS_CONTEXT / S + 1, MAX_TABLES = 6 };

/* ---- the definition, for one KV head of a layer; bounds in double, whose sums are exact here ---- */

struct page {
    bool kept, pinned;
    int64_t stamp;
};

static bool may_go(const struct page *page) {
    return page->kept && !page->pinned;
}

struct table {
    int32_t layer, kv_head;
    bool tokens[RAAS_CONTEXT]; /* kept */
    struct page pages[MAX_PAGES];
};

static int64_t newest_page(const struct table *table) {
    for (int64_t page = MAX_PAGES - 1; page >= 0; page--)
        if (table->pages[page].kept) return page;
    return -1;
}

static void drop_oldest(struct table *table) {
    const int64_t newest = newest_page(table);
    int64_t oldest = -1;
    for (int64_t page = 0; page < newest; page++) {
        const struct page *at = &table->pages[page];
        if (may_go(at) && (oldest < 0 || at->stamp < table->pages[oldest].stamp)) oldest = page;
    }
    assert_true(oldest >= 0);
    table->pages[oldest] = (struct page){0};
    memset(table->tokens + oldest * S, 0, S);
}

static void arrive(const struct kv_world *world, struct table *table, int64_t token, bool decode) {
    struct page *page = &table->pages[token / S];
    int64_t n_generated = decode && !page->kept;
    for (int64_t i = 0; i < MAX_PAGES; i++)
        n_generated += may_go(&table->pages[i]);
    for (; decode && token + 1 > world->config.budget && n_generated > world->config.budget / S;
         n_generated--)
        drop_oldest(table);
    if (!page->kept) *page = (struct page){.kept = true, .stamp = token + 1};
    page->pinned = page->pinned || !decode;
    table->tokens[token] = true;
}

/* The sum of larger products, the largest over the query heads. */
static double bound_of(const struct kv_world *world, const struct table *table, int32_t slot, int64_t page,
                       int64_t n_cached, const float *queries) {
    double best = -INFINITY;
    for (int32_t head = 0; head < world->group; head++) {
        double products[RAAS_DIM], bound = 0;
        for (int32_t d = 0; d < RAAS_DIM; d++)
            products[d] = -INFINITY;
        for (int64_t token = page * S; token < (page + 1) * S && token < n_cached; token++) {
            float key[RAAS_DIM];
            if (!table->tokens[token]) continue;
            kv_world_key(world, slot, table->layer, table->kv_head, token, key);
            for (int32_t d = 0; d < RAAS_DIM; d++)
                products[d] = fmax(products[d], (double)queries[head * RAAS_DIM + d] * (double)key[d]);
        }
        for (int32_t d = 0; d < RAAS_DIM; d++)
            bound += products[d];
        best = fmax(best, bound);
    }
    return best;
}

static void stamp_best(const struct kv_world *world, struct table *table, int32_t slot, int64_t n_cached,
                       double share) {
    double bounds[MAX_PAGES];
    float queries[8 * WORLD_MAX_DIM];
    int64_t n_kept = 0;
    kv_world_queries(world, slot, table->layer, table->kv_head, n_cached, queries);
    for (int64_t page = 0; page < MAX_PAGES; page++) {
        if (!may_go(&table->pages[page])) continue;
        n_kept++;
        bounds[page] = bound_of(world, table, slot, page, n_cached, queries);
    }
    for (int64_t page = 0; page < MAX_PAGES; page++) {
        int64_t n_better = 0;
        if (!may_go(&table->pages[page])) continue;
        for (int64_t other = 0; other < MAX_PAGES; other++)
            n_better += may_go(&table->pages[other]) &&
                        (bounds[other] > bounds[page] || (bounds[other] == bounds[page] && other < page));
        if ((double)n_better < share * (double)n_kept) table->pages[page].stamp = n_cached;
    }
}

/* ---- both, side by side ---- */

struct pair {
    struct kv_world world;
    int32_t slot, n_tables;
    int64_t n;
    double share;
    struct table tables[MAX_TABLES];
};

static struct pair *begin(struct kv_policy_config config, int32_t slot, uint64_t seed) {
    static struct pair pair;
    pair = (struct pair){.world = kv_world_create(config, seed), .slot = slot, .share = 0.5};
    for (int32_t layer = 0; layer < config.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < config.n_kv_heads_local; kv_head++)
            pair.tables[pair.n_tables++] = (struct table){.layer = layer, .kv_head = kv_head};
    assert_true(pair.n_tables <= MAX_TABLES);
    return &pair;
}

static void check(const struct pair *pair) {
    const struct kv_policy *policy = pair->world.policy;
    int64_t n_pages = 0;
    for (int32_t i = 0; i < pair->n_tables; i++) {
        const struct table *table = &pair->tables[i];
        const int32_t head = table->kv_head * pair->world.group + pair->world.group - 1;
        const struct kv_set set = kv_policy_set(policy, pair->slot, table->layer, pair->n, head);
        assert_set_is(set, table->tokens, pair->n);
        for (int64_t token = 0; token < pair->n; token++) {
            const void *key, *value;
            if (table->tokens[token])
                kv_cache_rows(pair->world.cache, pair->slot, table->layer, table->kv_head, NULL, token, 1,
                              &key, &value);
        }
        for (int64_t page = 0; page < MAX_PAGES; page++)
            n_pages += table->pages[page].kept;
    }
    assert_int_equal(kv_cache_bytes_in_use(pair->world.cache), (size_t)n_pages * RAAS_PAGE_BYTES);
}

static void prefill(struct pair *pair, int64_t n) {
    const int64_t first = pair->n;
    kv_world_admit(&pair->world, pair->slot, first, n, false);
    pair->n += n;
    for (int32_t i = 0; i < pair->n_tables; i++) {
        struct table *table = &pair->tables[i];
        for (int64_t token = first; token < pair->n; token++)
            arrive(&pair->world, table, token, false);
        for (int64_t n_cached = first + 1; n_cached <= pair->n; n_cached++) /* each row of it */
            assert_set_is(
                kv_policy_resident(pair->world.policy, pair->slot, table->layer, table->kv_head, n_cached),
                table->tokens, n_cached);
    }
    check(pair);
}

static void decode(struct pair *pair, int64_t n_steps) {
    for (int64_t step = 0; step < n_steps; step++) {
        kv_world_decode(&pair->world, pair->slot, pair->n++);
        for (int32_t i = 0; i < pair->n_tables; i++) {
            arrive(&pair->world, &pair->tables[i], pair->n - 1, true);
            if (pair->world.config.budget < RAAS_CONTEXT)
                stamp_best(&pair->world, &pair->tables[i], pair->slot, pair->n, pair->share);
        }
        check(pair);
    }
}

static void rewind_to(struct pair *pair, int64_t n) {
    kv_policy_rewind(pair->world.policy, pair->slot, n);
    pair->n = n;
    for (int32_t i = 0; i < pair->n_tables; i++) {
        struct table *table = &pair->tables[i];
        memset(table->tokens + n, 0, (size_t)(RAAS_CONTEXT - n));
        for (int64_t page = 0; page < MAX_PAGES; page++) {
            struct page *at = &table->pages[page];
            bool empty = true;
            for (int64_t token = page * S; token < (page + 1) * S && token < RAAS_CONTEXT; token++)
                empty = empty && !table->tokens[token];
            if (empty) *at = (struct page){0};
            if (at->stamp > n) at->stamp = n;
        }
    }
}

static void end(struct pair *pair) {
    kv_world_free(&pair->world, pair->slot);
    assert_int_equal(kv_cache_bytes_in_use(pair->world.cache), 0);
    kv_world_destroy(&pair->world);
}

static void agrees_with_the_definition(void **state) {
    (void)state;
    static const struct {
        int32_t budget, n_layers, n_kv_heads, group, n_prompt;
        const char *options;
        double share;
    } cases[] = {
        {32, 1, 1, 1, 1, NULL, 0.5},   {40, 2, 1, 2, 20, NULL, 0.5},    {64, 2, 2, 1, 32, "share=0.25", .25},
        {100, 1, 3, 4, 50, NULL, 0.5}, {127, 1, 2, 2, 0, "share=0", 0}, {64, 1, 1, 3, 40, "raas.share=1", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_policy_config config =
            raas_config(cases[i].budget, cases[i].n_layers, cases[i].n_kv_heads, cases[i].group);
        config.options = cases[i].options;
        struct pair *pair = begin(config, (int32_t)i % 2, i * 10);
        pair->share = cases[i].share;
        if (cases[i].n_prompt > 0) prefill(pair, cases[i].n_prompt);
        decode(pair, 180);
        prefill(pair, 37); /* another turn: pinned like the first, and dense over what is left */
        decode(pair, 120);
        end(pair);
    }
}

static void a_large_budget_forgets_nothing(void **state) {
    (void)state;
    struct pair *pair = begin(raas_config(200, 1, 2, 2), 0, 1);
    prefill(pair, 10);
    decode(pair, 190); /* N = K */
    assert_null(kv_policy_resident(pair->world.policy, 0, 0, 0, 200).tokens);
    decode(pair, 30);
    assert_non_null(kv_policy_resident(pair->world.policy, 0, 0, 0, 230).tokens);
    end(pair);
    struct kv_world world = kv_world_create(raas_config(RAAS_CONTEXT, 1, 2, 2), 1);
    for (int64_t n = 1; n <= RAAS_CONTEXT; n++)
        assert_int_equal(kv_policy_layer(world.policy, 0, 0, n), KV_ATTEND_ALL);
    kv_world_destroy(&world);
}

/* Into the newest page, a page that is gone, the prompt; and again within a page that began anew. */
static void an_end_may_come_anew(void **state) {
    (void)state;
    for (int64_t n = 219; n > 0; n -= 11) {
        struct pair *pair = begin(raas_config(64, 1, 2, 2), 1, (uint64_t)n);
        prefill(pair, 37);
        decode(pair, 183);
        rewind_to(pair, n);
        prefill(pair, 1 + n % 20);
        decode(pair, 50);
        rewind_to(pair, n + 4);
        decode(pair, 100);
        end(pair);
    }
}

/* In the middle, and then before it: nothing of the page is left. */
static void an_evicted_page_may_begin_anew_twice(void **state) {
    (void)state;
    for (int64_t page = 0; page < 13; page++) {
        for (int i = 0; i < 4; i++) {
            struct pair *pair = begin(raas_config(64, 1, 2, 2), 1, (uint64_t)page);
            if (i & 1) prefill(pair, 20);
            decode(pair, 220);
            rewind_to(pair, page * S + 5);
            if (i & 2) prefill(pair, 3);
            decode(pair, 1);
            rewind_to(pair, page * S + 2);
            decode(pair, 100);
            end(pair);
        }
    }
}

static void dense_steps_count_as_prompt(void **state) {
    (void)state;
    struct kv_policy_config config = raas_config(32, 1, 1, 1);
    config.dense_below = 80;
    struct kv_world world = kv_world_create(config, 1);
    for (int64_t token = 0; token < 300; token++)
        kv_world_decode(&world, 0, token);
    const struct kv_set set = kv_policy_set(world.policy, 0, 0, 300, 0);
    for (int64_t i = 0; i < 80; i++)
        assert_int_equal(kv_set_token(set, i), i);
    assert_true(set.n_tokens <= 80 + 32);
    kv_world_destroy(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    static const struct {
        int32_t budget;
        const char *options, *words;
    } cases[] = {{31, NULL, "needs 2 of them"},
                 {64, "share=1.5", "share"},
                 {64, "alpha=-1", "alpha"},
                 {64, "beta=1", "alpha, share"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_policy_config config = raas_config(cases[i].budget, 1, 1, 1);
        config.options = cases[i].options;
        assert_policy_refused(config, cases[i].words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),  cmocka_unit_test(a_large_budget_forgets_nothing),
        cmocka_unit_test(an_end_may_come_anew),        cmocka_unit_test(an_evicted_page_may_begin_anew_twice),
        cmocka_unit_test(dense_steps_count_as_prompt), cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
