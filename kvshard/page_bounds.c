#include "kvshard/page_bounds_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"

enum { LANES = 16, PAGES_AT_ONCE = 128 };

struct table {
    unsigned char *rows; /* [context in pages, row_bytes] */
    int64_t n_entries;
    int64_t n_tokens; /* the next one to read */
    bool open;        /* the last entry's page goes on with that one */
};

struct scratch {
    float *key;      /* [D] */
    void *stored;    /* the same as the cache holds it */
    float *row;      /* [2 D'] */
    float *query;    /* [g, 2 D'] */
    float *scores;   /* [g, context in pages] */
    uint32_t *words; /* [context in pages] */
};

struct page_bounds {
    const struct kernels *kernels;
    const struct kv_cache *cache;
    int32_t n_layers, n_kv_heads, group;
    int64_t head_dim, row_size; /* 2 D' */
    enum dtype key_dtype, row_dtype;
    size_t row_bytes;
    int64_t max_pages; /* of a context */
    bool is_fed;
    float scale;
    struct table *tables;    /* [n_slots, n_layers, n_kv_heads] */
    struct scratch *scratch; /* [n_threads] */
};

static enum status create_tables(const struct kv_policy_config *config, struct arena *memory,
                                 struct page_bounds *bounds) {
    const size_t n = (size_t)bounds->n_layers * (size_t)bounds->n_kv_heads;
    const size_t table_bytes = (size_t)bounds->max_pages * bounds->row_bytes;
    TRY(ARENA_TAKE(memory, n * (size_t)config->n_slots, &bounds->tables));
    for (int32_t slot = 0; slot < config->n_slots; slot++) {
        void *rows;
        TRY(arena_take(memory, n, table_bytes, &rows));
        for (size_t i = 0; i < n; i++)
            bounds->tables[(size_t)slot * n + i].rows = (unsigned char *)rows + i * table_bytes;
    }
    return STATUS_OK;
}

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct page_bounds *bounds) {
    const size_t row_size = (size_t)bounds->row_size, group = (size_t)bounds->group;
    const size_t max_pages = (size_t)bounds->max_pages;
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &bounds->scratch));
    for (int32_t i = 0; i < config->n_threads; i++) {
        struct scratch *scratch = &bounds->scratch[i];
        TRY(ARENA_TAKE(memory, (size_t)config->head_dim, &scratch->key));
        TRY(arena_take(memory, 1, dtype_bytes(bounds->key_dtype, config->head_dim), &scratch->stored));
        TRY(ARENA_TAKE(memory, row_size, &scratch->row));
        TRY(ARENA_TAKE(memory, group * row_size, &scratch->query));
        TRY(ARENA_TAKE(memory, group * max_pages, &scratch->scores));
        TRY(ARENA_TAKE(memory, max_pages, &scratch->words));
    }
    return STATUS_OK;
}

enum status page_bounds_create(const struct kv_policy_config *config, struct arena *memory,
                               struct page_bounds **bounds_out) {
    struct page_bounds *bounds;
    TRY(ARENA_TAKE(memory, 1, &bounds));
    bounds->kernels = config->kernels;
    bounds->cache = config->cache;
    bounds->n_layers = config->n_layers;
    bounds->n_kv_heads = config->n_kv_heads_local;
    bounds->group = config->n_heads_local / config->n_kv_heads_local;
    bounds->head_dim = config->head_dim;
    bounds->row_size = ((int64_t)config->head_dim + LANES - 1) / LANES * LANES * 2;
    bounds->key_dtype = config->cache ? kv_cache_dtype(config->cache) : DTYPE_F32;
    bounds->row_dtype = bounds->key_dtype == DTYPE_Q8_0 ? DTYPE_F32 : bounds->key_dtype;
    bounds->row_bytes = dtype_bytes(bounds->row_dtype, bounds->row_size);
    bounds->max_pages = kv_pages_of(config->context_length);
    bounds->is_fed = config->keys_are_fed;
    bounds->scale = attention_scale(config->head_dim);
    TRY(create_tables(config, memory, bounds));
    TRY(create_scratch(config, memory, bounds));
    *bounds_out = bounds;
    return STATUS_OK;
}

static struct table *table_of(const struct page_bounds *bounds, struct bounds_table table) {
    const int64_t layer = (int64_t)table.slot * bounds->n_layers + table.layer;
    return &bounds->tables[layer * bounds->n_kv_heads + table.kv_head];
}

static unsigned char *row_of(const struct page_bounds *bounds, const struct table *table, int64_t entry) {
    return table->rows + (size_t)entry * bounds->row_bytes;
}

/* Where row and query keep channels first … first + 15. */
static float *highs_of(float *row, int64_t first) {
    return row + 2 * first;
}

/* The row of a page with this key alone. */
static void begin_row(const float *key, int64_t head_dim, int64_t row_size, float *row) {
    memset(row, 0, (size_t)row_size * sizeof *row);
    for (int64_t first = 0; first < head_dim; first += LANES) {
        float *highs = highs_of(row, first), *lows = highs + LANES;
        for (int64_t i = 0; i < LANES && first + i < head_dim; i++)
            highs[i] = lows[i] = key[first + i];
    }
}

static void merge_key(const float *key, int64_t head_dim, float *row) {
    for (int64_t first = 0; first < head_dim; first += LANES) {
        float *restrict highs = highs_of(row, first), *restrict lows = highs + LANES;
        const int64_t n = smaller_i64(LANES, head_dim - first);
        for (int64_t i = 0; i < n; i++) {
            const float element = key[first + i];
            highs[i] = element > highs[i] ? element : highs[i];
            lows[i] = element < lows[i] ? element : lows[i];
        }
    }
}

