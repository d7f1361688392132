/* cluster/shard_map.h - which rank owns which heads, columns and rows. All ownership arithmetic is here.
 *
 * A dimension is dealt in canonical blocks, which do not depend on the rank count, in contiguous ranges
 * that differ by at most one block. Sums over a dealt dimension are taken block by block (docs/numerics.md).
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local arithmetic; the same on every rank. */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct shard_range { /* [begin, end) */
    int64_t begin;
    int64_t end;
};

/* The dimensions that are dealt. */
struct shard_dims {
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t head_dim;
    int64_t mlp_size;    /* 0: none */
    int64_t expert_size; /* 0: none */
    int64_t vocab_size;
};

struct shard_map {
    struct shard_dims dims;
    int n_ranks;
    int64_t head_block; /* columns of one canonical block of the attention output: a KV head's query heads */
    int64_t mlp_block;  /* columns of one canonical block of the MLP */
    int64_t expert_block; /* likewise for experts */
    int64_t vocab_block;  /* rows */
};

/* More ranks than KV heads: STATUS_BAD_INPUT with a sentence that says how many would do. */
NODISCARD enum status shard_map_create(const struct shard_dims *dims, int n_ranks, struct shard_map *map_out);

struct shard_range shard_map_kv_heads(const struct shard_map *map, int rank);
struct shard_range shard_map_heads(const struct shard_map *map, int rank); /* the query heads of those */
struct shard_range shard_map_mlp(const struct shard_map *map, int rank);   /* columns */
struct shard_range shard_map_expert(const struct shard_map *map, int rank);
struct shard_range shard_map_vocab(const struct shard_map *map, int rank); /* rows */

int64_t shard_range_size(struct shard_range range);

/* n_blocks dealt to n_ranks: rank's contiguous part; the first n_blocks % n_ranks ranks get one more. */
struct shard_range shard_deal(int64_t n_blocks, int n_ranks, int rank);

/* The canonical block of a summed dimension of n columns: the largest of 256, 128, 64, 32 that still
 * gives 24 blocks, 32 otherwise; it depends on n alone. */
int64_t shard_canonical_block(int64_t n);
