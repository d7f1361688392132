/* worker/simulation_share_impl.h - what a rank owns of a model that is not there, in units of the phases; for
 * simulation*.c only. */
#pragma once

#include "cluster/simulation.h"

struct simulation_share {
    int32_t n_heads, n_kv_heads;
    int32_t n_stripes; /* of the cached tokens, of SHARD_STRIPES */
    int64_t qkv_bytes, o_bytes, gate_up_bytes, down_bytes, output_bytes;
    int64_t o_blocks, mlp_blocks; /* canonical ones */
    int64_t o_rows;
    int64_t mlp_columns, vocab_rows;
};

struct simulation_share simulation_share(const struct simulation_setup *setup, const struct shard_map *map,
                                         int rank);

/* All that the rank holds. */
int64_t simulation_weight_bytes(const struct simulation_setup *setup, const struct simulation_share *share);

/* Canonical blocks of a range, the last of which may be short. */
int64_t simulation_blocks(struct shard_range range, int64_t block);
