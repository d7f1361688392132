/* kvshard/kept_tokens_impl.h - which tokens were not evicted, and where they lie in the cache.
 *
 * For policies that evict single tokens, each KV head others. A list has the tokens of one slot, layer and KV
 * head in ascending order, and beside each the row of the cache that holds it. Lists without holes fill the
 * first rows: a new token takes the row of one that was evicted, and where fewer come than go the last rows
 * move into the gaps, so that whole pages return to the pool.
 *
 * Until something is evicted from a list, row i holds token i and nothing is written down.
 *
 * Memory:  from the arena given, 8 bytes for each token of the context and list, of which only what is used
 *          becomes real.
 * Threads: what changes lists one at a time; the others any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct kept_list {
    int32_t *tokens, *rows; /* [n], unless whole */
    int64_t n;
    bool whole; /* nothing was evicted: entry i is token i in row i */
};

struct kept_tokens {
    struct kv_cache *cache; /* the caller's */
    int32_t n_layers, n_kv_heads;
    struct kept_list *lists; /* [n_slots, n_layers, n_kv_heads] */
    int32_t *free_rows;      /* [context_length] of the update under way */
};

NODISCARD enum status kept_tokens_create(const struct kv_policy_config *config, struct arena *memory,
                                         struct kept_tokens *kept_out);

const struct kept_list *kept_tokens_list(const struct kept_tokens *kept, int32_t slot, int32_t layer,
                                         int32_t kv_head);

/* Evicts entries [n_evicted], ascending, of one list; then tokens first … first + n_new - 1, the sequence's
 * next, get rows behind the others. No memory for more rows: STATUS_NO_MEMORY, and all is as before. */
NODISCARD enum status kept_tokens_update(struct kept_tokens *kept, int32_t slot, int32_t layer,
                                         int32_t kv_head, const int32_t *evicted, int64_t n_evicted,
                                         int64_t first, int64_t n_new);

/* Drops tokens n and behind; 0: the slot was freed, and the cache has no rows of it any more. */
void kept_tokens_rewind(struct kept_tokens *kept, int32_t slot, int64_t n);

/* For the hooks of the same names. */
int64_t kept_tokens_row(const struct kept_tokens *kept, int32_t slot, int32_t layer, int32_t kv_head,
                        int64_t token);
struct kv_set kept_tokens_resident(const struct kept_tokens *kept, int32_t slot, int32_t layer,
                                   int32_t kv_head, int64_t n_cached);

/* What happens to a list's entries, for numbers that a policy keeps beside them: entries [n_evicted],
 * ascending, of n are taken out and the others move up. */
void remove_entries(float *numbers, int64_t n, const int32_t *evicted, int64_t n_evicted);

/* The entries of [0, n) that are not among kept [n_kept], ascending like these. Returns how many. */
int64_t other_entries(const int32_t *kept, int64_t n_kept, int64_t n, int32_t *others_out);
