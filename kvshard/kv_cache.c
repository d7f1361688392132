#include "kvshard/kv_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/numbers.h"
#include "kvshard/kv_stripes.h"

_Static_assert(KV_PAGE_TOKENS <= 32, "page_entry.written has a bit for every token of a page");

struct page_entry {
    unsigned char *page; /* NULL: none */
    _Atomic uint32_t
        written; /* bit t: token t of the page was appended; atomic, as appends may be parallel */
};

struct kv_cache {
    struct kv_shape shape;
    const struct kernels *kernels;
    struct arena *memory;
    struct kv_pool *pool;
    size_t row_bytes;
    int64_t table_pages;       /* entries of one table */
    struct page_entry *tables; /* [n_slots, n_layers, n_kv_heads_local, table_pages] */
    int64_t *lengths;          /* [n_slots, n_layers, n_kv_heads_local] rows reserved */
};

static enum status take_tables(struct kv_cache *cache) {
    const struct kv_shape *shape = &cache->shape;
    size_t n = (size_t)shape->n_slots, n_pages;
    if (__builtin_mul_overflow(n, (size_t)shape->n_layers, &n) ||
        __builtin_mul_overflow(n, (size_t)shape->n_kv_heads_local, &n) ||
        __builtin_mul_overflow(n, (size_t)cache->table_pages, &n_pages))
        return FAIL(STATUS_NO_MEMORY, "page tables of %d sequences of %lld tokens are too large",
                    shape->n_slots, (long long)shape->context_length);
    TRY(ARENA_TAKE(cache->memory, n_pages, &cache->tables));
    return ARENA_TAKE(cache->memory, n, &cache->lengths);
}

enum status kv_cache_create(const struct kv_shape *shape, const struct kernels *kernels,
                            struct kv_cache **cache_out) {
    CHECK(shape->n_slots > 0 && shape->n_layers > 0 && shape->n_kv_heads_local > 0);
    CHECK(shape->context_length > 0 && shape->context_length <= INT32_MAX); /* token ids are int32_t */
    struct kv_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return FAIL(STATUS_NO_MEMORY, "out of memory for the KV cache");
    cache->shape = *shape;
    cache->kernels = kernels;
    cache->table_pages = kv_pages_of(shape->context_length);
    enum status status;
    TRY_GOTO(kv_pool_create(shape->head_dim, shape->dtype, &cache->pool), failed);
    cache->row_bytes = dtype_bytes(shape->dtype, shape->head_dim);
    TRY_GOTO(arena_create("the KV cache", &cache->memory), failed);
    TRY_GOTO(take_tables(cache), failed);
    arena_seal(cache->memory);
    *cache_out = cache;
    return STATUS_OK;

failed:
    arena_destroy(cache->memory);
    kv_pool_destroy(cache->pool);
    free(cache);
    return status;
}

void kv_cache_destroy(struct kv_cache *cache) {
    if (!cache) return;
    for (int32_t slot = 0; slot < cache->shape.n_slots; slot++)
        kv_cache_free_slot(cache, slot);
    arena_destroy(cache->memory);
    kv_pool_destroy(cache->pool);
    free(cache);
}

static void check_slot(const struct kv_cache *cache, int32_t slot) {
    CHECK(slot >= 0 && slot < cache->shape.n_slots);
}

/* Tables are numbered: slot by slot, then layer by layer. Those of a slot begin here. */
static int64_t first_table(const struct kv_cache *cache, int32_t slot) {
    return (int64_t)slot * cache->shape.n_layers * cache->shape.n_kv_heads_local;
}

static int64_t table_of(const struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local) {
    check_slot(cache, slot);
    CHECK(layer >= 0 && layer < cache->shape.n_layers);
    CHECK(kv_head_local >= 0 && kv_head_local < cache->shape.n_kv_heads_local);
    return first_table(cache, slot) + (int64_t)layer * cache->shape.n_kv_heads_local + kv_head_local;
}

static struct page_entry *entries_of(const struct kv_cache *cache, int64_t table) {
    return cache->tables + table * cache->table_pages;
}

bool kv_cache_owns(const struct kv_cache *cache, int64_t row) {
    return !(cache->shape.other_stripes >> kv_stripe_of(row) & 1);
}

/* Pages for rows [first, end) of a table, as far as it lacks them: the page of `first` may be there, or may
 * have been released. */
