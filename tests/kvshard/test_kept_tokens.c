/* Tokens that stay, and their rows: against a plain list of which tokens are left, under random evictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "kvshard/kept_tokens_impl.h"

enum { CONTEXT = 500, HEAD_DIM = 32, LAYERS = 2, KV_HEADS = 3, SLOTS = 2 };

struct world {
    struct arena *memory;
    struct kv_cache *cache;
    struct kept_tokens kept;
    size_t page_bytes;
};

static struct world create(void) {
    const struct kernels *kernels = kernels_at_level(kernels_best_level());
    const struct kv_shape shape = {SLOTS, LAYERS, KV_HEADS, HEAD_DIM, CONTEXT, DTYPE_F32, 0};
    struct kv_policy_config config = {
        .n_slots = SLOTS, .n_layers = LAYERS, .n_kv_heads_local = KV_HEADS, .context_length = CONTEXT};
    struct world world = {.page_bytes = (size_t)2 * KV_PAGE_TOKENS * HEAD_DIM * sizeof(float)};
    assert_int_equal(kv_cache_create(&shape, kernels, &world.cache), STATUS_OK);
    config.cache = world.cache;
    assert_int_equal(arena_create("test", &world.memory), STATUS_OK);
    assert_int_equal(kept_tokens_create(&config, world.memory, &world.kept), STATUS_OK);
    return world;
}

static void destroy(struct world *world) {
    arena_destroy(world->memory);
    kv_cache_destroy(world->cache);
}

/* What a list should be. */
struct expected {
    int64_t n;
    int32_t tokens[CONTEXT];
};

static void append_tokens(struct world *world, int32_t slot, int64_t first, int64_t n) {
    float key[HEAD_DIM] = {0}, value[HEAD_DIM] = {0};
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < KV_HEADS; head++)
            for (int64_t token = first; token < first + n; token++) {
                key[0] = (float)token;
                key[1] = (float)(layer * KV_HEADS + head);
                value[0] = (float)-token;
                kv_cache_append(world->cache, slot, layer, head,
                                kept_tokens_row(&world->kept, slot, layer, head, token), key, value);
            }
}

/* The list says what is expected, and its rows hold it. */
static void assert_list(const struct world *world, int32_t slot, int32_t layer, int32_t head,
                        const struct expected *expected) {
    const struct kv_set set = kept_tokens_resident(&world->kept, slot, layer, head, CONTEXT);
    assert_int_equal(set.n_tokens, expected->n);
    for (int64_t i = 0; i < expected->n; i++) {
        const int32_t token = expected->tokens[i], row = set.rows ? set.rows[i] : (int32_t)i;
        const void *key, *value;
        assert_int_equal(set.tokens ? set.tokens[i] : i, token);
        assert_int_equal(kept_tokens_row(&world->kept, slot, layer, head, token), row);
        assert_in_range(row, 0, expected->n - 1);
        kv_cache_rows(world->cache, slot, layer, head, &row, 0, 1, &key, &value);
        assert_true(((const float *)key)[0] == (float)token);
        assert_true(((const float *)key)[1] == (float)(layer * KV_HEADS + head));
        assert_true(((const float *)value)[0] == (float)-token);
    }
}

static int64_t draw(uint64_t trial, uint64_t index, int64_t low, int64_t high) {
    return low + (int64_t)(rng_uniform(trial, 3, index) * (double)(high - low + 1));
}

/* Evicts each entry with the probability, and notes it. */
static int64_t draw_evicted(uint64_t trial, uint64_t stream, double share, struct expected *list,
                            int32_t *evicted) {
    int64_t n_evicted = 0, n_left = 0;
    for (int64_t i = 0; i < list->n; i++)
        if (rng_uniform(trial, stream, (uint64_t)i) < share)
            evicted[n_evicted++] = (int32_t)i;
        else
            list->tokens[n_left++] = list->tokens[i];
    list->n = n_left;
    return n_evicted;
}

