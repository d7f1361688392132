/* Page pool: geometry, reference counts against a model, memory that returns, faults that are caught. */
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
#include "kvshard/kv_pool.h"

enum { MIB = 1 << 20, SLAB = 2 * MIB };

static struct kv_pool *new_pool(int32_t head_dim, enum dtype dtype) {
    struct kv_pool *pool;
    assert_int_equal(kv_pool_create(head_dim, dtype, &pool), STATUS_OK);
    return pool;
}

static void *take(struct kv_pool *pool) {
    void *page;
    assert_int_equal(kv_pool_take(pool, &page), STATUS_OK);
    return page;
}

static void pages_have_the_layout_s_size(void **state) {
    (void)state;
    static const struct {
        int32_t head_dim;
        enum dtype dtype;
        size_t page_bytes;
    } cases[] = {
        {128, DTYPE_F16, 8192},  {128, DTYPE_F32, 16384},     {64, DTYPE_BF16, 4096}, {128, DTYPE_Q8_0, 4352},
        {8, DTYPE_F32, 1024},    {1, DTYPE_F16, 64},          {3, DTYPE_F16, 192}, /* 192 = 2 * 16 * 3 * 2 */
        {5, DTYPE_BF16, 5 * 64}, {65536, DTYPE_F32, 8 * MIB},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_pool *pool = new_pool(cases[i].head_dim, cases[i].dtype);
        assert_int_equal(kv_pool_page_bytes(pool), cases[i].page_bytes);
        assert_int_equal(kv_pool_bytes_held(pool), 0);
        unsigned char *pages[20];
        for (int p = 0; p < 20; p++) {
            pages[p] = take(pool);
            assert_int_equal((uintptr_t)pages[p] % KV_PAGE_ALIGNMENT, 0);
            pages[p][0] = pages[p][cases[i].page_bytes - 1] = (unsigned char)p;
        }
        assert_int_equal(kv_pool_pages_in_use(pool), 20);
        assert_true(kv_pool_bytes_held(pool) >= 20 * cases[i].page_bytes);
        for (int p = 0; p < 20; p++) {
            assert_int_equal(pages[p][0], p);
            assert_int_equal(pages[p][cases[i].page_bytes - 1], p);
            kv_pool_release(pool, pages[p]);
        }
        kv_pool_destroy(pool);
    }
}

static void types_without_store_are_refused(void **state) {
    (void)state;
    struct kv_pool *pool = NULL;
    assert_int_equal(kv_pool_create(64, DTYPE_Q4_0, &pool), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "q4_0"));
    assert_int_equal(kv_pool_create(80, DTYPE_Q8_0, &pool), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "80 dimensions"));
    assert_null(pool);
}

/* The model: every live page has a byte pattern of its own and a count. */
struct live {
    unsigned char *page;
    unsigned char pattern;
    int n_references;
};

static uint32_t draw(uint64_t index, uint32_t bound) {
    return (uint32_t)(rng_uniform(7, 0, index) * bound);
}

static void random_take_share_release_agrees_with_a_model(void **state) {
    (void)state;
    enum { MAX_LIVE = 3000, STEPS = 60000 };
    struct kv_pool *pool = new_pool(32, DTYPE_F16); /* 2 KiB: some 500 pages a slab */
    const size_t page_bytes = kv_pool_page_bytes(pool);
    struct live *live = calloc(MAX_LIVE, sizeof *live);
    assert_non_null(live);
    uint32_t n = 0;
    uint64_t drawn = 0;
    for (int step = 0; step < STEPS; step++) {
        /* The tide: mostly takes, then mostly releases, so that slabs come and go. */
        const uint32_t takes_in_ten = step / 6000 % 2 ? 3 : 7;
        const uint32_t choice = draw(drawn++, 10);
        if (n == 0 || (choice < takes_in_ten && n < MAX_LIVE)) {
            live[n] = (struct live){take(pool), (unsigned char)draw(drawn++, 256), 1};
            memset(live[n].page, live[n].pattern, page_bytes);
            n++;
        } else {
            const uint32_t i = draw(drawn++, n);
            if (choice == 9) {
                kv_pool_share(pool, live[i].page);
                live[i].n_references++;
                continue;
            }
            assert_int_equal(live[i].page[0], live[i].pattern);
            assert_memory_equal(live[i].page, live[i].page + 1, page_bytes - 1);
            kv_pool_release(pool, live[i].page);
            if (--live[i].n_references == 0) live[i] = live[--n];
        }
        assert_int_equal(kv_pool_pages_in_use(pool), n);
    }
    while (n > 0) {
        kv_pool_release(pool, live[n - 1].page);
        if (--live[n - 1].n_references == 0) n--;
    }
    assert_int_equal(kv_pool_pages_in_use(pool), 0);
    assert_true(kv_pool_bytes_held(pool) <= SLAB); /* the spare */
    kv_pool_destroy(pool);
    free(live);
}

