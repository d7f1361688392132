/* KV cache: what is appended comes back in every dtype, reserve takes all or nothing, freed is free. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "address_limit.h"
#include "base/rng.h"
#include "check_fails.h"
#include "kvshard/kv_cache.h"

enum { HEAD_DIM = 32, MAX_ROWS = 300 };

static const struct kv_shape shape = {
    .n_slots = 3,
    .n_layers = 4,
    .n_kv_heads_local = 2,
    .head_dim = HEAD_DIM,
    .context_length = 300, /* not a multiple of the page */
    .dtype = DTYPE_F32,
};

static struct kv_cache *new_cache(struct kv_shape of) {
    struct kv_cache *cache;
    assert_int_equal(kv_cache_create(&of, kernels_at_level(0), &cache), STATUS_OK);
    return cache;
}

static void reserve(struct kv_cache *cache, int32_t slot, int64_t n) {
    assert_int_equal(kv_cache_reserve(cache, slot, n), STATUS_OK);
}

/* A row of its own for every place in the cache; `kind` 0 for keys, 1 for values. */
static void make_row(int32_t slot, int32_t layer, int32_t head, int64_t position, int kind, float *row) {
    const uint64_t stream = (uint64_t)((((slot * 16 + layer) * 16 + head) * 1024 + position) * 2 + kind);
    for (int i = 0; i < HEAD_DIM; i++)
        row[i] = (float)(rng_uniform(3, stream, (uint64_t)i) * 4 - 2);
}

static void append(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t head, int64_t position) {
    float key[HEAD_DIM], value[HEAD_DIM];
    make_row(slot, layer, head, position, 0, key);
    make_row(slot, layer, head, position, 1, value);
    kv_cache_append(cache, slot, layer, head, position, key, value);
}

static void append_everywhere(struct kv_cache *cache, int32_t slot, int64_t begin, int64_t end) {
    for (int32_t layer = 0; layer < shape.n_layers; layer++)
        for (int32_t head = 0; head < shape.n_kv_heads_local; head++)
            for (int64_t position = begin; position < end; position++)
                append(cache, slot, layer, head, position);
}

static void assert_row(const void *row, enum dtype dtype, const float *expected) {
    static const double relative_error[] = {
        [DTYPE_F32] = 0, [DTYPE_F16] = 0x1p-11, [DTYPE_BF16] = 0x1p-8, [DTYPE_Q8_0] = 0};
    float loaded[HEAD_DIM], largest = 0;
    for (int i = 0; i < HEAD_DIM; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    const double step = dtype == DTYPE_Q8_0 ? largest / 127 : 0;
    kernels_at_level(0)->load(row, dtype, HEAD_DIM, loaded);
    for (int i = 0; i < HEAD_DIM; i++)
        assert_true(fabs((double)loaded[i] - expected[i]) <=
                    relative_error[dtype] * fabs(expected[i]) + 0.6 * step + 1e-7);
}

/* tokens as kv_cache_rows takes them. */
static void assert_rows(const struct kv_cache *cache, enum dtype dtype, int32_t slot, int32_t layer,
                        int32_t head, const int32_t *tokens, int64_t first, int64_t n) {
    const void *keys[MAX_ROWS], *values[MAX_ROWS];
    kv_cache_rows(cache, slot, layer, head, tokens, first, n, keys, values);
    for (int64_t i = 0; i < n; i++) {
        float expected[HEAD_DIM];
        const int64_t position = tokens ? tokens[i] : first + i;
        make_row(slot, layer, head, position, 0, expected);
        assert_row(keys[i], dtype, expected);
        make_row(slot, layer, head, position, 1, expected);
        assert_row(values[i], dtype, expected);
    }
}

static void every_dtype_comes_back(void **state) {
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0};
    static const int32_t tokens[] = {0, 1, 15, 16, 17, 99, 255, 256, 299};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        struct kv_shape of = shape;
        of.dtype = dtypes[d];
        struct kv_cache *cache = new_cache(of);
        for (int32_t slot = 0; slot < 2; slot++) { /* grown in uneven steps, slots in turn */
            reserve(cache, slot, 7);
            append_everywhere(cache, slot, 0, 7);
        }
        for (int32_t slot = 0; slot < 2; slot++) {
            reserve(cache, slot, 300);
            append_everywhere(cache, slot, 7, 300);
        }
        for (int32_t slot = 0; slot < 2; slot++)
            for (int32_t layer = 0; layer < of.n_layers; layer++)
                for (int32_t head = 0; head < of.n_kv_heads_local; head++) {
                    assert_rows(cache, dtypes[d], slot, layer, head, NULL, 0, 300);
                    assert_rows(cache, dtypes[d], slot, layer, head, NULL, 13, 20);
                    assert_rows(cache, dtypes[d], slot, layer, head, NULL, 300, 0);
                    assert_rows(cache, dtypes[d], slot, layer, head, tokens, 0, 9);
                }
        kv_cache_destroy(cache);
    }
}

