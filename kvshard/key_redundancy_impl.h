/* kvshard/key_redundancy_impl.h - how much a cached key repeats others of its list (R-KV, Cai et al., arXiv
 * 2505.24133).
 *
 *   S[i, j]       = cosine of keys i and j; S[i, i] = 0; and S[i, j] = 0 for the last j with S[i, j] > 1/2
 *   redundancy[j] = softmax over j of the mean over i of S[i, j]
 *
 * So of keys that are much alike, the newest is not held to repeat the others. A key that has no direction
 * (zeros, or not finite) repeats nothing.
 *
 * Cost: N^2 D multiply-adds for N keys.
 *
 * Memory:  from the arena given, 8 bytes a token of the context and element per thread, of which only what is
 *          used becomes real.
 * Threads: different lists at the same time, if each call names another `thread`.
 * Ranks:   local; the same bits on every machine. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct key_redundancy {
    const struct kernels *kernels;
    const struct kv_cache *cache;
    int64_t head_dim;
    struct redundancy_scratch *scratch; /* [n_threads] */
};

NODISCARD enum status key_redundancy_create(const struct kv_policy_config *config, struct arena *memory,
                                            struct key_redundancy *redundancy_out);

/* A list of keys in the cache, and who asks. */
struct key_list {
    int32_t thread, slot, layer, kv_head;
    const int32_t *rows; /* [n]; NULL: the first n */
    int64_t n;
};

/* redundancy_out [n] */
void key_redundancy_find(const struct key_redundancy *redundancy, const struct key_list *list,
                         float *redundancy_out);
