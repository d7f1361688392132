#include "coordinator/memory_plan.h"

#include <stdlib.h>

#include "base/numbers.h"
#include "modelfile/held_dtype.h"

/* The dimension along which a role's tensors are dealt. */
enum dealt_dimension { DEAL_NONE, DEAL_HEADS, DEAL_KV_HEADS, DEAL_MLP, DEAL_EXPERT, DEAL_VOCAB, DEAL_OUTPUT };

struct dealing {
    enum dealt_dimension dimension;
    bool columns;              /* dealt by columns, not rows */
    enum dealt_dimension rows; /* of what is dealt by columns: how its rows are, too */
    bool vector;               /* [1, n]: dealt by columns, and kept as f32 whatever the file has */
    bool unloaded;             /* read from the file when needed */
};

static const struct dealing dealings[TENSOR_ROLE_COUNT] = {
    [TENSOR_TOKEN_EMBEDDING] = {.unloaded = true},
    [TENSOR_OUTPUT] = {.dimension = DEAL_VOCAB},
    [TENSOR_FINAL_NORM] = {.vector = true},
    [TENSOR_ROPE_FACTORS] = {.vector = true},
    [TENSOR_ATTENTION_NORM] = {.vector = true},
    [TENSOR_Q] = {.dimension = DEAL_HEADS},
    [TENSOR_K] = {.dimension = DEAL_KV_HEADS},
    [TENSOR_V] = {.dimension = DEAL_KV_HEADS},
    [TENSOR_O] = {.dimension = DEAL_HEADS, .columns = true, .rows = DEAL_OUTPUT},
    [TENSOR_Q_BIAS] = {.dimension = DEAL_HEADS, .vector = true},
    [TENSOR_K_BIAS] = {.dimension = DEAL_KV_HEADS, .vector = true},
    [TENSOR_V_BIAS] = {.dimension = DEAL_KV_HEADS, .vector = true},
    [TENSOR_O_BIAS] = {.vector = true},
    [TENSOR_Q_NORM] = {.vector = true},
    [TENSOR_K_NORM] = {.vector = true},
    [TENSOR_MLP_NORM] = {.vector = true},
    [TENSOR_GATE] = {.dimension = DEAL_MLP},
    [TENSOR_UP] = {.dimension = DEAL_MLP},
    [TENSOR_DOWN] = {.dimension = DEAL_MLP, .columns = true},
    [TENSOR_ROUTER] = {.dimension = DEAL_NONE},
    [TENSOR_EXPERT_GATE] = {.dimension = DEAL_EXPERT},
    [TENSOR_EXPERT_UP] = {.dimension = DEAL_EXPERT},
    [TENSOR_EXPERT_DOWN] = {.dimension = DEAL_EXPERT, .columns = true},
};

/* A range of heads as the rows or columns that they take. */
static struct shard_range head_range(const struct model_spec *spec, struct shard_range heads) {
    return (struct shard_range){heads.begin * spec->head_dim, heads.end * spec->head_dim};
}

/* The rank's part of a dimension of `whole` rows or columns. */
static struct shard_range dealt_range(const struct model_spec *spec, const struct rank_share *share,
                                      enum dealt_dimension dimension, int64_t whole) {
    switch (dimension) {
    case DEAL_HEADS:
        return head_range(spec, share->heads);
    case DEAL_KV_HEADS:
        return head_range(spec, share->kv_heads);
    case DEAL_MLP:
        return share->mlp_columns;
    case DEAL_EXPERT:
        return share->expert_columns;
    case DEAL_VOCAB:
        return share->vocab_rows;
    case DEAL_OUTPUT:
        return share->output_rows;
    case DEAL_NONE:
        break;
    }
    return (struct shard_range){0, whole};
}

/* Columns of a matrix are dealt in multiples of this. */
static int64_t column_unit(const struct shard_map *map, enum dealt_dimension dimension) {
    return dimension == DEAL_HEADS ? map->head_block
           : dimension == DEAL_MLP ? map->mlp_block
                                   : map->expert_block;
}

/* Vectors are held as f32. */
static int64_t tensor_bytes(const struct model_spec *spec, const struct shard_map *map,
                            const struct rank_share *share, const struct tensor_ref *tensor,
                            enum tensor_role role, enum dtype weights) {
    const struct dealing dealing = dealings[role];
    if (dealing.unloaded) return 0;
    const bool by_columns = dealing.columns || dealing.vector;
    const struct shard_range part =
        dealt_range(spec, share, dealing.dimension, by_columns ? tensor->cols : tensor->rows);
    if (shard_range_size(part) == 0) return 0;
    const struct shard_range cols = by_columns ? part : (struct shard_range){0, tensor->cols};
    const struct shard_range rows = by_columns ? dealt_range(spec, share, dealing.rows, tensor->rows) : part;
    const int64_t unit = dealing.columns ? column_unit(map, dealing.dimension) : tensor->cols;
    const enum dtype dtype =
        dealing.vector ? DTYPE_F32 : held_dtype(role, tensor->dtype, weights, tensor->cols, unit);
    return held_bytes(dtype, shard_range_size(rows), cols.begin, cols.end);
}