static void a_token_can_be_stored_anew(void **state) {
    (void)state;
    struct kv_cache *cache = new_cache(shape);
    const float old[HEAD_DIM] = {1, 2, 3};
    reserve(cache, 0, 20);
    kv_cache_append(cache, 0, 0, 0, 18, old, old);
    append(cache, 0, 0, 0, 18);
    assert_rows(cache, DTYPE_F32, 0, 0, 0, NULL, 18, 1);
    kv_cache_destroy(cache);
}

static int64_t pages_in_use(const struct kv_cache *cache) {
    return (int64_t)kv_cache_bytes_in_use(cache) / (2 * KV_PAGE_TOKENS * HEAD_DIM * (int64_t)sizeof(float));
}

static void pages_follow_the_length(void **state) {
    (void)state;
    static const struct {
        int64_t n_tokens, length, pages; /* pages of one table */
    } steps[] = {{1, 1, 1}, {16, 16, 1}, {17, 17, 2}, {5, 17, 2}, {0, 17, 2}, {160, 160, 10}, {300, 300, 19}};
    struct kv_cache *cache = new_cache(shape);
    const int64_t n_tables = shape.n_layers * shape.n_kv_heads_local;
    assert_int_equal(kv_cache_bytes_in_use(cache), 0);
    assert_int_equal(kv_cache_bytes_held(cache), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        reserve(cache, 1, steps[i].n_tokens);
        assert_int_equal(kv_cache_length(cache, 1), steps[i].length);
        assert_int_equal(pages_in_use(cache), steps[i].pages * n_tables);
    }
    reserve(cache, 2, 1);
    assert_int_equal(kv_cache_reserve(cache, 1, 301), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "301"));
    assert_int_equal(kv_cache_length(cache, 1), 300);

    kv_cache_free_slot(cache, 1);
    assert_int_equal(kv_cache_length(cache, 1), 0);
    assert_int_equal(pages_in_use(cache), n_tables); /* slot 2's */
    kv_cache_free_slot(cache, 1);                    /* nothing left to free */
    kv_cache_free_slot(cache, 2);
    assert_int_equal(kv_cache_bytes_in_use(cache), 0);
    kv_cache_destroy(cache);
}

/* Memory for less than half of the request: the slot keeps exactly what it had. */
static void reserve_takes_all_or_nothing(void **state) {
    (void)state;
    struct kv_shape of = shape;
    of.context_length = 1 << 16;
    struct kv_cache *cache = new_cache(of);
    reserve(cache, 0, 40);
    append_everywhere(cache, 0, 0, 40);
    const size_t in_use = kv_cache_bytes_in_use(cache);

    const struct rlimit before = limit_mapped_bytes(16 << 20);
    const enum status status = kv_cache_reserve(cache, 0, 1 << 16); /* 8 tables x 12 MiB */
    restore_limit(before);
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_int_equal(kv_cache_length(cache, 0), 40);
    assert_int_equal(kv_cache_bytes_in_use(cache), in_use);
    for (int32_t layer = 0; layer < of.n_layers; layer++)
        assert_rows(cache, DTYPE_F32, 0, layer, 1, NULL, 0, 40);

    reserve(cache, 0, 60);
    append_everywhere(cache, 0, 40, 60);
    assert_rows(cache, DTYPE_F32, 0, 3, 1, NULL, 0, 60);
    kv_cache_destroy(cache);
}

/* 36 layers x 8 heads at 131,072 tokens: tables of 37 MB, of which a short sequence touches little. */
static void a_large_context_costs_nothing_until_used(void **state) {
    (void)state;
    const struct kv_shape of = {.n_slots = 64,
                                .n_layers = 36,
                                .n_kv_heads_local = 8,
                                .head_dim = 64,
                                .context_length = 131072,
                                .dtype = DTYPE_F16};
    struct kv_cache *cache = new_cache(of);
    assert_int_equal(kv_cache_bytes_held(cache), 0);
    reserve(cache, 63, 17);
    assert_int_equal(kv_cache_bytes_in_use(cache), 2 * 288 * 4096);
    kv_cache_destroy(cache);
}

static void absurd_tables_are_refused(void **state) {
    (void)state;
    struct kv_shape of = shape;
    of.n_slots = of.n_layers = of.n_kv_heads_local = INT32_MAX;
    struct kv_cache *cache = NULL;
    assert_int_equal(kv_cache_create(&of, kernels_at_level(0), &cache), STATUS_NO_MEMORY);
    of = shape;
    of.dtype = DTYPE_Q4_0;
    assert_int_equal(kv_cache_create(&of, kernels_at_level(0), &cache), STATUS_BAD_INPUT);
    assert_null(cache);
}

enum { N_WRITERS = 4 };

struct writer {
    struct kv_cache *cache;
    int first;
};

static void *append_every_fourth(void *argument) {
    const struct writer *writer = argument;
    for (int64_t position = writer->first; position < 300; position += N_WRITERS)
        append(writer->cache, 2, 1, 0, position);
    return NULL;
}

