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
    if (dims->hidden_size < 0)
        return FAIL(STATUS_BAD_INPUT, "a hidden state of %lld elements", (long long)dims->hidden_size);
    return STATUS_OK;
}

enum status shard_map_create(const struct shard_dims *dims, int n_ranks, struct shard_map *map_out) {
    CHECK(n_ranks >= 1);
    TRY(check_dims(dims));
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

enum status shard_map_set_shares(struct shard_map *map, const struct shares *shares) {
    if (shares->n != 0 && shares->n != map->n_ranks)
        return FAIL(STATUS_BAD_INPUT, "--shares has %d number%s, but there %s %d rank%s", shares->n,
                    shares->n == 1 ? "" : "s", map->n_ranks == 1 ? "is" : "are", map->n_ranks,
                    map->n_ranks == 1 ? "" : "s");
    map->shares = *shares;
    return STATUS_OK;
}

void shard_map_leave_rows(struct shard_map *map) {
    map->leaves_rows = true;
}

/* The rank's part of n_blocks that are dealt to `ranks`, each of which gets at least so many. */
static struct shard_range deal_blocks(const struct shard_map *map, int64_t n_blocks, struct shard_range ranks,
                                      int64_t least, int rank) {
    const int begin = (int)ranks.begin, end = (int)ranks.end;
    if (map->shares.n == 0) return shard_deal(n_blocks, end - begin, rank - begin);
    CHECK(rank >= begin && rank < end);
    return (struct shard_range){shares_first_block(&map->shares, begin, end, rank, n_blocks, least),
                                shares_first_block(&map->shares, begin, end, rank + 1, n_blocks, least)};
}

/* Likewise of [0, n) in whole blocks, but for the last, which may be short. */
static struct shard_range deal_in_blocks(const struct shard_map *map, int64_t n, int64_t block,
                                         struct shard_range ranks, int rank) {
    const struct shard_range blocks = deal_blocks(map, divide_up(n, block), ranks, 0, rank);
    const int64_t begin = blocks.begin * block;
    const int64_t end = blocks.end * block;
    return (struct shard_range){begin < n ? begin : n, end < n ? end : n};
}

static struct shard_range all_ranks(const struct shard_map *map) {
    return (struct shard_range){0, map->n_ranks};
}

/* The KV head of a rank where there are more ranks: the first groups are those with one rank more. */
static int64_t shared_head(const struct shard_map *map, int rank) {
    const int n_kv_heads = map->dims.n_kv_heads;
    const int group = map->n_ranks / n_kv_heads, n_larger = map->n_ranks % n_kv_heads;
    const int in_larger = n_larger * (group + 1);
    return rank < in_larger ? rank / (group + 1) : n_larger + (rank - in_larger) / group;
}

struct shard_range shard_map_kv_heads(const struct shard_map *map, int rank) {
    if (map->n_ranks <= map->dims.n_kv_heads)
        return deal_blocks(map, map->dims.n_kv_heads, all_ranks(map), 1, rank);
    CHECK(rank >= 0 && rank < map->n_ranks);
    const int64_t head = shared_head(map, rank);
    return (struct shard_range){head, head + 1};
}

struct shard_range shard_map_group(const struct shard_map *map, int rank) {
    if (map->n_ranks <= map->dims.n_kv_heads) return (struct shard_range){rank, (int64_t)rank + 1};
    return shard_deal(map->n_ranks, map->dims.n_kv_heads, (int)shard_map_kv_heads(map, rank).begin);
}

struct shard_range shard_map_stripes(const struct shard_map *map, int rank) {
    const struct shard_range group = shard_map_group(map, rank);
    if (map->leaves_rows) return (struct shard_range){rank == group.begin ? 0 : SHARD_STRIPES, SHARD_STRIPES};
    return deal_blocks(map, SHARD_STRIPES, group, 0, rank);
}

struct shard_range shard_map_output_rows(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.hidden_size, MIN_BLOCK, shard_map_group(map, rank), rank);
}

struct shard_range shard_map_heads(const struct shard_map *map, int rank) {
    const int64_t group = map->dims.n_heads / map->dims.n_kv_heads;
    const struct shard_range kv_heads = shard_map_kv_heads(map, rank);
    return (struct shard_range){kv_heads.begin * group, kv_heads.end * group};
}

struct shard_range shard_map_mlp(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.mlp_size, map->mlp_block, all_ranks(map), rank);
}

struct shard_range shard_map_expert(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.expert_size, map->expert_block, all_ranks(map), rank);
}

struct shard_range shard_map_vocab(const struct shard_map *map, int rank) {
    return deal_in_blocks(map, map->dims.vocab_size, map->vocab_block, all_ranks(map), rank);
}
