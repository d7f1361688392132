/* kvshard/kv_pool.h - pages of keys and values, from memory that grows on demand and returns.
 *
 * A page holds KV_PAGE_TOKENS tokens of one layer and one KV head:
 *   keys   [KV_PAGE_TOKENS, head_dim], then
 *   values [KV_PAGE_TOKENS, head_dim], in the pool's dtype.
 * Pages are cut from slabs; a slab whose pages are all free goes back to the operating system, but for
 * one that is kept for the next take. Pages are reference-counted, so that a common prefix can later be
 * shared.
 *
 * Memory:  the pool owns all pages. A page starts at a multiple of KV_PAGE_ALIGNMENT; what it holds when
 *          it is taken is unspecified.
 * Threads: one at a time for take / share / release; reading and writing pages is the caller's affair.
 * Ranks:   local. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

enum { KV_PAGE_TOKENS = 16, KV_PAGE_ALIGNMENT = 64 };

struct kv_pool;

/* That n_tokens rows fill, the last one perhaps in part. */
static inline int64_t kv_pages_of(int64_t n_tokens) {
    return (n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}

/* A dtype that kernels cannot store (anything but f32, f16, bf16, Q8_0), or whose blocks do not divide
 * head_dim: STATUS_BAD_INPUT. */
NODISCARD enum status kv_pool_create(int32_t head_dim, enum dtype dtype, struct kv_pool **pool_out);
void kv_pool_destroy(struct kv_pool *pool); /* every page must have been released; NULL is allowed */

NODISCARD enum status kv_pool_take(struct kv_pool *pool, void **page_out); /* one reference */
void kv_pool_share(struct kv_pool *pool, void *page);                      /* one more */
void kv_pool_release(struct kv_pool *pool, void *page);                    /* one less; the last frees it */

size_t kv_pool_page_bytes(const struct kv_pool *pool);
int64_t kv_pool_pages_in_use(const struct kv_pool *pool);
size_t kv_pool_bytes_held(const struct kv_pool *pool); /* mapped from the operating system */