static enum status take_pages(struct kv_cache *cache, int64_t table, int64_t first, int64_t end) {
    struct page_entry *entries = entries_of(cache, table);
    for (int64_t i = first / KV_PAGE_TOKENS; i < kv_pages_of(end); i++) {
        if (entries[i].page || !kv_cache_owns(cache, i * KV_PAGE_TOKENS)) continue;
        void *page;
        TRY(kv_pool_take(cache->pool, &page));
        entries[i].page = page;
    }
    return STATUS_OK;
}

static void release_pages(struct kv_cache *cache, int64_t table, int64_t first, int64_t end) {
    struct page_entry *entries = entries_of(cache, table);
    for (int64_t i = first; i < end; i++) {
        if (!entries[i].page) continue;
        kv_pool_release(cache->pool, entries[i].page);
        entries[i] = (struct page_entry){0};
    }
}

/* Tables [first, end) have at least n_rows rows, or are as before. Table by table: the pages of a prefill
 * chunk lie side by side. */
static enum status reserve(struct kv_cache *cache, int64_t first, int64_t end, int64_t n_rows) {
    if (n_rows > cache->shape.context_length)
        return FAIL(STATUS_BAD_INPUT, "a sequence of %lld tokens does not fit the context of %lld",
                    (long long)n_rows, (long long)cache->shape.context_length);
    enum status status = STATUS_OK;
    for (int64_t table = first; table < end && status == STATUS_OK; table++)
        if (n_rows > cache->lengths[table]) status = take_pages(cache, table, cache->lengths[table], n_rows);
    for (int64_t table = first; table < end; table++) {
        int64_t *length = &cache->lengths[table];
        if (status == STATUS_OK)
            *length = larger_i64(*length, n_rows);
        else
            release_pages(cache, table, kv_pages_of(*length), kv_pages_of(n_rows));
    }
    return status;
}

enum status kv_cache_reserve(struct kv_cache *cache, int32_t slot, int64_t n_tokens) {
    check_slot(cache, slot);
    return reserve(cache, first_table(cache, slot), first_table(cache, slot + 1), n_tokens);
}

enum status kv_cache_reserve_rows(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                                  int64_t n_rows) {
    const int64_t table = table_of(cache, slot, layer, kv_head_local);
    return reserve(cache, table, table + 1, n_rows);
}

/* The page of a reserved row, which has one. */
static struct page_entry *page_of(const struct kv_cache *cache, int64_t table, int64_t row) {
    CHECK(row >= 0 && row < cache->lengths[table]);
    struct page_entry *entry = &entries_of(cache, table)[row / KV_PAGE_TOKENS];
    CHECK(entry->page);
    return entry;
}

void kv_cache_append(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local, int64_t row,
                     const float *key, const float *value) {
    const int64_t table = table_of(cache, slot, layer, kv_head_local);
    CHECK(row >= 0 && row < cache->lengths[table]);
    if (!kv_cache_owns(cache, row)) return;
    struct page_entry *entry = page_of(cache, table, row);
    const uint32_t token = (uint32_t)row % KV_PAGE_TOKENS;
    unsigned char *key_row = entry->page + token * cache->row_bytes;
    const struct kv_shape *shape = &cache->shape;
    cache->kernels->store(key, shape->head_dim, shape->dtype, key_row);
    cache->kernels->store(value, shape->head_dim, shape->dtype, key_row + KV_PAGE_TOKENS * cache->row_bytes);
    atomic_fetch_or_explicit(&entry->written, 1u << token, memory_order_relaxed);
}

static uint32_t written_tokens(const struct page_entry *entry) {
    return atomic_load_explicit(&entry->written, memory_order_relaxed);
}

static void listed_rows(const struct page_entry *entries, size_t row_bytes, int64_t length,
                        const int32_t *rows, int64_t n, const void **keys_out, const void **values_out) {
    for (int64_t i = 0; i < n; i++) {
        CHECK(rows[i] >= 0 && rows[i] < length);
        const struct page_entry *entry = &entries[(uint32_t)rows[i] / KV_PAGE_TOKENS];
        const uint32_t token = (uint32_t)rows[i] % KV_PAGE_TOKENS;
        CHECK(written_tokens(entry) >> token & 1);
        const unsigned char *key = entry->page + token * row_bytes;
        keys_out[i] = key;
        values_out[i] = key + KV_PAGE_TOKENS * row_bytes;
    }
}

