#include "kvshard/kept_tokens_impl.h"

#include <string.h>

#include "base/check.h"
#include "base/numbers.h"

/* A list and its table in the cache. */
struct place {
    int32_t slot, layer, kv_head;
};

static struct kept_list *list_at(const struct kept_tokens *kept, struct place at) {
    return &kept->lists[((int64_t)at.slot * kept->n_layers + at.layer) * kept->n_kv_heads + at.kv_head];
}

/* One piece of memory a slot, so that a piece stays small beside the machine's memory. */
static enum status create_lists(const struct kv_policy_config *config, struct arena *memory,
                                struct kept_list *lists, size_t n_lists) {
    const size_t context = (size_t)config->context_length;
    void *entries; /* [n_lists, 2, context] */
    TRY(arena_take(memory, n_lists, 2 * context * sizeof *lists->tokens, &entries));
    for (size_t i = 0; i < n_lists; i++) {
        int32_t *tokens = (int32_t *)entries + 2 * i * context;
        lists[i] = (struct kept_list){.tokens = tokens, .rows = tokens + context, .whole = true};
    }
    return STATUS_OK;
}

enum status kept_tokens_create(const struct kv_policy_config *config, struct arena *memory,
                               struct kept_tokens *kept_out) {
    struct kept_tokens kept = {
        .cache = config->cache,
        .n_layers = config->n_layers,
        .n_kv_heads = config->n_kv_heads_local,
    };
    const size_t n_lists = (size_t)config->n_layers * (size_t)config->n_kv_heads_local;
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots * n_lists, &kept.lists));
    for (size_t slot = 0; slot < (size_t)config->n_slots; slot++)
        TRY(create_lists(config, memory, kept.lists + slot * n_lists, n_lists));
    TRY(ARENA_TAKE(memory, (size_t)config->context_length, &kept.free_rows));
    *kept_out = kept;
    return STATUS_OK;
}

const struct kept_list *kept_tokens_list(const struct kept_tokens *kept, int32_t slot, int32_t layer,
                                         int32_t kv_head) {
    return list_at(kept, (struct place){slot, layer, kv_head});
}

static int64_t row_of_entry(const struct kept_list *list, int64_t entry) {
    return list->whole ? entry : list->rows[entry];
}

/* Entries [begin, end) become entry `to` and the following; to <= begin. */
static void move_entries(struct kept_list *list, int64_t begin, int64_t end, int64_t to) {
    const size_t bytes = (size_t)(end - begin) * sizeof *list->tokens;
    if (!list->whole) {
        memmove(list->tokens + to, list->tokens + begin, bytes);
        memmove(list->rows + to, list->rows + begin, bytes);
        return;
    }
    for (int64_t i = begin; i < end; i++)
        list->tokens[to + i - begin] = list->rows[to + i - begin] = (int32_t)i;
}

/* Rows of a list that go free, as far as they are before `end`, where the list is going to end. */
static int64_t rows_before(const int32_t *rows, int64_t n, int64_t end, int32_t *free_rows) {
    int64_t n_free = 0;
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < end) free_rows[n_free++] = rows[i];
    return n_free;
}

/* Takes the entries out; returns how many of their rows are before `end`, and which. */
static int64_t evict(struct kept_list *list, const int32_t *evicted, int64_t n_evicted, int64_t end,
                     int32_t *free_rows) {
    int64_t n_left = 0, begin = 0;
    for (int64_t i = 0; i < n_evicted; i++)
        free_rows[i] = (int32_t)row_of_entry(list, evicted[i]);
    const int64_t n_free = rows_before(free_rows, n_evicted, end, free_rows);
    for (int64_t i = 0; i <= n_evicted; i++) {
        const int64_t stop = i < n_evicted ? evicted[i] : list->n;
        CHECK(begin <= stop && stop <= list->n);
        move_entries(list, begin, stop, n_left);
        n_left += stop - begin;
        begin = stop + 1;
    }
    list->n = n_left;
    list->whole = false;
    return n_free;
}

/* In rows that are free, then in those behind all others. Returns how many stay free. */
static int64_t add_tokens(struct kept_list *list, int64_t first, int64_t n_new, const int32_t *free_rows,
                          int64_t n_free) {
    if (list->whole) {
        CHECK(first == list->n);
        list->n += n_new;
        return n_free;
    }
    CHECK(list->n == 0 || first > list->tokens[list->n - 1]);
    for (int64_t i = 0; i < n_new; i++) {
        const int64_t entry = list->n++;
        list->tokens[entry] = (int32_t)(first + i);
        list->rows[entry] = n_free > 0 ? free_rows[--n_free] : (int32_t)entry;
    }
    return n_free;
}

