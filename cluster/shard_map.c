#include "cluster/shard_map.h"

#include "base/check.h"

enum { MAX_BLOCK = 256, MIN_BLOCK = 32, ENOUGH_BLOCKS = 24, VOCAB_BLOCKS = 256 };

static int64_t divide_up(int64_t n, int64_t divisor) {
    return n / divisor + (n % divisor != 0);
}

int64_t shard_range_size(struct shard_range range) {
    return range.end - range.begin;
}

struct shard_range shard_deal(int64_t n_blocks, int n_ranks, int rank) {
    CHECK(n_blocks >= 0 && n_ranks >= 1 && rank >= 0 && rank < n_ranks);
    const int64_t share = n_blocks / n_ranks;
    const int64_t n_larger = n_blocks % n_ranks;
    const int64_t begin = share * rank + (rank < n_larger ? rank : n_larger);
    return (struct shard_range){begin, begin + share + (rank < n_larger)};
}

int64_t shard_canonical_block(int64_t n) {
    for (int64_t block = MAX_BLOCK; block > MIN_BLOCK; block /= 2)
        if (divide_up(n, block) >= ENOUGH_BLOCKS) return block;
    return MIN_BLOCK;
}

/* About 1/256 of the rows, so that shares are even for any sensible rank count, in whole multiples of 32. */
static int64_t vocab_block(int64_t vocab_size) {
    return MIN_BLOCK * divide_up(divide_up(vocab_size, VOCAB_BLOCKS), MIN_BLOCK);
}

static enum status check_dims(const struct shard_dims *dims) {
    if (dims->n_kv_heads < 1 || dims->n_heads < 1 || dims->n_heads % dims->n_kv_heads != 0)
        return FAIL(STATUS_BAD_INPUT, "%d query heads cannot be grouped over %d KV heads", dims->n_heads,
                    dims->n_kv_heads);
    if (dims->head_dim < 1) return FAIL(STATUS_BAD_INPUT, "a head of %d dimensions", dims->head_dim);
    if (dims->mlp_size < 0 || dims->expert_size < 0)
        return FAIL(STATUS_BAD_INPUT, "an MLP of %lld columns and experts of %lld", (long long)dims->mlp_size,
                    (long long)dims->expert_size);
    if (dims->vocab_size < 1)
        return FAIL(STATUS_BAD_INPUT, "a vocabulary of %lld tokens", (long long)dims->vocab_size);
    return STATUS_OK;
}

enum status shard_map_create(const struct shard_dims *dims, int n_ranks, struct shard_map *map_out) {
    CHECK(n_ranks >= 1);
    TRY(check_dims(dims));
    if (n_ranks > dims->n_kv_heads)
        return FAIL(STATUS_BAD_INPUT, "%d ranks cannot share the %d KV head%s of this model: run at most %d",
                    n_ranks, dims->n_kv_heads, dims->n_kv_heads == 1 ? "" : "s", dims->n_kv_heads);
    *map_out = (struct shard_map){
        .dims = *dims,
        .n_ranks = n_ranks,
        .head_block = (int64_t)(dims->n_heads / dims->n_kv_heads) * dims->head_dim,
        .mlp_block = shard_canonical_block(dims->mlp_size),
        .expert_block = shard_canonical_block(dims->expert_size),
        .vocab_block = vocab_block(dims->vocab_size),
    };
    return STATUS_OK;
}

/* `rank`'s part of [0, n) in whole blocks, but for the last, which may be short. */
static struct shard_range deal_in_blocks(const struct shard_map *map, int64_t n, int64_t block, int rank) {
    const struct shard_range blocks = shard_deal(divide_up(n, block), map->n_ranks, rank);
    const int64_t begin = blocks.begin * block;
    const int64_t end = blocks.end * block;
    return (struct shard_range){begin < n ? begin : n, end < n ? end : n};
}

struct shard_range shard_map_kv_heads(const struct shard_map *map, int rank) {
    return shard_deal(map->dims.n_kv_heads, map->n_ranks, rank);
}

struct shard_range shard_map_heads(const struct shard_map *map, int rank) {
    const int64_t group = map->dims.n_heads / map->dims.n_kv_heads;
    const struct shard_range kv_heads = shard_map_kv_heads(map, rank);
    return (struct shard_range){kv_heads.begin * group, kv_heads.end * group};
}

struct shard_range shard_map_mlp(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.mlp_size, map->mlp_block, rank);
}

struct shard_range shard_map_expert(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.expert_size, map->expert_block, rank);
}

struct shard_range shard_map_vocab(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.vocab_size, map->vocab_block, rank);
}
