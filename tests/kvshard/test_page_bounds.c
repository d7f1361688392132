/* Bounds of pages: never below what the kernels compute for a key, and equal to it where a page has one key.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "kvshard/page_bounds_impl.h"

enum { CONTEXT = 300, MAX_DIM = 128, MAX_GROUP = 5, MAX_PAGES = CONTEXT / KV_PAGE_TOKENS + 1 };

struct setting {
    int level;
    enum dtype dtype;
    int32_t head_dim, group;
};

struct world {
    struct setting setting;
    const struct kernels *kernels;
    struct arena *memory;
    struct kv_cache *cache;
    struct page_bounds *bounds;
    float scale;
};

static struct world create(struct setting setting) {
    struct world world = {.setting = setting,
                          .kernels = kernels_at_level(setting.level),
                          .scale = (float)(1 / sqrt((double)setting.head_dim))};
    const struct kv_shape shape = {1, 1, 1, setting.head_dim, CONTEXT, setting.dtype, 0};
    assert_int_equal(arena_create("test", &world.memory), STATUS_OK);
    assert_int_equal(kv_cache_create(&shape, world.kernels, &world.cache), STATUS_OK);
    const struct kv_policy_config config = {.n_slots = 1,
                                            .n_layers = 1,
                                            .n_heads_local = setting.group,
                                            .n_kv_heads_local = 1,
                                            .head_dim = setting.head_dim,
                                            .context_length = CONTEXT,
                                            .n_threads = 1,
                                            .kernels = world.kernels,
                                            .cache = world.cache};
    assert_int_equal(page_bounds_create(&config, world.memory, &world.bounds), STATUS_OK);
    assert_int_equal(kv_cache_reserve(world.cache, 0, CONTEXT), STATUS_OK);
    return world;
}

static void destroy(struct world *world) {
    kv_cache_destroy(world->cache);
    arena_destroy(world->memory);
}

/* Of all magnitudes, so that sums round at every addition. */
static void draw(uint64_t seed, uint64_t stream, int32_t n, float *row) {
    for (uint64_t d = 0; d < (uint64_t)n; d++) {
        const double u = rng_uniform(seed, stream, d) * 2 - 1;
        row[d] = (float)ldexp(u, (int)(rng_uniform(seed + 77, stream, d) * 12) - 6);
    }
}

static void store_tokens(struct world *world, int64_t first, int64_t end, uint64_t seed) {
    float key[MAX_DIM];
    for (int64_t token = first; token < end; token++) {
        draw(seed, (uint64_t)token, world->setting.head_dim, key);
        kv_cache_append(world->cache, 0, 0, 0, token, key, key);
    }
}

/* A token's score, as attention computes it. */
static float score(const struct world *world, const float *q, int64_t token) {
    const void *key, *value;
    float result;
    kv_cache_rows(world->cache, 0, 0, 0, NULL, token, 1, &key, &value);
    world->kernels->score(q, 1, &key, NULL, world->setting.dtype, 1, world->setting.head_dim, world->scale,
                          &result, 1);
    return result;
}

static const struct bounds_table table;

/* Entry e holds the tokens of pages[e] below n_tokens. */
static void check_bounds(const struct world *world, const int64_t *pages, int64_t n_pages, int64_t n_tokens,
                         uint64_t seed) {
    float q[MAX_GROUP * MAX_DIM], bounds[MAX_GROUP * MAX_PAGES];
    draw(seed, 1000000, world->setting.group * world->setting.head_dim, q);
    assert_int_equal(page_bounds_entries(world->bounds, table), n_pages);
    page_bounds_score(world->bounds, table, q, n_pages, bounds, MAX_PAGES);
    for (int32_t head = 0; head < world->setting.group; head++)
        for (int64_t entry = 0; entry < n_pages; entry++) {
            const float bound = bounds[head * MAX_PAGES + entry];
            float best = -INFINITY;
            int64_t n = 0;
            for (int64_t token = pages[entry] * KV_PAGE_TOKENS; token < n_tokens && n < KV_PAGE_TOKENS;
                 token++, n++)
                best = fmaxf(best, score(world, q + head * world->setting.head_dim, token));
            assert_true(bound >= best); /* without any tolerance */
            if (n == 1) assert_true(bound == best);
        }
}

static void check_setting(struct setting setting) {
    struct world world = create(setting);
    int64_t pages[MAX_PAGES], n = 0;
    for (int64_t i = 0; i < MAX_PAGES; i++)
        pages[i] = i;
    store_tokens(&world, 0, CONTEXT, 5);
    for (int64_t step = 1; n < CONTEXT; step = step % 23 + 1) { /* one token at a time, and many */
        n = n + step < CONTEXT ? n + step : CONTEXT;
        page_bounds_extend(world.bounds, table, n);
        check_bounds(&world, pages, kv_pages_of(n), n, (uint64_t)n);
    }
    destroy(&world);
}

static void no_key_scores_above_its_page_s_bound(void **state) {
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0};
    static const int32_t dims[] = {8, 32, 40, 64, 80, 128};
    for (int level = 0; level <= kernels_best_level(); level++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 6; j++) {
                if (dtypes[i] == DTYPE_Q8_0 && dims[j] % 32) continue;
                check_setting((struct setting){level, dtypes[i], dims[j], 1 + (i + j) % MAX_GROUP});
            }
}

