/* kvshard/kv_cache.h - this rank's cached keys and values: page tables per slot, layer and KV head.
 *
 * Token t of a sequence is in page t / KV_PAGE_TOKENS of each table. Tables do not depend on each other:
 * one may lack a page that others have.
 *
 * Memory:  page tables for the whole context are made by create, but untouched memory costs nothing: a
 *          table's part becomes real, 1 byte per token, as the sequence first grows into it. Pages come
 *          from the pool as sequences grow and return to it when a slot is freed.
 * Threads: reserve and free one at a time; append and rows may run in parallel for different
 *          (slot, layer, KV head, position). Rows are read after the append that wrote them has been
 *          made visible (a barrier lies between).
 * Ranks:   local. */
#pragma once

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
};

/* `kernels` stays the caller's and must outlive the cache. */
NODISCARD enum status kv_cache_create(const struct kv_shape *shape, const struct kernels *kernels,
                                      struct kv_cache **cache_out);
void kv_cache_destroy(struct kv_cache *cache); /* frees all slots; NULL is allowed */

/* Makes sure that every layer and head of the slot has pages for n_tokens tokens in all; never shrinks.
 * Beyond the context: STATUS_BAD_INPUT. No memory: STATUS_NO_MEMORY, and the slot is as before. */
NODISCARD enum status kv_cache_reserve(struct kv_cache *cache, int32_t slot, int64_t n_tokens);

/* Stores key and value [head_dim] of the token at `position`, which was reserved. It may be stored anew. */
void kv_cache_append(struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                     int64_t position, const float *key, const float *value);

/* Pointers to the key and value rows of n tokens: those listed in `tokens`, or first, first + 1, … where
 * tokens is NULL. A token that was never appended is a failed check. */
void kv_cache_rows(const struct kv_cache *cache, int32_t slot, int32_t layer, int32_t kv_head_local,
                   const int32_t *tokens, int64_t first, int64_t n, const void **keys_out,
                   const void **values_out);

/* Gives all pages of the slot back; its length is 0 again. */
void kv_cache_free_slot(struct kv_cache *cache, int32_t slot);

/* Tokens that were reserved for the slot. */
int64_t kv_cache_length(const struct kv_cache *cache, int32_t slot);

size_t kv_cache_bytes_in_use(const struct kv_cache *cache); /* pages in use x page bytes */
size_t kv_cache_bytes_held(const struct kv_cache *cache);   /* by the pool, from the operating system */
