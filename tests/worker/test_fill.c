/* Random keys and values: what they depend on, and that they are normal. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/kernels.h"
#include "worker/fill.h"

enum { LAYERS = 3, KV_HEADS = 4, HEAD_DIM = 16, TOKENS = 300 };

/* A cache of some KV heads with slot 1 filled. */
static struct kv_cache *filled_cache(int32_t first_kv_head, int32_t n_kv_heads, uint64_t seed,
                                     int n_threads) {
    const struct kv_shape shape = {.n_slots = 2,
                                   .n_layers = LAYERS,
                                   .n_kv_heads_local = n_kv_heads,
                                   .head_dim = HEAD_DIM,
                                   .context_length = TOKENS,
                                   .dtype = DTYPE_F32};
    const struct fill_shape part = {.n_layers = LAYERS,
                                    .first_kv_head = first_kv_head,
                                    .n_kv_heads_local = n_kv_heads,
                                    .head_dim = HEAD_DIM};
    const struct step_fill fill = {.slot = 1, .n_tokens = TOKENS, .seed = seed};
    struct kv_cache *cache;
    omp_set_num_threads(n_threads);
    assert_int_equal(kv_cache_create(&shape, kernels_at_level(0), &cache), STATUS_OK);
    assert_int_equal(kv_cache_reserve(cache, 1, TOKENS), STATUS_OK);
    assert_int_equal(fill_kv_cache(cache, &part, &fill), STATUS_OK);
    return cache;
}

/* key and value [HEAD_DIM] */
static void row_of(const struct kv_cache *cache, int32_t layer, int32_t head, int64_t token,
                   const float **key, const float **value) {
    const void *key_row, *value_row;
    kv_cache_rows(cache, 1, layer, head, NULL, token, 1, &key_row, &value_row);
    *key = key_row;
    *value = value_row;
}

static bool same_row(const float *a, const float *b) {
    return memcmp(a, b, HEAD_DIM * sizeof *a) == 0;
}

/* Head `head` of a equals head `head` - shift of b, everywhere. */
static void expect_same(const struct kv_cache *a, const struct kv_cache *b, int32_t first, int32_t end) {
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = first; head < end; head++)
            for (int64_t token = 0; token < TOKENS; token++) {
                const float *key_a, *value_a, *key_b, *value_b;
                row_of(a, layer, head, token, &key_a, &value_a);
                row_of(b, layer, head - first, token, &key_b, &value_b);
                assert_true(same_row(key_a, key_b) && same_row(value_a, value_b));
            }
}

static void test_ranks_and_threads_do_not_matter(void **state) {
    (void)state;
    struct kv_cache *all = filled_cache(0, KV_HEADS, 7, 1), *threaded = filled_cache(0, KV_HEADS, 7, 3);
    struct kv_cache *lower = filled_cache(0, 1, 7, 2), *upper = filled_cache(1, 3, 7, 2);
    expect_same(all, threaded, 0, KV_HEADS);
    expect_same(all, lower, 0, 1);
    expect_same(all, upper, 1, KV_HEADS);
    kv_cache_destroy(all);
    kv_cache_destroy(threaded);
    kv_cache_destroy(lower);
    kv_cache_destroy(upper);
}

static void test_all_else_matters(void **state) {
    (void)state;
    struct kv_cache *cache = filled_cache(0, KV_HEADS, 7, 1), *other = filled_cache(0, KV_HEADS, 8, 1);
    const float *key, *value, *other_key, *other_value;
    row_of(cache, 1, 1, 5, &key, &value);
    assert_false(same_row(key, value));
    row_of(other, 1, 1, 5, &other_key, &other_value);
    assert_false(same_row(key, other_key) || same_row(value, other_value));
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < KV_HEADS; head++)
            for (int64_t token = 5; token <= 6; token++) {
                if (layer == 1 && head == 1 && token == 5) continue;
                row_of(cache, layer, head, token, &other_key, &other_value);
                assert_false(same_row(key, other_key) || same_row(value, other_value));
            }
    kv_cache_destroy(cache);
    kv_cache_destroy(other);
}

/* Mean 0 and variance 1 within six standard errors; no value that a normal number never takes. */
static void test_values_are_normal(void **state) {
    (void)state;
    struct kv_cache *cache = filled_cache(0, KV_HEADS, 7, 1);
    double sum = 0, squares = 0;
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < KV_HEADS; head++)
            for (int64_t token = 0; token < TOKENS; token++) {
                const float *key, *value;
                row_of(cache, layer, head, token, &key, &value);
                for (int32_t d = 0; d < HEAD_DIM; d++) {
                    assert_true(fabsf(key[d]) < 7 && fabsf(value[d]) < 7);
                    sum += (double)key[d];
                    squares += (double)value[d] * (double)value[d];
                }
            }
    const double n = LAYERS * KV_HEADS * TOKENS * HEAD_DIM;
    assert_true(fabs(sum / n) < 6 / sqrt(n));
    assert_true(fabs(squares / n - 1) < 6 * sqrt(2 / n));
    kv_cache_destroy(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_and_threads_do_not_matter),
        cmocka_unit_test(test_all_else_matters),
        cmocka_unit_test(test_values_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
