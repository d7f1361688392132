/* cluster/shard_map.h - which rank owns which heads, columns and rows. All ownership arithmetic is here.
 *
 * A dimension is dealt in canonical blocks, which do not depend on the rank count, in contiguous ranges
 * that differ by at most one block unless shares say otherwise. Sums over a dealt dimension are taken block
 * by block (docs/numerics.md).
 *
 * Up to as many ranks as KV heads, each rank has whole heads. With more ranks each KV head has a *group* of
 * neighbouring ranks, which deal the head's cached rows by stripes, or leave them to the group's first rank,
 * and deal the rows of its output projection.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local arithmetic; the same on every rank. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/shares.h"

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
    int64_t hidden_size;
};

/* Canonical parts of the cached rows of a KV head (kvshard/kv_stripes.h). */
enum { SHARD_STRIPES = 8 };

struct shard_map {
    struct shard_dims dims;
    int n_ranks;
    int64_t head_block; /* columns of one canonical block of the attention output: a KV head's query heads */
    int64_t mlp_block;  /* columns of one canonical block of the MLP */
    int64_t expert_block; /* likewise for experts */
    int64_t vocab_block;  /* rows */
    struct shares shares; /* n 0: all ranks alike */
    bool leaves_rows;     /* of a shared head to the first rank of its group */
};

/* Dimensions that no model can have: STATUS_BAD_INPUT. */
NODISCARD enum status shard_map_create(const struct shard_dims *dims, int n_ranks, struct shard_map *map_out);

/* From here on blocks are dealt in proportion: whole KV heads too, of which each rank keeps one; ranks that
 * share a head deal its stripes and rows so, but each head has as many ranks as before. The same bits come
 * out. Not as many shares as ranks: STATUS_BAD_INPUT. shares->n 0: all alike. */
NODISCARD enum status shard_map_set_shares(struct shard_map *map, const struct shares *shares);

/* From here on a shared head's cached rows are not dealt: the first rank of its group has them all, as a
 * policy wants it that looks at all of a head's rows. */
void shard_map_leave_rows(struct shard_map *map);

struct shard_range shard_map_kv_heads(const struct shard_map *map, int rank);
struct shard_range shard_map_heads(const struct shard_map *map, int rank); /* the query heads of those */
struct shard_range shard_map_mlp(const struct shard_map *map, int rank);   /* columns */
struct shard_range shard_map_expert(const struct shard_map *map, int rank);
struct shard_range shard_map_vocab(const struct shard_map *map, int rank); /* rows */

/* The ranks, this one among them, that share its KV head; itself alone where it has whole heads. */
struct shard_range shard_map_group(const struct shard_map *map, int rank);

/* Of a shared head; all of whole heads. Of more than SHARD_STRIPES ranks some have none. */
struct shard_range shard_map_stripes(const struct shard_map *map, int rank);

/* Rows of the output projection, of the columns of this rank's query heads; all of whole heads. */
struct shard_range shard_map_output_rows(const struct shard_map *map, int rank);

int64_t shard_range_size(struct shard_range range);

/* n_blocks dealt to n_ranks: rank's contiguous part; the first n_blocks % n_ranks ranks get one more. */
struct shard_range shard_deal(int64_t n_blocks, int n_ranks, int rank);

/* The canonical block of a summed dimension of n columns: the largest of 256, 128, 64, 32 that still
 * gives 24 blocks, 32 otherwise; it depends on n alone. */
int64_t shard_canonical_block(int64_t n);