static void expect_new(struct expected *list, int64_t first, int64_t n_new) {
    for (int64_t i = 0; i < n_new; i++)
        list->tokens[list->n++] = (int32_t)(first + i);
}

static void expect_rewound(struct expected *list, int64_t n) {
    while (list->n > 0 && list->tokens[list->n - 1] >= n)
        list->n--;
}

struct history {
    int64_t n_tokens[SLOTS];
    struct expected lists[SLOTS][LAYERS][KV_HEADS];
    bool evicted[SLOTS];
};

/* New tokens in every list of the slot, after other evictions in each; some lists lose none. */
static void step(struct world *world, struct history *history, int32_t slot, uint64_t trial, int64_t n_new) {
    static const double shares[] = {0, 0.01, 0.3, 0.9};
    const int64_t first = history->n_tokens[slot];
    const double share = shares[draw(trial, 1, 0, 3)];
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < KV_HEADS; head++) {
            struct expected *list = &history->lists[slot][layer][head];
            int32_t evicted[CONTEXT];
            const int64_t n =
                draw_evicted(trial, (uint64_t)(10 + layer * KV_HEADS + head), share, list, evicted);
            expect_new(list, first, n_new);
            assert_int_equal(kept_tokens_update(&world->kept, slot, layer, head, evicted, n, first, n_new),
                             STATUS_OK);
        }
    history->n_tokens[slot] += n_new;
    append_tokens(world, slot, first, n_new);
}

static void rewind_slot(struct world *world, struct history *history, int32_t slot, int64_t n) {
    if (n == 0) kv_cache_free_slot(world->cache, slot);
    kept_tokens_rewind(&world->kept, slot, n);
    for (int32_t table = 0; table < LAYERS * KV_HEADS; table++)
        expect_rewound(&history->lists[slot][table / KV_HEADS][table % KV_HEADS], n);
    history->n_tokens[slot] = n;
}

/* Pages are what the lists need, but for those of lists that were never evicted from and rewound. */
static void assert_all(const struct world *world, const struct history *history, bool exact) {
    int64_t n_pages = 0;
    for (int32_t slot = 0; slot < SLOTS; slot++)
        for (int32_t table = 0; table < LAYERS * KV_HEADS; table++) {
            const struct expected *list = &history->lists[slot][table / KV_HEADS][table % KV_HEADS];
            assert_list(world, slot, table / KV_HEADS, table % KV_HEADS, list);
            n_pages += kv_pages_of(list->n);
        }
    const size_t in_use = kv_cache_bytes_in_use(world->cache);
    assert_true(exact ? in_use == (size_t)n_pages * world->page_bytes
                      : in_use >= (size_t)n_pages * world->page_bytes);
}

static void lists_and_rows_follow_random_evictions(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        static struct history history;
        struct world world = create();
        bool rewound = false;
        memset(&history, 0, sizeof history);
        for (uint64_t i = 0; i < 40; i++) {
            const uint64_t trial = round * 100 + i;
            const int32_t slot = (int32_t)draw(trial, 5, 0, SLOTS - 1);
            const int64_t room = CONTEXT - history.n_tokens[slot];
            const int64_t n_new = draw(trial, 6, 1, i % 5 ? 3 : 120);
            if (i % 9 == 8 || n_new > room) {
                rewind_slot(&world, &history, slot, draw(trial, 7, 0, history.n_tokens[slot]) * (i % 2));
                rewound = true;
            } else {
                step(&world, &history, slot, trial, n_new);
            }
            assert_all(&world, &history, !rewound);
        }
        destroy(&world);
    }
}

/* Tokens first … first + n - 1 for all lists of the slot, of which nothing is evicted. */
static enum status add_to_all(struct kept_tokens *kept, int32_t slot, int64_t first, int64_t n) {
    for (int32_t table = 0; table < LAYERS * KV_HEADS; table++)
        TRY(kept_tokens_update(kept, slot, table / KV_HEADS, table % KV_HEADS, NULL, 0, first, n));
    return STATUS_OK;
}