/* Roles from TENSOR_ATTENTION_NORM on exist once per layer, the experts' once per layer and expert. */
static int64_t role_bytes(const struct model_file *model, const struct shard_map *map,
                          const struct rank_share *share, enum tensor_role role, enum dtype weights) {
    const struct model_spec *spec = model_file_spec(model);
    const int n_layers = role < TENSOR_ATTENTION_NORM ? 1 : spec->n_layers;
    const int n_experts = role < TENSOR_EXPERT_GATE ? 1 : spec->n_experts;
    int64_t bytes = 0;
    for (int layer = 0; layer < n_layers; layer++) {
        for (int expert = 0; expert < n_experts; expert++) {
            const struct tensor_ref *tensor = model_file_tensor(model, role, layer, expert);
            if (tensor) bytes += tensor_bytes(spec, map, share, tensor, role, weights);
        }
    }
    return bytes;
}

static struct rank_share rank_share(const struct model_file *model, const struct shard_map *map, int rank,
                                    enum dtype weights, enum dtype kv_type) {
    const struct model_spec *spec = model_file_spec(model);
    struct rank_share share = {
        .kv_heads = shard_map_kv_heads(map, rank),
        .heads = shard_map_heads(map, rank),
        .stripes = shard_map_stripes(map, rank),
        .output_rows = shard_map_output_rows(map, rank),
        .mlp_columns = shard_map_mlp(map, rank),
        .expert_columns = shard_map_expert(map, rank),
        .vocab_rows = shard_map_vocab(map, rank),
    };
    for (int role = 0; role < TENSOR_ROLE_COUNT; role++)
        share.weight_bytes += role_bytes(model, map, &share, (enum tensor_role)role, weights);
    const int64_t n_kv_heads = shard_range_size(share.kv_heads);
    const int64_t whole = 2 * n_kv_heads * spec->n_layers * (int64_t)dtype_bytes(kv_type, spec->head_dim);
    share.kv_bytes_per_token = (whole * shard_range_size(share.stripes) + SHARD_STRIPES - 1) / SHARD_STRIPES;
    return share;
}

static struct rank_share sum_shares(const struct shard_dims *dims, const struct memory_plan *plan) {
    struct rank_share total = {
        .kv_heads = {0, dims->n_kv_heads},
        .heads = {0, dims->n_heads},
        .stripes = {0, SHARD_STRIPES},
        .output_rows = {0, dims->hidden_size},
        .mlp_columns = {0, dims->mlp_size},
        .expert_columns = {0, dims->expert_size},
        .vocab_rows = {0, dims->vocab_size},
    };
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        total.weight_bytes += plan->ranks[rank].weight_bytes;
        total.kv_bytes_per_token += plan->ranks[rank].kv_bytes_per_token;
    }
    return total;
}

static struct shard_dims shard_dims(const struct model_spec *spec) {
    return (struct shard_dims){
        .n_heads = spec->n_heads,
        .n_kv_heads = spec->n_kv_heads,
        .head_dim = spec->head_dim,
        .mlp_size = spec->mlp_size,
        .expert_size = spec->expert_size,
        .vocab_size = spec->vocab_size,
        .hidden_size = spec->hidden_size,
    };
}

enum status memory_plan_create(const struct model_file *model, int n_ranks, const struct shares *shares,
                               bool leaves_rows, enum dtype weights, enum dtype kv_type,
                               struct memory_plan **plan_out) {
    const struct shard_dims dims = shard_dims(model_file_spec(model));
    struct shard_map map;
    if (dims.head_dim % dtype_layout(kv_type)->block_elements != 0)
        return FAIL(STATUS_BAD_INPUT,
                    "keys and values of %d dimensions cannot be kept as %s, whose blocks hold %d: choose f16",
                    dims.head_dim, dtype_layout(kv_type)->name, dtype_layout(kv_type)->block_elements);
    TRY(shard_map_create(&dims, n_ranks, &map));
    TRY(shard_map_set_shares(&map, shares));
    if (leaves_rows) shard_map_leave_rows(&map);
    struct memory_plan *plan = calloc(1, sizeof *plan + (size_t)n_ranks * sizeof *plan->ranks);
    if (!plan) return FAIL(STATUS_NO_MEMORY, "out of memory for the plan of %d ranks", n_ranks);
    plan->n_ranks = n_ranks;
    for (int rank = 0; rank < n_ranks; rank++)
        plan->ranks[rank] = rank_share(model, &map, rank, weights, kv_type);
    plan->total = sum_shares(&dims, plan);
    *plan_out = plan;
    return STATUS_OK;
}

void memory_plan_destroy(struct memory_plan *plan) {
    free(plan);
}

/* Of ranks first … first + n - 1. */
static int64_t neighbours_bytes(const struct memory_plan *plan, int first, int n, int64_t n_kv_tokens) {
    int64_t bytes = 0;
    for (int rank = first; rank < first + n; rank++) {
        int64_t kv_bytes;
        if (__builtin_mul_overflow(plan->ranks[rank].kv_bytes_per_token, n_kv_tokens, &kv_bytes) ||
            __builtin_add_overflow(bytes, plan->ranks[rank].weight_bytes, &bytes) ||
            __builtin_add_overflow(bytes, kv_bytes, &bytes))
            return INT64_MAX;
    }
    return bytes;
}

int64_t memory_plan_host_bytes(const struct memory_plan *plan, int n_ranks_on_host, int64_t n_kv_tokens) {
    const int n = n_ranks_on_host < plan->n_ranks ? n_ranks_on_host : plan->n_ranks;
    int64_t most = 0;
    for (int first = 0; first + n <= plan->n_ranks; first++)
        most = larger_i64(most, neighbours_bytes(plan, first, n, n_kv_tokens));
    return most;
}
