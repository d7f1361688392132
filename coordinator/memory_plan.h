/* coordinator/memory_plan.h - what each rank would own of a model, and how many bytes that takes.
 *
 * Counts what a worker keeps in memory: its slices of the matrices, and norms and biases as f32. The
 * embedding is read from the mapped file row by row and costs nothing; where it doubles as the output matrix
 * the rank's rows of it are counted once, as output.
 *
 * Memory:  memory_plan_create allocates, memory_plan_destroy frees.
 * Threads: any.
 * Ranks:   local arithmetic. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "cluster/shard_map.h"
#include "modelfile/model_file.h"

struct rank_share {
    struct shard_range kv_heads;
    struct shard_range heads;
    struct shard_range stripes;     /* of the cache of its KV heads: all, but of one that ranks share */
    struct shard_range output_rows; /* likewise of the output projection's rows */
    struct shard_range mlp_columns;
    struct shard_range expert_columns; /* of every expert */
    struct shard_range vocab_rows;
    int64_t weight_bytes;
    int64_t kv_bytes_per_token; /* of one sequence, all layers */
};

struct memory_plan {
    int n_ranks;
    struct rank_share total;   /* ranges cover everything; bytes are sums over the ranks */
    struct rank_share ranks[]; /* [n_ranks] */
};

/* shares->n 0: all ranks alike. leaves_rows: of a KV head that ranks share, to the first of them. */
NODISCARD enum status memory_plan_create(const struct model_file *model, int n_ranks,
                                         const struct shares *shares, bool leaves_rows, enum dtype weights,
                                         enum dtype kv_type, struct memory_plan **plan_out);
void memory_plan_destroy(struct memory_plan *plan); /* NULL is allowed */

/* Bytes on the host that needs most, of hosts that hold so many neighbouring ranks, with `n_kv_tokens` cached
 * tokens; INT64_MAX where that overflows. */
int64_t memory_plan_host_bytes(const struct memory_plan *plan, int n_ranks_on_host, int64_t n_kv_tokens);