/* One out, one in: nothing moves. */
static void a_new_token_takes_the_row_of_an_evicted_one(void **state) {
    (void)state;
    struct world world = create();
    const int32_t evicted = 7;
    assert_int_equal(add_to_all(&world.kept, 0, 0, 20), STATUS_OK);
    append_tokens(&world, 0, 0, 20);
    for (int32_t table = 0; table < LAYERS * KV_HEADS; table++)
        assert_int_equal(
            kept_tokens_update(&world.kept, 0, table / KV_HEADS, table % KV_HEADS, &evicted, 1, 20, 1),
            STATUS_OK);
    assert_int_equal(kept_tokens_row(&world.kept, 0, 1, 2, 20), 7);
    assert_int_equal(kept_tokens_row(&world.kept, 0, 1, 2, 19), 19);
    destroy(&world);
}

/* A prompt's lists are asked for as they were in the middle of it. */
static void a_list_ends_where_it_is_asked_to(void **state) {
    (void)state;
    static const int32_t evicted[] = {0, 2, 3};
    struct world world = create();
    assert_int_equal(add_to_all(&world.kept, 1, 0, 6), STATUS_OK);
    append_tokens(&world, 1, 0, 6);
    assert_int_equal(kept_tokens_resident(&world.kept, 1, 0, 0, 4).n_tokens, 4);
    assert_null(kept_tokens_resident(&world.kept, 1, 0, 0, 4).rows);
    assert_int_equal(kept_tokens_update(&world.kept, 1, 0, 0, evicted, 3, 6, 4), STATUS_OK);
    assert_int_equal(kept_tokens_resident(&world.kept, 1, 0, 0, 10).n_tokens, 7); /* 1 4 5 6 7 8 9 */
    assert_int_equal(kept_tokens_resident(&world.kept, 1, 0, 0, 8).n_tokens, 5);
    assert_int_equal(kept_tokens_resident(&world.kept, 1, 0, 0, 5).n_tokens, 2);
    assert_int_equal(kept_tokens_resident(&world.kept, 1, 0, 0, 1).n_tokens, 0);
    destroy(&world);
}

static void entries_are_removed_and_complemented(void **state) {
    (void)state;
    static const int32_t evicted[] = {0, 3, 4};
    static const float left[] = {1, 2, 5};
    float numbers[] = {0, 1, 2, 3, 4, 5};
    int32_t others[6];
    remove_entries(numbers, 6, evicted, 3);
    assert_memory_equal(numbers, left, sizeof left);
    assert_int_equal(other_entries(evicted, 3, 6, others), 3);
    assert_int_equal(others[0], 1);
    assert_int_equal(others[2], 5);
    assert_int_equal(other_entries(evicted, 0, 2, others), 2);
}

static void ask_for_an_evicted_token(void *kept) {
    (void)kept_tokens_row(kept, 0, 0, 0, 1);
}

static void skip_a_token(void *kept) {
    (void)!add_to_all(kept, 1, 5, 1);
}

static void misuse_is_caught(void **state) {
    (void)state;
    static const int32_t evicted = 1;
    struct world world = create();
    assert_int_equal(add_to_all(&world.kept, 0, 0, 3), STATUS_OK);
    append_tokens(&world, 0, 0, 3);
    assert_int_equal(kept_tokens_update(&world.kept, 0, 0, 0, &evicted, 1, 3, 1), STATUS_OK);
    assert_true(check_fails(ask_for_an_evicted_token, &world.kept));
    assert_true(check_fails(skip_a_token, &world.kept));
    destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_rows_follow_random_evictions),
        cmocka_unit_test(a_new_token_takes_the_row_of_an_evicted_one),
        cmocka_unit_test(a_list_ends_where_it_is_asked_to),
        cmocka_unit_test(entries_are_removed_and_complemented),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