/* Bounds are equal sums of the larger products: against the definition, where sums are exact. */
static void a_bound_is_the_sum_of_the_larger_products(void **state) {
    (void)state;
    struct world world = create((struct setting){0, DTYPE_F32, 16, 1});
    float keys[2][16], q[16], bound;
    double expected = 0;
    for (int d = 0; d < 16; d++) {
        for (int i = 0; i < 2; i++)
            keys[i][d] = (float)((int)(rng_uniform(3, (uint64_t)i, (uint64_t)d) * 17) - 8) / 8;
        q[d] = (float)((int)(rng_uniform(3, 2, (uint64_t)d) * 17) - 8) / 8;
        expected += fmax(q[d] * fmin(keys[0][d], keys[1][d]), q[d] * fmax(keys[0][d], keys[1][d])) / 4;
    }
    for (int i = 0; i < 2; i++)
        kv_cache_append(world.cache, 0, 0, 0, i, keys[i], keys[i]);
    page_bounds_extend(world.bounds, table, 2);
    page_bounds_score(world.bounds, table, q, 1, &bound, 1);
    assert_true((double)bound == expected);
    destroy(&world);
}

static void what_is_cut_off_is_read_anew(void **state) {
    (void)state;
    struct world world = create((struct setting){kernels_best_level(), DTYPE_F16, 64, 2});
    static const int64_t pages[MAX_PAGES] = {0,  1,  2,  3,  4,  5,  6,  7,  8, 9,
                                             10, 11, 12, 13, 14, 15, 16, 17, 18};
    store_tokens(&world, 0, CONTEXT, 5);
    page_bounds_extend(world.bounds, table, 200);
    for (int64_t n = 200; n > 0; n -= 37) {
        const int64_t n_full = n / KV_PAGE_TOKENS;
        page_bounds_cut(world.bounds, table, n_full, n_full * KV_PAGE_TOKENS);
        page_bounds_cut(world.bounds, table, 999, 999); /* beyond what there is: nothing */
        assert_int_equal(page_bounds_entries(world.bounds, table), n_full);
        store_tokens(&world, n, n + 10, 6 + (uint64_t)n);
        page_bounds_extend(world.bounds, table, n + 10);
        check_bounds(&world, pages, kv_pages_of(n + 10), n + 10, (uint64_t)n);
    }
    destroy(&world);
}

static void entries_can_be_taken_out(void **state) {
    (void)state;
    struct world world = create((struct setting){kernels_best_level(), DTYPE_BF16, 32, 3});
    static const int64_t kept[] = {1, 2, 4, 5, 6};
    store_tokens(&world, 0, CONTEXT, 5);
    page_bounds_extend(world.bounds, table, 70);
    page_bounds_remove(world.bounds, table, 3);
    page_bounds_remove(world.bounds, table, 0);
    check_bounds(&world, kept, 3, 70, 1); /* 1, 2 and 4, whose last tokens are still to come */
    page_bounds_extend(world.bounds, table, 100);
    check_bounds(&world, kept, 5, 100, 2);
    destroy(&world);
}

static void a_page_cut_within_may_begin_anew(void **state) {
    (void)state;
    struct world world = create((struct setting){kernels_best_level(), DTYPE_F32, 32, 1});
    store_tokens(&world, 0, CONTEXT, 5);
    page_bounds_extend(world.bounds, table, 64);
    page_bounds_remove(world.bounds, table, 2);
    page_bounds_cut(world.bounds, table, 2, 40); /* page 2 is gone, its second half comes again */
    store_tokens(&world, 40, 41, 9);
    page_bounds_extend(world.bounds, table, 41);
    assert_int_equal(page_bounds_entries(world.bounds, table), 3);
    float q[MAX_DIM], bounds[3];
    draw(4, 4, 32, q);
    page_bounds_score(world.bounds, table, q, 3, bounds, 3);
    assert_true(bounds[2] == score(&world, q, 40));
    destroy(&world);
}

static void broken_keys_break_no_other_page(void **state) {
    (void)state;
    struct world world = create((struct setting){kernels_best_level(), DTYPE_F32, 32, 1});
    float broken[32], q[MAX_DIM], before[3], after[3];
    store_tokens(&world, 0, 48, 5);
    page_bounds_extend(world.bounds, table, 48);
    draw(4, 4, 32, q);
    page_bounds_score(world.bounds, table, q, 3, before, 3);
    for (int d = 0; d < 32; d++)
        broken[d] = d % 2 ? NAN : INFINITY;
    for (int64_t token = 16; token < 32; token++)
        kv_cache_append(world.cache, 0, 0, 0, token, broken, broken);
    page_bounds_cut(world.bounds, table, 0, 0);
    page_bounds_extend(world.bounds, table, 48);
    page_bounds_score(world.bounds, table, q, 3, after, 3);
    assert_true(after[0] == before[0] && isnan(after[1]) && after[2] == before[2]);
    destroy(&world);
}

static void score_more_than_there_are(void *bounds) {
    static const float q[MAX_DIM];
    float out[4];
    page_bounds_score(bounds, table, q, 1, out, 1);
}

static void misuse_is_caught(void **state) {
    (void)state;
    struct world world = create((struct setting){0, DTYPE_F32, 32, 1});
    assert_true(check_fails(score_more_than_there_are, world.bounds));
    destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_key_scores_above_its_page_s_bound),
        cmocka_unit_test(a_bound_is_the_sum_of_the_larger_products),
        cmocka_unit_test(what_is_cut_off_is_read_anew),
        cmocka_unit_test(entries_can_be_taken_out),
        cmocka_unit_test(a_page_cut_within_may_begin_anew),
        cmocka_unit_test(broken_keys_break_no_other_page),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