/* 64 MiB of pages: held while in use, mapped by nobody afterwards but for one spare slab. */
static void memory_returns_to_the_system(void **state) {
    (void)state;
    enum { N = 32 * 255 };
    struct kv_pool *pool = new_pool(128, DTYPE_F16);
    void **pages = calloc(N, sizeof *pages);
    assert_non_null(pages);
    const size_t before = mapped_bytes();
    for (int i = 0; i < N; i++)
        pages[i] = take(pool);
    assert_int_equal(kv_pool_bytes_held(pool), 64 * MIB);
    assert_true(mapped_bytes() >= before + 64 * MIB);
    for (int i = 0; i < N; i += 2) /* every slab keeps some */
        kv_pool_release(pool, pages[i]);
    assert_int_equal(kv_pool_bytes_held(pool), 64 * MIB);
    for (int i = 1; i < N; i += 2)
        kv_pool_release(pool, pages[i]);
    assert_int_equal(kv_pool_bytes_held(pool), SLAB);
    assert_true(mapped_bytes() <= before + SLAB + MIB);
    kv_pool_destroy(pool);
    assert_true(mapped_bytes() <= before + MIB);
    free(pages);
}

/* One page taken and released at a slab's edge must not map and unmap each time. */
static void one_empty_slab_is_kept(void **state) {
    (void)state;
    struct kv_pool *pool = new_pool(128, DTYPE_F16);
    void *first = take(pool);
    const size_t held = kv_pool_bytes_held(pool);
    kv_pool_release(pool, first);
    assert_int_equal(kv_pool_bytes_held(pool), held);
    assert_ptr_equal(take(pool), first);
    assert_int_equal(kv_pool_bytes_held(pool), held);
    kv_pool_release(pool, first);
    kv_pool_destroy(pool);
}

static void exhaustion_is_a_status(void **state) {
    (void)state;
    enum { MAX = 100000 };
    struct kv_pool *pool = new_pool(128, DTYPE_F32);
    void **pages = calloc(MAX, sizeof *pages);
    assert_non_null(pages);
    const struct rlimit before = limit_mapped_bytes(8 * MIB);
    int n = 0;
    enum status status = STATUS_OK;
    while (n < MAX && (status = kv_pool_take(pool, &pages[n])) == STATUS_OK)
        n++;
    restore_limit(before);
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_true(n > 0);
    assert_int_equal(kv_pool_pages_in_use(pool), n);
    pages[n] = take(pool); /* as good as before */
    for (int i = 0; i <= n; i++)
        kv_pool_release(pool, pages[i]);
    kv_pool_destroy(pool);
    free(pages);
}

struct fault {
    struct kv_pool *pool;
    unsigned char *page;
};

static void release_it(void *argument) {
    struct fault *fault = argument;
    kv_pool_release(fault->pool, fault->page);
}

static void share_it(void *argument) {
    struct fault *fault = argument;
    kv_pool_share(fault->pool, fault->page);
}

static void destroy_pool(void *argument) {
    kv_pool_destroy(((struct fault *)argument)->pool);
}

static void misuse_is_caught(void **state) {
    (void)state;
    struct kv_pool *pool = new_pool(64, DTYPE_F16), *other = new_pool(64, DTYPE_F16);
    unsigned char *kept = take(pool), *page = take(pool);
    assert_true(check_fails(release_it, &(struct fault){pool, page + KV_PAGE_ALIGNMENT}));
    assert_true(check_fails(release_it, &(struct fault){other, page}));
    assert_true(check_fails(destroy_pool, &(struct fault){pool, NULL}));
    kv_pool_release(pool, page);
    assert_true(check_fails(release_it, &(struct fault){pool, page})); /* twice */
    assert_true(check_fails(share_it, &(struct fault){pool, page}));
    assert_true(check_fails(release_it, &(struct fault){pool, NULL}));
    kv_pool_release(pool, kept);
    kv_pool_destroy(pool);
    kv_pool_destroy(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_have_the_layout_s_size),
        cmocka_unit_test(types_without_store_are_refused),
        cmocka_unit_test(random_take_share_release_agrees_with_a_model),
        cmocka_unit_test(memory_returns_to_the_system),
        cmocka_unit_test(one_empty_slab_is_kept),
        cmocka_unit_test(exhaustion_is_a_status),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
