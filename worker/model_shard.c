#include "worker/model_shard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "modelfile/held_dtype.h"
#include "worker/weight_reader.h"

/* What loading passes from hand to hand. */
struct loader {
    struct model_shard *shard;
    enum dtype wanted;
    struct weight_reader reader;
};

static const struct tensor_ref *tensor(const struct loader *loader, enum tensor_role role, int layer,
                                       int expert) {
    return model_file_tensor(loader->shard->file, role, layer, expert);
}

static struct shard_range whole(int64_t n) {
    return (struct shard_range){0, n};
}

/* Rows and columns of a matrix; columns are dealt in multiples of `column_unit`. */
static enum status load_matrix(struct loader *loader, enum tensor_role role, int layer, int expert,
                               struct shard_range rows, struct shard_range cols, int64_t column_unit,
                               struct matrix *matrix_out) {
    const struct tensor_ref *ref = tensor(loader, role, layer, expert);
    const enum dtype held = held_dtype(role, ref->dtype, loader->wanted, ref->cols, column_unit);
    *matrix_out = (struct matrix){.dtype = held,
                                  .rows = shard_range_size(rows),
                                  .cols = shard_range_size(cols),
                                  .first_col = cols.begin - dtype_round_down(held, cols.begin)};
    if (matrix_out->rows == 0 || matrix_out->cols == 0) return STATUS_OK;
    unsigned char *data;
    TRY(ARENA_TAKE(loader->shard->memory, weight_bytes(held, matrix_out->rows, cols), &data));
    matrix_out->data = data;
    return weight_read(&loader->reader, ref, rows, cols, held, data);
}

/* All columns. */
static enum status load_rows(struct loader *loader, enum tensor_role role, int layer, int expert,
                             struct shard_range rows, struct matrix *matrix_out) {
    const int64_t cols = tensor(loader, role, layer, expert)->cols;
    return load_matrix(loader, role, layer, expert, rows, whole(cols), cols, matrix_out);
}

/* Elements [begin, end) of a vector, as f32. A missing optional vector stays NULL. */
static enum status load_vector(struct loader *loader, enum tensor_role role, int layer,
                               struct shard_range range, const float **vector_out) {
    const struct tensor_ref *ref = tensor(loader, role, layer, 0);
    if (!ref) return STATUS_OK;
    struct model_shard *shard = loader->shard;
    const int64_t n = shard_range_size(range);
    const size_t bytes = dtype_bytes(ref->dtype, n);
    void *raw = malloc(bytes + 1);
    if (!raw) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", ref->name);
    float *vector = NULL;
    enum status status = model_file_read(shard->file, ref, 0, 1, range.begin, range.end, raw);
    if (status == STATUS_OK) status = ARENA_TAKE(shard->memory, (size_t)n, &vector);
    if (status == STATUS_OK) shard->kernels->load(raw, ref->dtype, n, vector);
    free(raw);
    *vector_out = vector;
    return status;
}

/* A range of heads as the rows (or columns) they take. */
static struct shard_range head_rows(const struct model_spec *spec, int32_t first, int32_t n) {
    return (struct shard_range){(int64_t)first * spec->head_dim, ((int64_t)first + n) * spec->head_dim};
}

static enum status load_attention(struct loader *loader, int layer_index, struct layer_shard *layer) {
    const struct model_shard *shard = loader->shard;
    const struct model_spec *spec = shard->spec;
    const struct shard_range hidden = whole(spec->hidden_size), head = whole(spec->head_dim);
    const struct shard_range q = head_rows(spec, shard->first_head, shard->n_heads);
    const struct shard_range kv = head_rows(spec, shard->first_kv_head, shard->n_kv_heads);