/* The keys of tokens first … first + n - 1, which lie in one page, go into the last entry. */
static void add_keys(const struct page_bounds *bounds, struct bounds_table at, int64_t first, int64_t n,
                     const void *const *keys) {
    struct table *table = table_of(bounds, at);
    struct scratch *scratch = &bounds->scratch[at.thread];
    if (table->open)
        bounds->kernels->load(row_of(bounds, table, table->n_entries - 1), bounds->row_dtype,
                              bounds->row_size, scratch->row);
    for (int64_t i = 0; i < n; i++) {
        bounds->kernels->load(keys[i], bounds->key_dtype, bounds->head_dim, scratch->key);
        if (table->open || i > 0)
            merge_key(scratch->key, bounds->head_dim, scratch->row);
        else
            begin_row(scratch->key, bounds->head_dim, bounds->row_size, scratch->row);
    }
    if (!table->open) table->n_entries++;
    bounds->kernels->store(scratch->row, bounds->row_size, bounds->row_dtype,
                           row_of(bounds, table, table->n_entries - 1));
    table->n_tokens = first + n;
    table->open = table->n_tokens % KV_PAGE_TOKENS != 0;
}

void page_bounds_extend(struct page_bounds *bounds, struct bounds_table at, int64_t n_cached) {
    struct table *table = table_of(bounds, at);
    while (table->n_tokens < n_cached) {
        const void *keys[KV_PAGE_TOKENS], *values[KV_PAGE_TOKENS];
        const int64_t first = table->n_tokens, page_end = (first / KV_PAGE_TOKENS + 1) * KV_PAGE_TOKENS;
        const int64_t n = smaller_i64(page_end, n_cached) - first;
        CHECK(bounds->cache && !bounds->is_fed);
        kv_cache_rows(bounds->cache, at.slot, at.layer, at.kv_head, NULL, first, n, keys, values);
        add_keys(bounds, at, first, n, keys);
    }
}

void page_bounds_feed(struct page_bounds *bounds, struct bounds_table at, int64_t token, const float *key) {
    void *stored = bounds->scratch[at.thread].stored;
    CHECK(bounds->is_fed && token == page_bounds_next(bounds, at));
    bounds->kernels->store(key, bounds->head_dim, bounds->key_dtype, stored);
    add_keys(bounds, at, token, 1, (const void *const[]){stored});
}

int64_t page_bounds_next(const struct page_bounds *bounds, struct bounds_table at) {
    return table_of(bounds, at)->n_tokens;
}

int64_t page_bounds_entries(const struct page_bounds *bounds, struct bounds_table at) {
    return table_of(bounds, at)->n_entries;
}

/* A NaN counts among the highs. */
static void spread_query(const float *q, int64_t head_dim, float *query) {
    for (int64_t first = 0; first < head_dim; first += LANES) {
        float *highs = highs_of(query, first), *lows = highs + LANES;
        for (int64_t i = 0; i < LANES && first + i < head_dim; i++) {
            highs[i] = q[first + i] < 0 ? 0 : q[first + i];
            lows[i] = q[first + i] < 0 ? q[first + i] : 0;
        }
    }
}

void page_bounds_score(const struct page_bounds *bounds, struct bounds_table at, const float *q, int64_t n,
                       float *bounds_out, int64_t stride) {
    const struct table *table = table_of(bounds, at);
    float *query = bounds->scratch[at.thread].query;
    CHECK(n <= table->n_entries);
    for (int32_t head = 0; head < bounds->group; head++)
        spread_query(q + head * bounds->head_dim, bounds->head_dim, query + head * bounds->row_size);
    for (int64_t begin = 0; begin < n; begin += PAGES_AT_ONCE) {
        const void *rows[PAGES_AT_ONCE];
        const int64_t count = smaller_i64(n - begin, PAGES_AT_ONCE);
        for (int64_t i = 0; i < count; i++)
            rows[i] = row_of(bounds, table, begin + i);
        bounds->kernels->score(query, bounds->group, rows, NULL, bounds->row_dtype, count, bounds->row_size,
                               bounds->scale, bounds_out + begin, stride);
    }
}

/* A NaN is worst in each query's words, and so among those of all. */
void page_bounds_words(const struct page_bounds *bounds, struct bounds_table at, const float *q, int64_t n,
                       uint32_t *words_out) {
    const struct scratch *scratch = &bounds->scratch[at.thread];
    page_bounds_score(bounds, at, q, n, scratch->scores, bounds->max_pages);
    bounds->kernels->words_of_scores(scratch->scores, n, words_out);
    for (int32_t head = 1; head < bounds->group; head++) {
        bounds->kernels->words_of_scores(scratch->scores + head * bounds->max_pages, n, scratch->words);
        for (int64_t i = 0; i < n; i++)
            words_out[i] = scratch->words[i] < words_out[i] ? scratch->words[i] : words_out[i];
    }
}

void page_bounds_cut(struct page_bounds *bounds, struct bounds_table at, int64_t n_entries,
                     int64_t n_tokens) {
    struct table *table = table_of(bounds, at);
    if (n_tokens >= table->n_tokens) return;
    table->n_entries = smaller_i64(table->n_entries, n_entries);
    table->n_tokens = n_tokens;
    table->open = false;
}

void page_bounds_remove(struct page_bounds *bounds, struct bounds_table at, int64_t entry) {
    struct table *table = table_of(bounds, at);
    CHECK(entry >= 0 && entry < table->n_entries);
    memmove(row_of(bounds, table, entry), row_of(bounds, table, entry + 1),
            (size_t)(table->n_entries - entry - 1) * bounds->row_bytes);
    if (entry == table->n_entries - 1) table->open = false;
    table->n_entries--;
}
