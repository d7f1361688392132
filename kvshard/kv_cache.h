/* kvshard/kv_cache.h - this rank's cached keys and values: page tables per slot, layer and KV head.
 *
 * Row r of a table is in its page r / KV_PAGE_TOKENS. A row holds a token: which one is the policy's affair
 * (kv_policy_row), and without a policy that forgets tokens it is token r. Tables do not depend on each
 * other: one may lack rows and pages that others have.
 *
 * Where ranks share a KV head, each has the rows of its own stripes (kvshard/kv_stripes.h): those of others
 * are reserved and appended like all, but take no page and are not stored.
 *
 * Memory:  page tables for the whole context are made by create, but untouched memory costs nothing: a
 *          table's part becomes real, 1 byte per token, as the sequence first grows into it. Pages come
 *          from the pool as sequences grow and return to it when a slot is freed.
 * Threads: whatever takes, moves or releases one at a time; append and rows may run in parallel for different
 *          (slot, layer, KV head, row). Rows are read after the append that wrote them has been
 *          made visible (a barrier lies between).
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "kvshard/kv_pool.h"

struct kv_cache;

struct kv_shape {
    int32_t n_slots;
    int32_t n_layers;
    int32_t n_kv_heads_local;
    int32_t head_dim;
    int64_t context_length; /* tokens a slot may hold at most */
    enum dtype dtype;       /* f32, f16, bf16, Q8_0 */
    uint32_t other_stripes; /* bit s: the rows of stripe s are other ranks' */
};

/* `kernels` stays the caller's and must outlive the cache. */
NODISCARD enum status kv_cache_create(const struct kv_shape *shape, const struct kernels *kernels,
                                      struct kv_cache **cache_out);
void kv_cache_destroy(struct kv_cache *cache); /* frees all slots; NULL is allowed */

/* Makes sure that every layer and head of the slot has pages for n_tokens tokens in all; never shrinks.
 * Beyond the context: STATUS_BAD_INPUT. No memory: STATUS_NO_MEMORY, and the slot is as before. */
NODISCARD enum status kv_cache_reserve(struct kv_cache *cache, int32_t slot, int64_t n_tokens);

/* The same for one table: it has at least n_rows rows. */
NODISCARD enum status kv_cache_reserve_rows(struct kv_cache *cache, int32_t slot, int32_t layer,
                                            int32_t kv_head_local, int64_t n_rows);

/* Is the row in one of this rank's stripes? */
bool kv_cache_owns(const struct kv_cache *cache, int64_t row);

/* Stores key and value [head_dim] in a row that was reserved. It may be stored anew. */
void kv_cache_append(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local, int64_t row,
                     const float *key, const float *value);

/* Pointers to n rows of keys and values: those listed in `rows`, or first, first + 1, … where rows is NULL.
 * A row that was never appended, was released since, or is another rank's, is a failed check. */
void kv_cache_rows(const struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                   const int32_t *rows, int64_t first, int64_t n, const void **keys_out,
                   const void **values_out);

/* Gives one page of a table back to the pool; its rows are gone. No page there: nothing happens. */
void kv_cache_release_page(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                           int64_t page);

/* Copies what row `from` holds to row `to`, both reserved. */
void kv_cache_copy_row(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                       int64_t from, int64_t to);

/* The table ends after n_rows rows; pages behind go back to the pool. */
void kv_cache_shrink(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                     int64_t n_rows);

/* Gives all pages of the slot back; its length is 0 again. */
void kv_cache_free_slot(struct kv_cache *cache, int32_t slot);

/* Rows of the slot's longest table. */
int64_t kv_cache_length(const struct kv_cache *cache, int32_t slot);

/* Of the keys and values, as kernels load them. */
enum dtype kv_cache_dtype(const struct kv_cache *cache);

size_t kv_cache_slot_bytes(const struct kv_cache *cache, int32_t slot); /* of its pages, which are counted */
size_t kv_cache_bytes_in_use(const struct kv_cache *cache);             /* pages in use x page bytes */
size_t kv_cache_bytes_held(const struct kv_cache *cache); /* by the pool, from the operating system */