/* As listed_rows for first .. first + n - 1, a page at a time. */
static void range_rows(const struct page_entry *entries, size_t row_bytes, int64_t first, int64_t n,
                       const void **keys_out, const void **values_out) {
    for (int64_t done = 0; done < n;) {
        const struct page_entry *entry = &entries[(first + done) / KV_PAGE_TOKENS];
        const int64_t begin = (first + done) % KV_PAGE_TOKENS;
        const int64_t left = n - done, room = KV_PAGE_TOKENS - begin;
        const int64_t count = left < room ? left : room;
        const uint32_t wanted = ((1u << count) - 1) << begin;
        CHECK((written_tokens(entry) & wanted) == wanted);
        const unsigned char *key = entry->page + (size_t)begin * row_bytes;
        for (int64_t i = done; i < done + count; i++, key += row_bytes) {
            keys_out[i] = key;
            values_out[i] = key + KV_PAGE_TOKENS * row_bytes;
        }
        done += count;
    }
}

void kv_cache_rows(const struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                   const int32_t *rows, int64_t first, int64_t n, const void **keys_out,
                   const void **values_out) {
    const int64_t table = table_of(cache, slot, layer, kv_head_local), length = cache->lengths[table];
    const struct page_entry *entries = entries_of(cache, table);
    if (rows) {
        listed_rows(entries, cache->row_bytes, length, rows, n, keys_out, values_out);
    } else {
        CHECK(first >= 0 && n >= 0 && first <= length && n <= length - first);
        range_rows(entries, cache->row_bytes, first, n, keys_out, values_out);
    }
}

void kv_cache_release_page(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                           int64_t page) {
    const int64_t table = table_of(cache, slot, layer, kv_head_local);
    CHECK(page >= 0 && page < kv_pages_of(cache->lengths[table]));
    release_pages(cache, table, page, page + 1);
}

void kv_cache_copy_row(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                       int64_t from, int64_t to) {
    const int64_t table = table_of(cache, slot, layer, kv_head_local);
    const struct page_entry *source = page_of(cache, table, from);
    struct page_entry *target = page_of(cache, table, to);
    const size_t from_token = (size_t)from % KV_PAGE_TOKENS, to_token = (size_t)to % KV_PAGE_TOKENS;
    CHECK(written_tokens(source) >> from_token & 1);
    if (from == to) return;
    const size_t values = KV_PAGE_TOKENS * cache->row_bytes;
    const unsigned char *key = source->page + from_token * cache->row_bytes;
    unsigned char *out = target->page + to_token * cache->row_bytes;
    memcpy(out, key, cache->row_bytes);
    memcpy(out + values, key + values, cache->row_bytes);
    atomic_fetch_or_explicit(&target->written, 1u << to_token, memory_order_relaxed);
}

static void shrink(struct kv_cache *cache, int64_t table, int64_t n_rows) {
    release_pages(cache, table, kv_pages_of(n_rows), kv_pages_of(cache->lengths[table]));
    cache->lengths[table] = smaller_i64(cache->lengths[table], n_rows);
}

void kv_cache_shrink(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                     int64_t n_rows) {
    CHECK(n_rows >= 0);
    shrink(cache, table_of(cache, slot, layer, kv_head_local), n_rows);
}

void kv_cache_free_slot(struct kv_cache *cache, int32_t slot) {
    check_slot(cache, slot);
    for (int64_t table = first_table(cache, slot); table < first_table(cache, slot + 1); table++)
        shrink(cache, table, 0);
}

int64_t kv_cache_length(const struct kv_cache *cache, int32_t slot) {
    check_slot(cache, slot);
    int64_t longest = 0;
    for (int64_t table = first_table(cache, slot); table < first_table(cache, slot + 1); table++)
        longest = larger_i64(longest, cache->lengths[table]);
    return longest;
}

size_t kv_cache_slot_bytes(const struct kv_cache *cache, int32_t slot) {
    check_slot(cache, slot);
    size_t n_pages = 0;
    for (int64_t table = first_table(cache, slot); table < first_table(cache, slot + 1); table++)
        for (int64_t i = 0; i < kv_pages_of(cache->lengths[table]); i++)
            n_pages += entries_of(cache, table)[i].page != NULL;
    return n_pages * kv_pool_page_bytes(cache->pool);
}

enum dtype kv_cache_dtype(const struct kv_cache *cache) {
    return cache->shape.dtype;
}

size_t kv_cache_bytes_in_use(const struct kv_cache *cache) {
    return (size_t)kv_pool_pages_in_use(cache->pool) * kv_pool_page_bytes(cache->pool);
}

size_t kv_cache_bytes_held(const struct kv_cache *cache) {
    return kv_pool_bytes_held(cache->pool);
}