/* Neighbours in a page are written by different threads at once. */
static void appends_may_be_parallel(void **state) {
    (void)state;
    struct kv_cache *cache = new_cache(shape);
    reserve(cache, 2, 300);
    pthread_t threads[N_WRITERS];
    struct writer writers[N_WRITERS];
    for (int i = 0; i < N_WRITERS; i++) {
        writers[i] = (struct writer){cache, i};
        assert_int_equal(pthread_create(&threads[i], NULL, append_every_fourth, &writers[i]), 0);
    }
    for (int i = 0; i < N_WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_rows(cache, DTYPE_F32, 2, 1, 0, NULL, 0, 300);
    kv_cache_destroy(cache);
}

struct access {
    struct kv_cache *cache;
    int32_t slot, layer, head;
    const int32_t *tokens;
    int64_t first, n;
};

static void read_rows(void *argument) {
    const struct access *access = argument;
    const void *keys[MAX_ROWS], *values[MAX_ROWS];
    kv_cache_rows(access->cache, access->slot, access->layer, access->head, access->tokens, access->first,
                  access->n, keys, values);
}

static void append_row(void *argument) {
    const struct access *access = argument;
    append(access->cache, access->slot, access->layer, access->head, access->first);
}

static void what_was_never_written_is_never_read(void **state) {
    (void)state;
    static const int32_t unwritten[] = {3, 10}, beyond[] = {3, 40}, negative[] = {-1, 3};
    struct kv_cache *cache = new_cache(shape);
    reserve(cache, 0, 40);
    append_everywhere(cache, 0, 0, 40);
    kv_cache_free_slot(cache, 0); /* the pages' old content is still there */
    reserve(cache, 0, 40);
    for (int64_t position = 0; position < 40; position++)
        if (position != 10) append(cache, 0, 1, 1, position);

    assert_rows(cache, DTYPE_F32, 0, 1, 1, NULL, 0, 10);
    assert_rows(cache, DTYPE_F32, 0, 1, 1, NULL, 11, 29);
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, NULL, 0, 11}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, unwritten, 0, 2}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 0, NULL, 0, 1}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, NULL, 11, 30}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, beyond, 0, 2}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, negative, 0, 2}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 1, 1, NULL, -1, 2}));
    assert_true(check_fails(read_rows, &(struct access){cache, 1, 1, 1, NULL, 0, 1}));
    assert_true(check_fails(read_rows, &(struct access){cache, 0, 4, 1, NULL, 0, 1}));
    assert_true(check_fails(append_row, &(struct access){cache, 0, 1, 1, NULL, 40, 1}));
    assert_true(check_fails(append_row, &(struct access){cache, 3, 1, 1, NULL, 0, 1}));
    kv_cache_destroy(cache);
}

/* Two ranks share a head: even units of 128 rows are one's, odd ones the other's. */
static void ranks_share_a_head(void **state) {
    (void)state;
    struct kv_shape of = {.n_slots = 1,
                          .n_layers = 1,
                          .n_kv_heads_local = 1,
                          .head_dim = HEAD_DIM,
                          .context_length = 300,
                          .dtype = DTYPE_F32,
                          .other_stripes = 0xf0};
    struct kv_cache *even = new_cache(of);
    of.other_stripes = 0x0f;
    struct kv_cache *odd = new_cache(of);
    reserve(even, 0, 300);
    reserve(odd, 0, 300);
    for (int64_t row = 0; row < 300; row++) {
        assert_int_equal(kv_cache_owns(even, row), row / 128 % 2 == 0);
        assert_int_equal(kv_cache_owns(odd, row), row / 128 % 2 == 1);
        append(even, 0, 0, 0, row);
        append(odd, 0, 0, 0, row);
    }
    assert_rows(even, DTYPE_F32, 0, 0, 0, NULL, 0, 128);
    assert_rows(even, DTYPE_F32, 0, 0, 0, NULL, 256, 44);
    assert_rows(odd, DTYPE_F32, 0, 0, 0, NULL, 128, 128);
    assert_true(check_fails(read_rows, &(struct access){even, 0, 0, 0, NULL, 127, 2}));
    assert_true(check_fails(read_rows, &(struct access){odd, 0, 0, 0, (const int32_t[]){0}, 0, 1}));
    assert_int_equal(kv_cache_slot_bytes(even, 0), 11 * (kv_cache_slot_bytes(odd, 0) / 8));
    kv_cache_release_page(even, 0, 0, 0, 9); /* not there: nothing happens */
    kv_cache_shrink(odd, 0, 0, 0, 0);
    assert_int_equal(kv_cache_bytes_in_use(odd), 0);
    kv_cache_destroy(even);
    kv_cache_destroy(odd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_comes_back),
        cmocka_unit_test(a_token_can_be_stored_anew),
        cmocka_unit_test(pages_follow_the_length),
        cmocka_unit_test(reserve_takes_all_or_nothing),
        cmocka_unit_test(a_large_context_costs_nothing_until_used),
        cmocka_unit_test(absurd_tables_are_refused),
        cmocka_unit_test(appends_may_be_parallel),
        cmocka_unit_test(what_was_never_written_is_never_read),
        cmocka_unit_test(ranks_share_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
