/* worker/partial.h - attention of some queries over some entries: what is merged to attention over all.
 *
 * Memory:  from the arena given to create.
 * Threads: any, for different queries.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "kvshard/kv_stripes.h"

struct partial {
    float *max, *sum; /* [queries] */
    float *acc;       /* [queries, head_dim]; NULL: nothing was summed yet */
};

NODISCARD enum status partial_create(struct arena *memory, size_t n_queries, size_t head_dim,
                                     struct partial *partial_out);

/* From this query on. */
struct partial partial_at(struct partial partial, int64_t query, int64_t head_dim);

/* Merges `part` into *merged; where that is nothing yet, it becomes `part` itself. */
void partial_merge(const struct kernels *kernels, int64_t n_queries, int64_t head_dim, struct partial part,
                   struct partial *merged);

/* Merges neighbours, then pairs of pairs, and so on: (0 1) (2 3) …, ((0 1) (2 3)) …. Of stripes [begin, end)
 * only those subtrees that lie within; each leaves its sum where its first stripe's was. */
void partial_merge_stripes(const struct kernels *kernels, int64_t n_queries, int64_t head_dim, int32_t begin,
                           int32_t end, struct partial stripes[KV_STRIPES]);
