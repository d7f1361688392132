#include "kvshard/kv_pool.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mapping.h"

enum { SLAB_BYTES_MIN = MAPPING_HUGE_PAGE, SLAB_PAGES_MIN = 8, NO_PAGE = -1 };

struct page_state {
    uint32_t n_references;
    int32_t next_free; /* while n_references is 0 */
};

/* The head of a slab; its pages follow. A slab is aligned to its size, a power of two, so the slab of a
 * page is the page's address with the low bits cleared. */
struct slab {
    struct kv_pool *pool;
    struct slab *previous, *next; /* in the pool's list of slabs with pages to give */
    int32_t n_in_use;
    int32_t first_free; /* index of a page, or NO_PAGE */
    struct page_state pages[];
};

struct kv_pool {
    size_t page_bytes;
    size_t slab_bytes;
    size_t pages_offset; /* of page 0 in its slab */
    int32_t slab_pages;
    struct slab *open;  /* slabs with pages both in use and free */
    struct slab *spare; /* a slab without pages in use, or NULL: saves a map and unmap at every turn */
    int64_t pages_in_use;
    int64_t n_slabs;
};

static size_t round_up(size_t bytes, size_t multiple) {
    return (bytes + multiple - 1) / multiple * multiple;
}

static size_t pages_offset(size_t n_pages) {
    return round_up(sizeof(struct slab) + n_pages * sizeof(struct page_state), KV_PAGE_ALIGNMENT);
}

/* The smallest slab that holds enough pages, then as many as fit. */
static void lay_out_slab(struct kv_pool *pool) {
    size_t n_pages = SLAB_PAGES_MIN;
    pool->slab_bytes = SLAB_BYTES_MIN;
    while (pages_offset(n_pages) + n_pages * pool->page_bytes > pool->slab_bytes)
        pool->slab_bytes *= 2;
    while (pages_offset(n_pages + 1) + (n_pages + 1) * pool->page_bytes <= pool->slab_bytes)
        n_pages++;
    pool->slab_pages = (int32_t)n_pages;
    pool->pages_offset = pages_offset(n_pages);
}

enum status kv_pool_create(int32_t head_dim, enum dtype dtype, struct kv_pool **pool_out) {
    CHECK(head_dim > 0);
    if (dtype != DTYPE_F32 && dtype != DTYPE_F16 && dtype != DTYPE_BF16 && dtype != DTYPE_Q8_0)
        return FAIL(STATUS_BAD_INPUT, "keys and values cannot be kept as %s: choose f32, f16, bf16 or q8_0",
                    dtype_layout(dtype)->name);
    if (head_dim % dtype_layout(dtype)->block_elements != 0)
        return FAIL(STATUS_BAD_INPUT,
                    "keys and values of %d dimensions cannot be kept as %s, whose blocks hold %d: choose f16",
                    head_dim, dtype_layout(dtype)->name, dtype_layout(dtype)->block_elements);
    struct kv_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return FAIL(STATUS_NO_MEMORY, "out of memory for the KV pool");
    pool->page_bytes = round_up(2 * KV_PAGE_TOKENS * dtype_bytes(dtype, head_dim), KV_PAGE_ALIGNMENT);
    lay_out_slab(pool);
    *pool_out = pool;
    return STATUS_OK;
}

void kv_pool_destroy(struct kv_pool *pool) {
    if (!pool) return;
    CHECK(pool->pages_in_use == 0);
    if (pool->spare) mapping_destroy(pool->spare, pool->slab_bytes);
    free(pool);
}

static void open_slab(struct kv_pool *pool, struct slab *slab) {
    slab->previous = NULL;
    slab->next = pool->open;
    if (slab->next) slab->next->previous = slab;
    pool->open = slab;
}

static void close_slab(struct kv_pool *pool, struct slab *slab) {
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        pool->open = slab->next;
    if (slab->next) slab->next->previous = slab->previous;
}

static enum status map_slab(struct kv_pool *pool, struct slab **slab_out) {
    struct slab *slab = mapping_create(pool->slab_bytes, pool->slab_bytes);
    if (!slab)
        return FAIL(STATUS_NO_MEMORY,
                    "out of memory for keys and values: %zu bytes are in use, %zu more failed",
                    kv_pool_bytes_held(pool), pool->slab_bytes);
    mapping_wish_huge_pages(slab, pool->slab_bytes);
    slab->pool = pool;
    for (int32_t page = 0; page < pool->slab_pages; page++)
        slab->pages[page].next_free = page + 1 < pool->slab_pages ? page + 1 : NO_PAGE;
    pool->n_slabs++;
    *slab_out = slab;
    return STATUS_OK;
}

enum status kv_pool_take(struct kv_pool *pool, void **page_out) {
    struct slab *slab = pool->open;
    if (!slab) {
        slab = pool->spare;
        if (!slab) TRY(map_slab(pool, &slab));
        pool->spare = NULL;
        open_slab(pool, slab);
    }
    const int32_t page = slab->first_free;
    slab->first_free = slab->pages[page].next_free;
    if (slab->first_free == NO_PAGE) close_slab(pool, slab);
    slab->pages[page].n_references = 1;
    slab->n_in_use++;
    pool->pages_in_use++;
    *page_out = (unsigned char *)slab + pool->pages_offset + (size_t)page * pool->page_bytes;
    return STATUS_OK;
}

/* The slab and index of a page that is in use. */
static struct slab *find_page(struct kv_pool *pool, void *page, int32_t *index_out) {
    CHECK(page);
    const size_t offset = (uintptr_t)page & (pool->slab_bytes - 1);
    struct slab *slab = (struct slab *)(void *)((unsigned char *)page - offset);
    CHECK(slab->pool == pool);
    CHECK(offset >= pool->pages_offset && (offset - pool->pages_offset) % pool->page_bytes == 0);
    const size_t index = (offset - pool->pages_offset) / pool->page_bytes;
    CHECK(index < (size_t)pool->slab_pages && slab->pages[index].n_references > 0);
    *index_out = (int32_t)index;
    return slab;
}

void kv_pool_share(struct kv_pool *pool, void *page) {
    int32_t index;
    struct slab *slab = find_page(pool, page, &index);
    CHECK(slab->pages[index].n_references < UINT32_MAX);
    slab->pages[index].n_references++;
}

/* The slab has no page in use and is in no list: keep one such, give others back. */
static void retire_slab(struct kv_pool *pool, struct slab *slab) {
    if (!pool->spare) {
        pool->spare = slab;
        return;
    }
    mapping_destroy(slab, pool->slab_bytes);
    pool->n_slabs--;
}

void kv_pool_release(struct kv_pool *pool, void *page) {
    int32_t index;
    struct slab *slab = find_page(pool, page, &index);
    if (--slab->pages[index].n_references > 0) return;
    if (slab->first_free == NO_PAGE) open_slab(pool, slab);
    slab->pages[index].next_free = slab->first_free;
    slab->first_free = index;
    pool->pages_in_use--;
    if (--slab->n_in_use > 0) return;
    close_slab(pool, slab);
    retire_slab(pool, slab);
}

size_t kv_pool_page_bytes(const struct kv_pool *pool) {
    return pool->page_bytes;
}

int64_t kv_pool_pages_in_use(const struct kv_pool *pool) {
    return pool->pages_in_use;
}

size_t kv_pool_bytes_held(const struct kv_pool *pool) {
    return (size_t)pool->n_slabs * pool->slab_bytes;
}