/* Moves what lies behind the list's first n rows into those that are free, which are as many, and gives
 * back the pages behind. */
static void close_up(const struct kept_tokens *kept, struct place at, const int32_t *free_rows,
                     int64_t n_free) {
    const struct kept_list *list = list_at(kept, at);
    for (int64_t i = 0; n_free > 0 && i < list->n; i++) {
        if (list->rows[i] < list->n) continue;
        const int32_t row = free_rows[--n_free];
        kv_cache_copy_row(kept->cache, at.slot, at.layer, at.kv_head, list->rows[i], row);
        list->rows[i] = row;
    }
    CHECK(n_free == 0);
    kv_cache_shrink(kept->cache, at.slot, at.layer, at.kv_head, list->n);
}

enum status kept_tokens_update(struct kept_tokens *kept, int32_t slot, int32_t layer, int32_t kv_head,
                               const int32_t *evicted, int64_t n_evicted, int64_t first, int64_t n_new) {
    const struct place at = {slot, layer, kv_head};
    struct kept_list *list = list_at(kept, at);
    const int64_t end = list->n - n_evicted + n_new;
    int64_t n_free = 0;
    TRY(kv_cache_reserve_rows(kept->cache, slot, layer, kv_head, end));
    if (n_evicted > 0) n_free = evict(list, evicted, n_evicted, end, kept->free_rows);
    n_free = add_tokens(list, first, n_new, kept->free_rows, n_free);
    if (n_evicted > 0) close_up(kept, at, kept->free_rows, n_free);
    return STATUS_OK;
}

/* Entries whose token is before n. */
static int64_t entries_before(const struct kept_list *list, int64_t n) {
    if (list->whole) return smaller_i64(list->n, n);
    if (list->n == 0 || list->tokens[list->n - 1] < n) return list->n;
    int64_t begin = 0, end = list->n - 1; /* the answer is in [begin, end] */
    while (begin < end) {
        const int64_t middle = (begin + end) / 2;
        if (list->tokens[middle] < n)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static void rewind_list(const struct kept_tokens *kept, struct place at, int64_t n) {
    struct kept_list *list = list_at(kept, at);
    const int64_t n_before = list->n;
    list->n = entries_before(list, n);
    if (n == 0)
        list->whole = true;
    else if (!list->whole)
        close_up(kept, at, kept->free_rows,
                 rows_before(list->rows + list->n, n_before - list->n, list->n, kept->free_rows));
}

void kept_tokens_rewind(struct kept_tokens *kept, int32_t slot, int64_t n) {
    for (int32_t layer = 0; layer < kept->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < kept->n_kv_heads; kv_head++)
            rewind_list(kept, (struct place){slot, layer, kv_head}, n);
}

int64_t kept_tokens_row(const struct kept_tokens *kept, int32_t slot, int32_t layer, int32_t kv_head,
                        int64_t token) {
    const struct kept_list *list = list_at(kept, (struct place){slot, layer, kv_head});
    const int64_t entry = entries_before(list, token);
    CHECK(entry < list->n && (list->whole || list->tokens[entry] == token));
    return row_of_entry(list, entry);
}

struct kv_set kept_tokens_resident(const struct kept_tokens *kept, int32_t slot, int32_t layer,
                                   int32_t kv_head, int64_t n_cached) {
    const struct kept_list *list = list_at(kept, (struct place){slot, layer, kv_head});
    const int64_t n = entries_before(list, n_cached);
    if (list->whole) return (struct kv_set){.n_tokens = n};
    return (struct kv_set){.tokens = list->tokens, .rows = list->rows, .n_tokens = n};
}

void remove_entries(float *numbers, int64_t n, const int32_t *evicted, int64_t n_evicted) {
    float *to = numbers;
    int64_t begin = 0;
    for (int64_t i = 0; i <= n_evicted; i++) {
        const int64_t end = i < n_evicted ? evicted[i] : n;
        memmove(to, numbers + begin, (size_t)(end - begin) * sizeof *numbers);
        to += end - begin;
        begin = end + 1;
    }
}

int64_t other_entries(const int32_t *kept, int64_t n_kept, int64_t n, int32_t *others_out) {
    int64_t n_others = 0, next = 0;
    for (int64_t entry = 0; entry < n; entry++)
        if (next < n_kept && kept[next] == entry)
            next++;
        else
            others_out[n_others++] = (int32_t)entry;
    return n_others;
}