    TRY(load_vector(loader, TENSOR_ATTENTION_NORM, layer_index, hidden, &layer->attention_norm));
    TRY(load_rows(loader, TENSOR_Q, layer_index, 0, q, &layer->q));
    TRY(load_rows(loader, TENSOR_K, layer_index, 0, kv, &layer->k));
    TRY(load_rows(loader, TENSOR_V, layer_index, 0, kv, &layer->v));
    TRY(load_matrix(loader, TENSOR_O, layer_index, 0, shard->output_rows, q, shard->map.head_block,
                    &layer->o));
    TRY(load_vector(loader, TENSOR_Q_BIAS, layer_index, q, &layer->q_bias));
    TRY(load_vector(loader, TENSOR_K_BIAS, layer_index, kv, &layer->k_bias));
    TRY(load_vector(loader, TENSOR_V_BIAS, layer_index, kv, &layer->v_bias));
    TRY(load_vector(loader, TENSOR_O_BIAS, layer_index, hidden, &layer->o_bias));
    TRY(load_vector(loader, TENSOR_Q_NORM, layer_index, head, &layer->q_norm));
    return load_vector(loader, TENSOR_K_NORM, layer_index, head, &layer->k_norm);
}

static enum status load_mlp(struct loader *loader, const enum tensor_role roles[3], int layer_index,
                            int expert, struct shard_range columns, int64_t column_unit,
                            struct mlp_shard *mlp_out) {
    const struct shard_range hidden = whole(loader->shard->spec->hidden_size);
    TRY(load_rows(loader, roles[0], layer_index, expert, columns, &mlp_out->gate));
    TRY(load_rows(loader, roles[1], layer_index, expert, columns, &mlp_out->up));
    return load_matrix(loader, roles[2], layer_index, expert, hidden, columns, column_unit, &mlp_out->down);
}

static enum status load_experts(struct loader *loader, int layer_index, struct shard_range columns,
                                struct layer_shard *layer) {
    static const enum tensor_role roles[3] = {TENSOR_EXPERT_GATE, TENSOR_EXPERT_UP, TENSOR_EXPERT_DOWN};
    const struct model_spec *spec = loader->shard->spec;
    struct mlp_shard *experts;
    TRY(ARENA_TAKE(loader->shard->memory, (size_t)spec->n_experts, &experts));
    for (int expert = 0; expert < spec->n_experts; expert++)
        TRY(load_mlp(loader, roles, layer_index, expert, columns, loader->shard->map.expert_block,
                     &experts[expert]));
    layer->experts = experts;
    return load_rows(loader, TENSOR_ROUTER, layer_index, 0, whole(spec->n_experts), &layer->router);
}

static enum status load_layer(struct loader *loader, int layer_index, int rank, struct layer_shard *layer) {
    static const enum tensor_role roles[3] = {TENSOR_GATE, TENSOR_UP, TENSOR_DOWN};
    const struct model_shard *shard = loader->shard;
    TRY(load_attention(loader, layer_index, layer));
    TRY(load_vector(loader, TENSOR_MLP_NORM, layer_index, whole(shard->spec->hidden_size), &layer->mlp_norm));
    if (shard->spec->n_experts > 0)
        return load_experts(loader, layer_index, shard_map_expert(&shard->map, rank), layer);
    return load_mlp(loader, roles, layer_index, 0, shard_map_mlp(&shard->map, rank), shard->map.mlp_block,
                    &layer->mlp);
}

static enum status load_rope(struct loader *loader) {
    struct model_shard *shard = loader->shard;
    const int32_t n = shard->spec->head_dim / 2;
    const float *divisors = NULL;
    TRY(load_vector(loader, TENSOR_ROPE_FACTORS, 0, whole(n), &divisors));
    for (int32_t i = 0; divisors && i < n; i++)
        if (!isfinite(divisors[i]) || divisors[i] <= 0)
            return FAIL(STATUS_BAD_INPUT, "%s: element %d is %g; a frequency's divisor must be above 0",
                        tensor(loader, TENSOR_ROPE_FACTORS, 0, 0)->name, i, (double)divisors[i]);
    return rope_create(&shard->spec->rope, shard->spec->head_dim, divisors, shard->memory, &shard->rope);
}

