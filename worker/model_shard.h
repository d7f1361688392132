/* worker/model_shard.h - the weights that this rank owns.
 *
 * Column-parallel matrices (q, k, v, gate, up, output) hold this rank's rows; row-parallel ones (o, down)
 * hold its columns; norms, biases of whole-width outputs and the router are on every rank. Embedding rows
 * are read from the file as tokens come.
 *
 * Memory:  the shard owns its weights, in the type that modelfile/held_dtype.h says; vectors are f32.
 * Threads: read-only after load.
 * Ranks:   load is local (each rank reads its own parts); the caller agrees on its status. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "cluster/heartbeat.h"
#include "cluster/shard_map.h"
#include "kernels/kernels.h"
#include "modelfile/model_file.h"
#include "worker/rope.h"

struct mlp_shard {
    struct matrix gate; /* [size_local, hidden_size] */
    struct matrix up;
    struct matrix down; /* [hidden_size, size_local] */
};

struct layer_shard {
    const float *attention_norm; /* [hidden_size] */
    struct matrix q;             /* [n_heads_local * head_dim, hidden_size] */
    struct matrix k;             /* [n_kv_heads_local * head_dim, hidden_size] */
    struct matrix v;
    struct matrix o;     /* [output_rows, n_heads_local * head_dim] */
    const float *q_bias; /* [rows of q]; NULL: none */
    const float *k_bias;
    const float *v_bias;
    const float *o_bias; /* [hidden_size] */
    const float *q_norm; /* [head_dim]; NULL: none */
    const float *k_norm;
    const float *mlp_norm;           /* [hidden_size] */
    struct mlp_shard mlp;            /* unused where there are experts */
    struct matrix router;            /* [n_experts, hidden_size] */
    const struct mlp_shard *experts; /* [n_experts]; NULL: a dense layer */
};

struct model_shard {
    const struct model_file *file;
    const struct model_spec *spec;
    struct shard_map map;
    int32_t first_head, n_heads; /* this rank's query heads */
    int32_t first_kv_head, n_kv_heads;
    int64_t mlp_size_local;
    int64_t expert_size_local;
    struct shard_range output_rows; /* of the attention's o: all but of a KV head that ranks share */
    struct shard_range vocab;       /* rows of the output matrix */
    const struct kernels *kernels;

    struct layer_shard *layers; /* [n_layers] */
    const float *final_norm;    /* [hidden_size] */
    struct matrix output;       /* [vocab rows local, hidden_size] */
    struct rope rope;

    struct arena *memory;
    uint64_t bytes_read;
};

/* `file` must outlive the shard. `wanted`: the type of the matrices, as in
 * modelfile/held_dtype.h. `heartbeat` counts what is read. */
NODISCARD enum status model_shard_load(const struct model_file *file, const struct shard_map *map, int rank,
                                       enum dtype wanted, const struct kernels *kernels,
                                       struct heartbeat *heartbeat, struct model_shard **shard_out);
void model_shard_destroy(struct model_shard *shard); /* NULL is allowed */

/* x [hidden_size]: the embedding of one token. `scratch` has room for one row in the file's dtype. */
NODISCARD enum status model_shard_embed(const struct model_shard *shard, int32_t token, void *scratch,
                                        float *x);
