#include "worker/simulation_share_impl.h"

#include "modelfile/held_dtype.h"

int64_t simulation_blocks(struct shard_range range, int64_t block) {
    return (shard_range_size(range) + block - 1) / block;
}

struct simulation_share simulation_share(const struct simulation_setup *setup, const struct shard_map *map,
                                         int rank) {
    const struct shard_dims *dims = &map->dims;
    const enum dtype dtype = setup->costs.conditions.weights;
    const int64_t hidden = dims->hidden_size, head_dim = dims->head_dim;
    const struct shard_range heads = shard_map_heads(map, rank), kv_heads = shard_map_kv_heads(map, rank);
    const struct shard_range mlp = shard_map_mlp(map, rank), vocab = shard_map_vocab(map, rank);
    const struct shard_range output = shard_map_output_rows(map, rank),
                             stripes = shard_map_stripes(map, rank);
    const int64_t qkv_rows = (shard_range_size(heads) + 2 * shard_range_size(kv_heads)) * head_dim;
    return (struct simulation_share){
        .n_heads = (int32_t)shard_range_size(heads),
        .n_kv_heads = (int32_t)shard_range_size(kv_heads),
        .n_stripes = (int32_t)shard_range_size(stripes),
        .qkv_bytes = held_bytes(dtype, qkv_rows, 0, hidden),
        .o_bytes = held_bytes(dtype, shard_range_size(output), heads.begin * head_dim, heads.end * head_dim),
        .gate_up_bytes = 2 * held_bytes(dtype, shard_range_size(mlp), 0, hidden),
        .down_bytes = held_bytes(dtype, hidden, mlp.begin, mlp.end),
        .output_bytes = held_bytes(dtype, shard_range_size(vocab), 0, hidden),
        .o_rows = shard_range_size(output),
        .o_blocks = shard_range_size(kv_heads),
        .mlp_blocks = simulation_blocks(mlp, map->mlp_block),
        .mlp_columns = shard_range_size(mlp),
        .vocab_rows = shard_range_size(vocab),
    };
}

int64_t simulation_weight_bytes(const struct simulation_setup *setup, const struct simulation_share *share) {
    const int64_t layer = share->qkv_bytes + share->o_bytes + share->gate_up_bytes + share->down_bytes;
    return setup->n_layers * layer + share->output_bytes;
}