static enum status load_all(struct loader *loader, int rank) {
    struct model_shard *shard = loader->shard;
    const struct model_spec *spec = shard->spec;
    TRY(ARENA_TAKE(shard->memory, (size_t)spec->n_layers, &shard->layers));
    for (int layer = 0; layer < spec->n_layers; layer++)
        TRY(load_layer(loader, layer, rank, &shard->layers[layer]));
    TRY(load_vector(loader, TENSOR_FINAL_NORM, 0, whole(spec->hidden_size), &shard->final_norm));
    TRY(load_rows(loader, TENSOR_OUTPUT, 0, 0, shard->vocab, &shard->output));
    TRY(load_rope(loader));
    arena_seal(shard->memory);
    return STATUS_OK;
}

/* About what this rank will read: its share of everything in the files. For the progress bar. */
static uint64_t expected_bytes(const struct model_shard *shard) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < model_file_tensor_count(shard->file); i++)
        bytes += model_file_tensor_listing(shard->file, i).bytes;
    if (shard->map.n_ranks > shard->spec->n_kv_heads) return bytes / (uint64_t)shard->map.n_ranks;
    return bytes / (uint64_t)shard->spec->n_kv_heads * (uint64_t)shard->n_kv_heads;
}

static void take_ownership(struct model_shard *shard, int rank) {
    const struct shard_range kv_heads = shard_map_kv_heads(&shard->map, rank);
    const struct shard_range heads = shard_map_heads(&shard->map, rank);
    shard->first_kv_head = (int32_t)kv_heads.begin;
    shard->n_kv_heads = (int32_t)shard_range_size(kv_heads);
    shard->first_head = (int32_t)heads.begin;
    shard->n_heads = (int32_t)shard_range_size(heads);
    shard->mlp_size_local = shard_range_size(shard_map_mlp(&shard->map, rank));
    shard->expert_size_local = shard_range_size(shard_map_expert(&shard->map, rank));
    shard->output_rows = shard_map_output_rows(&shard->map, rank);
    shard->vocab = shard_map_vocab(&shard->map, rank);
}

enum status model_shard_load(const struct model_file *file, const struct shard_map *map, int rank,
                             enum dtype wanted, const struct kernels *kernels, struct heartbeat *heartbeat,
                             struct model_shard **shard_out) {
    struct model_shard *shard = calloc(1, sizeof *shard);
    if (!shard) return FAIL(STATUS_NO_MEMORY, "out of memory for the model's tables");
    *shard =
        (struct model_shard){.file = file, .spec = model_file_spec(file), .map = *map, .kernels = kernels};
    take_ownership(shard, rank);

    struct loader loader = {.shard = shard,
                            .wanted = wanted,
                            .reader = {.file = file, .kernels = kernels, .heartbeat = heartbeat}};
    progress_begin(&loader.reader.progress, "loading", expected_bytes(shard), rank == 0);
    enum status status = arena_create("the model's weights", &shard->memory);
    if (status == STATUS_OK) {
        arena_use_huge_pages(shard->memory);
        status = load_all(&loader, rank);
    }
    progress_end(&loader.reader.progress);
    shard->bytes_read = loader.reader.bytes_read;
    if (status != STATUS_OK) {
        model_shard_destroy(shard);
        return status;
    }
    *shard_out = shard;
    return STATUS_OK;
}

void model_shard_destroy(struct model_shard *shard) {
    if (!shard) return;
    arena_destroy(shard->memory);
    free(shard);
}

enum status model_shard_embed(const struct model_shard *shard, int32_t token, void *scratch, float *x) {
    const struct tensor_ref *embedding = model_file_tensor(shard->file, TENSOR_TOKEN_EMBEDDING, 0, 0);
    CHECK(token >= 0 && token < embedding->rows);
    TRY(model_file_read(shard->file, embedding, token, (int64_t)token + 1, 0, embedding->cols, scratch));
    shard->kernels->load(scratch, embedding->dtype, embedding->cols, x);
    return STATUS_OK;
}
