#include "worker/traffic.h"

#include "base/numbers.h"
#include "kvshard/kv_stripes.h"
#include "modelfile/held_dtype.h"

static int64_t matrix_bytes(const struct matrix *matrix) {
    if (matrix->rows == 0 || matrix->cols == 0) return 0;
    return held_bytes(matrix->dtype, matrix->rows, matrix->first_col, matrix->first_col + matrix->cols);
}

static int64_t vector_bytes(const float *vector, int64_t n) {
    return vector ? n * (int64_t)sizeof *vector : 0;
}

static int64_t mlp_bytes(const struct mlp_shard *mlp) {
    return matrix_bytes(&mlp->gate) + matrix_bytes(&mlp->up) + matrix_bytes(&mlp->down);
}

static int64_t layer_bytes(const struct model_spec *spec, const struct layer_shard *layer) {
    int64_t bytes = matrix_bytes(&layer->q) + matrix_bytes(&layer->k) + matrix_bytes(&layer->v) +
                    matrix_bytes(&layer->o) + matrix_bytes(&layer->router) + mlp_bytes(&layer->mlp);
    bytes += vector_bytes(layer->attention_norm, spec->hidden_size);
    bytes += vector_bytes(layer->mlp_norm, spec->hidden_size);
    bytes += vector_bytes(layer->q_bias, layer->q.rows) + vector_bytes(layer->k_bias, layer->k.rows) +
             vector_bytes(layer->v_bias, layer->v.rows) + vector_bytes(layer->o_bias, spec->hidden_size);
    return bytes + vector_bytes(layer->q_norm, spec->head_dim) + vector_bytes(layer->k_norm, spec->head_dim);
}

/* Of every layer that has experts, `n` of them; all are of one size. */
static int64_t expert_bytes(const struct model_shard *shard, int64_t n) {
    int64_t bytes = 0;
    for (int32_t layer = 0; layer < shard->spec->n_layers; layer++)
        if (shard->layers[layer].experts) bytes += n * mlp_bytes(&shard->layers[layer].experts[0]);
    return bytes;
}

static int64_t dense_bytes(const struct model_shard *shard) {
    int64_t bytes = matrix_bytes(&shard->output) + vector_bytes(shard->final_norm, shard->spec->hidden_size);
    for (int32_t layer = 0; layer < shard->spec->n_layers; layer++)
        bytes += layer_bytes(shard->spec, &shard->layers[layer]);
    return bytes;
}

int64_t traffic_weights_held(const struct model_shard *shard) {
    return dense_bytes(shard) + expert_bytes(shard, shard->spec->n_experts);
}

int64_t traffic_weights_read(const struct model_shard *shard, int32_t n_rows) {
    const struct tensor_ref *embedding = model_file_tensor(shard->file, TENSOR_TOKEN_EMBEDDING, 0, 0);
    const int64_t embedded = n_rows * (int64_t)dtype_bytes(embedding->dtype, embedding->cols);
    const int64_t n_experts =
        smaller_i64(shard->spec->n_experts, (int64_t)n_rows * shard->spec->n_experts_used);
    return dense_bytes(shard) + expert_bytes(shard, n_experts) + embedded;
}

/* Of rows [first, end), those that this rank has. */
static int64_t own_rows(const struct kv_cache *cache, int64_t first, int64_t end) {
    int64_t n_rows = 0;
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++)
        if (kv_cache_owns(cache, (int64_t)kv_stripe_reversed(stripe) * KV_UNIT_ROWS))
            n_rows += kv_stripe_rows(stripe, end) - kv_stripe_rows(stripe, first);
    return n_rows;
}

/* Rows that this rank reads for the list, of which a window counts the last. */
static int64_t list_rows(const struct kv_traffic *traffic, struct kv_set set) {
    const int32_t *rows = set.rows ? set.rows : set.tokens;
    const int64_t n = set.n_tokens, first = traffic->window > 0 ? larger_i64(0, n - traffic->window) : 0;
    if (!traffic->cache) return n - first;
    if (!rows) return own_rows(traffic->cache, first, n);
    int64_t n_rows = 0;
    for (int64_t i = first; i < n; i++)
        n_rows += kv_cache_owns(traffic->cache, rows[i]);
    return n_rows;
}

/* Rows that one KV head reads for a decode token: neighbouring query heads that share a list read it
 * together. */
static int64_t rows_read(const struct kv_traffic *traffic, const struct batch_block *block, int32_t layer,
                         int32_t kv_head) {
    const int64_t n_cached = block->first_position + 1;
    int64_t n_rows = 0;
    struct kv_set previous = {0};
    for (int32_t i = 0; i < traffic->group; i++) {
        const struct kv_set set =
            kv_policy_set(traffic->policy, block->slot, layer, n_cached, kv_head * traffic->group + i);
        if (i == 0 || set.tokens != previous.tokens || set.n_tokens != previous.n_tokens)
            n_rows += list_rows(traffic, set);
        previous = set;
    }
    return n_rows;
}

int64_t traffic_kv_read(const struct kv_traffic *traffic, int32_t layer) {
    int64_t n_rows = 0;
    for (int32_t d = 0; d < traffic->batch->n_decodes; d++) {
        const struct batch_block *block = &traffic->batch->blocks[traffic->batch->decodes[d]];
        for (int32_t kv_head = 0; kv_head < traffic->n_kv_heads_local; kv_head++)
            n_rows += rows_read(traffic, block, layer, kv_head);
    }
    return 2 * n_rows * traffic->row_bytes;
}

/* A list that only counts where there is no room. */
struct region_list {
    struct memory_region *regions;
    int64_t n;
};

static void list_matrix(const struct matrix *matrix, struct region_list *list) {
    const int64_t bytes = matrix_bytes(matrix);
    if (bytes == 0) return;
    if (list->regions) list->regions[list->n] = (struct memory_region){matrix->data, (size_t)bytes};
    list->n++;
}

static void list_mlp(const struct mlp_shard *mlp, struct region_list *list) {
    list_matrix(&mlp->gate, list);
    list_matrix(&mlp->up, list);
    list_matrix(&mlp->down, list);
}

int64_t traffic_matrices(const struct model_shard *shard, struct memory_region *regions_out) {
    struct region_list list = {.regions = regions_out};
    for (int32_t i = 0; i < shard->spec->n_layers; i++) {
        const struct layer_shard *layer = &shard->layers[i];
        list_matrix(&layer->q, &list);
        list_matrix(&layer->k, &list);
        list_matrix(&layer->v, &list);
        list_matrix(&layer->o, &list);
        if (!layer->experts) list_mlp(&layer->mlp, &list);
        for (int32_t expert = 0; layer->experts && expert < shard->spec->n_experts; expert++)
            list_mlp(&layer->experts[expert], &list);
    }
    list_matrix(&shard->output, &list);
    return list.n;
}
