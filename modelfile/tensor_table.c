#include "modelfile/tensor_table_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "modelfile/model_spec_impl.h"

enum need {
    NEED_ALWAYS,
    NEED_UNTIED,
    NEED_ROPE_FACTORS,
    NEED_QKV_BIAS,
    NEED_OUTPUT_BIAS,
    NEED_QK_NORM,
    NEED_DENSE,
    NEED_EXPERTS,
};

enum extent {
    EXTENT_VECTOR, /* rows of a vector: it has one dimension in the file */
    EXTENT_VOCAB,
    EXTENT_HIDDEN,
    EXTENT_Q,
    EXTENT_KV,
    EXTENT_HEAD,
    EXTENT_HALF_HEAD,
    EXTENT_MLP,
    EXTENT_EXPERTS,
    EXTENT_EXPERT,
};

enum scope { PER_MODEL, PER_LAYER, PER_EXPERT };

/* In names '#' stands for the layer and '@' for the expert. A stacked tensor holds all experts of a
 * layer, [n_experts, n_parts * rows, cols], and the role is part `part` of each. */
struct role {
    const char *hf;
    const char *gguf;
    const char *hf_stacked;
    int part, n_parts;
    enum scope scope;
    enum need need;
    enum extent rows, cols;
    bool rotated; /* stored interleaved where the architecture's GGUF files are */
};

#define LAYER "model.layers.#."

static const struct role roles[TENSOR_ROLE_COUNT] = {
    [TENSOR_TOKEN_EMBEDDING] = {.hf = "model.embed_tokens.weight",
                                .gguf = "token_embd.weight",
                                .rows = EXTENT_VOCAB,
                                .cols = EXTENT_HIDDEN},
    [TENSOR_OUTPUT] = {.hf = "lm_head.weight",
                       .gguf = "output.weight",
                       .need = NEED_UNTIED,
                       .rows = EXTENT_VOCAB,
                       .cols = EXTENT_HIDDEN},
    [TENSOR_FINAL_NORM] = {.hf = "model.norm.weight", .gguf = "output_norm.weight", .cols = EXTENT_HIDDEN},
    [TENSOR_ROPE_FACTORS] = {.gguf = "rope_freqs.weight",
                             .need = NEED_ROPE_FACTORS,
                             .cols = EXTENT_HALF_HEAD},
#define PER(scope_, need_, rows_, cols_)                                                                     \
    .scope = scope_, .need = need_, .rows = EXTENT_##rows_, .cols = EXTENT_##cols_
    [TENSOR_ATTENTION_NORM] = {.hf = LAYER "input_layernorm.weight",
                               .gguf = "blk.#.attn_norm.weight",
                               PER(PER_LAYER, NEED_ALWAYS, VECTOR, HIDDEN)},
    [TENSOR_Q] = {.hf = LAYER "self_attn.q_proj.weight",
                  .gguf = "blk.#.attn_q.weight",
                  .rotated = true,
                  PER(PER_LAYER, NEED_ALWAYS, Q, HIDDEN)},
    [TENSOR_K] = {.hf = LAYER "self_attn.k_proj.weight",
                  .gguf = "blk.#.attn_k.weight",
                  .rotated = true,
                  PER(PER_LAYER, NEED_ALWAYS, KV, HIDDEN)},
    [TENSOR_V] = {.hf = LAYER "self_attn.v_proj.weight",
                  .gguf = "blk.#.attn_v.weight",
                  PER(PER_LAYER, NEED_ALWAYS, KV, HIDDEN)},
    [TENSOR_O] = {.hf = LAYER "self_attn.o_proj.weight",
                  .gguf = "blk.#.attn_output.weight",
                  PER(PER_LAYER, NEED_ALWAYS, HIDDEN, Q)},
    [TENSOR_Q_BIAS] = {.hf = LAYER "self_attn.q_proj.bias",
                       .gguf = "blk.#.attn_q.bias",
                       .rotated = true,
                       PER(PER_LAYER, NEED_QKV_BIAS, VECTOR, Q)},
    [TENSOR_K_BIAS] = {.hf = LAYER "self_attn.k_proj.bias",
                       .gguf = "blk.#.attn_k.bias",
                       .rotated = true,
                       PER(PER_LAYER, NEED_QKV_BIAS, VECTOR, KV)},
    [TENSOR_V_BIAS] = {.hf = LAYER "self_attn.v_proj.bias",
                       .gguf = "blk.#.attn_v.bias",
                       PER(PER_LAYER, NEED_QKV_BIAS, VECTOR, KV)},
    [TENSOR_O_BIAS] = {.hf = LAYER "self_attn.o_proj.bias",
                       .gguf = "blk.#.attn_output.bias",
                       PER(PER_LAYER, NEED_OUTPUT_BIAS, VECTOR, HIDDEN)},
    [TENSOR_Q_NORM] = {.hf = LAYER "self_attn.q_norm.weight",
                       .gguf = "blk.#.attn_q_norm.weight",
                       PER(PER_LAYER, NEED_QK_NORM, VECTOR, HEAD)},
    [TENSOR_K_NORM] = {.hf = LAYER "self_attn.k_norm.weight",
                       .gguf = "blk.#.attn_k_norm.weight",
                       PER(PER_LAYER, NEED_QK_NORM, VECTOR, HEAD)},
    [TENSOR_MLP_NORM] = {.hf = LAYER "post_attention_layernorm.weight",
                         .gguf = "blk.#.ffn_norm.weight",
                         PER(PER_LAYER, NEED_ALWAYS, VECTOR, HIDDEN)},
    [TENSOR_GATE] = {.hf = LAYER "mlp.gate_proj.weight",
                     .gguf = "blk.#.ffn_gate.weight",
                     PER(PER_LAYER, NEED_DENSE, MLP, HIDDEN)},
    [TENSOR_UP] = {.hf = LAYER "mlp.up_proj.weight",
                   .gguf = "blk.#.ffn_up.weight",
                   PER(PER_LAYER, NEED_DENSE, MLP, HIDDEN)},
    [TENSOR_DOWN] = {.hf = LAYER "mlp.down_proj.weight",
                     .gguf = "blk.#.ffn_down.weight",
                     PER(PER_LAYER, NEED_DENSE, HIDDEN, MLP)},
    [TENSOR_ROUTER] = {.hf = LAYER "mlp.gate.weight",
                       .gguf = "blk.#.ffn_gate_inp.weight",
                       PER(PER_LAYER, NEED_EXPERTS, EXPERTS, HIDDEN)},
    /* transformers 5 can save the gate and up matrices of all experts as one tensor. */
    [TENSOR_EXPERT_GATE] = {.hf = LAYER "mlp.experts.@.gate_proj.weight",
                            .gguf = "blk.#.ffn_gate_exps.weight",
                            .hf_stacked = LAYER "mlp.experts.gate_up_proj",
                            .part = 0,
                            .n_parts = 2,
                            PER(PER_EXPERT, NEED_EXPERTS, EXPERT, HIDDEN)},
    [TENSOR_EXPERT_UP] = {.hf = LAYER "mlp.experts.@.up_proj.weight",
                          .gguf = "blk.#.ffn_up_exps.weight",
                          .hf_stacked = LAYER "mlp.experts.gate_up_proj",
                          .part = 1,
                          .n_parts = 2,
                          PER(PER_EXPERT, NEED_EXPERTS, EXPERT, HIDDEN)},
    [TENSOR_EXPERT_DOWN] = {.hf = LAYER "mlp.experts.@.down_proj.weight",
                            .gguf = "blk.#.ffn_down_exps.weight",
                            .hf_stacked = LAYER "mlp.experts.down_proj",
                            .part = 0,
                            .n_parts = 1,
                            PER(PER_EXPERT, NEED_EXPERTS, HIDDEN, EXPERT)},
};

struct builder {
    const struct tensor_source *source;
    const struct model_spec *spec;
};

static bool is_needed(const struct model_spec *spec, enum need need) {
    switch (need) {
    case NEED_ALWAYS:
        return true;
    case NEED_UNTIED:
        return !spec->tied_embeddings;
    case NEED_ROPE_FACTORS:
        return spec->rope.scaling == ROPE_FACTORS;
    case NEED_QKV_BIAS:
        return spec->attention_bias;
    case NEED_OUTPUT_BIAS:
        return spec->output_bias;
    case NEED_QK_NORM:
        return spec->qk_norm;
    case NEED_DENSE:
        return spec->n_experts == 0;
    case NEED_EXPERTS:
        return spec->n_experts > 0;
    }
    return false;
}

static int64_t extent_of(const struct model_spec *spec, enum extent extent) {
    switch (extent) {
    case EXTENT_VECTOR:
        return 1;
    case EXTENT_VOCAB:
        return spec->vocab_size;
    case EXTENT_HIDDEN:
        return spec->hidden_size;
    case EXTENT_Q:
        return (int64_t)spec->n_heads * spec->head_dim;
    case EXTENT_KV:
        return (int64_t)spec->n_kv_heads * spec->head_dim;
    case EXTENT_HEAD:
        return spec->head_dim;
    case EXTENT_HALF_HEAD:
        return spec->head_dim / 2;
    case EXTENT_MLP:
        return spec->mlp_size;
    case EXTENT_EXPERTS:
        return spec->n_experts;
    case EXTENT_EXPERT:
        return spec->expert_size;
    }
    return 0;
}

static void expand(const char *pattern, int layer, int expert, char name[TENSOR_NAME_MAX]) {
    size_t used = 0;
    for (const char *c = pattern; *c && used < TENSOR_NAME_MAX - 16; c++) {
        if (*c == '#' || *c == '@')
            used += (size_t)snprintf(name + used, TENSOR_NAME_MAX - used, "%d", *c == '#' ? layer : expert);
        else
            name[used++] = *c;
    }
    name[used] = '\0';
}

static int compare_name(const void *name, const void *entry) {
    return strcmp(name, ((const struct tensor_entry *)entry)->name);
}

static const struct tensor_entry *find(const struct tensor_source *source, const char *name) {
    if (source->n_entries == 0) return NULL;
    return bsearch(name, source->entries, source->n_entries, sizeof *source->entries, compare_name);
}

static void shape_text(const int64_t *shape, int n_dims, char text[96]) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < n_dims; i++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
}

static enum status check_shape(const struct builder *builder, const struct tensor_entry *entry,
                               const int64_t *shape, int n_dims) {
    if (entry->n_dims == n_dims && memcmp(entry->shape, shape, (size_t)n_dims * sizeof *shape) == 0)
        return STATUS_OK;
    char found[96], wanted[96];
    shape_text(entry->shape, entry->n_dims, found);
    shape_text(shape, n_dims, wanted);
    return FAIL(STATUS_BAD_INPUT, "%s: tensor %s is [%s], but %s calls for [%s]",
                builder->source->file_paths[entry->file], entry->name, found, builder->source->config_name,
                wanted);
}

/* Norms and biases are computed with in float; only matrices may be quantised. */
static enum status check_type(const struct builder *builder, const struct role *role,
                              const struct tensor_entry *entry) {
    const bool vector = role->rows == EXTENT_VECTOR;
    if (entry->usable && (!vector || dtype_layout(entry->dtype)->block_elements == 1)) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s: tensor %s has type %s, which is not supported; %s are",
                builder->source->file_paths[entry->file], entry->name, entry->dtype_name,
                vector                     ? "F32, F16 and BF16 vectors"
                : builder->source->is_gguf ? "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K and Q6_K"
                                           : "F32, F16 and BF16");
}

static int32_t interleaved_rows(const struct builder *builder, const struct role *role) {
    const bool interleaved = builder->source->is_gguf && role->rotated &&
                             architecture_traits(builder->spec->architecture)->interleaved_gguf;
    return interleaved ? builder->spec->head_dim : 0;
}

static enum status use_single(const struct builder *builder, const struct role *role,
                              const struct tensor_entry *entry, struct tensor_ref *ref_out) {
    const int64_t rows = extent_of(builder->spec, role->rows), cols = extent_of(builder->spec, role->cols);
    const int64_t matrix[2] = {rows, cols};
    if (role->rows == EXTENT_VECTOR)
        TRY(check_shape(builder, entry, &cols, 1));
    else
        TRY(check_shape(builder, entry, matrix, 2));
    TRY(check_type(builder, role, entry));
    *ref_out = (struct tensor_ref){.name = entry->name,
                                   .dtype = entry->dtype,
                                   .rows = rows,
                                   .cols = cols,
                                   .file = entry->file,
                                   .offset = entry->offset,
                                   .interleaved_head_rows = interleaved_rows(builder, role)};
    return STATUS_OK;
}

static enum status use_stacked(const struct builder *builder, const struct role *role, int expert,
                               const struct tensor_entry *entry, struct tensor_ref *ref_out) {
    const int64_t rows = extent_of(builder->spec, role->rows), cols = extent_of(builder->spec, role->cols);
    const int n_parts = builder->source->is_gguf ? 1 : role->n_parts;
    const int part = builder->source->is_gguf ? 0 : role->part;
    const int64_t shape[3] = {builder->spec->n_experts, n_parts * rows, cols};
    TRY(check_shape(builder, entry, shape, 3));
    TRY(check_type(builder, role, entry));
    const int64_t first_row = ((int64_t)expert * n_parts + part) * rows;
    *ref_out =
        (struct tensor_ref){.name = entry->name,
                            .dtype = entry->dtype,
                            .rows = rows,
                            .cols = cols,
                            .file = entry->file,
                            .offset = entry->offset + (uint64_t)first_row * dtype_bytes(entry->dtype, cols)};
    return STATUS_OK;
}

static enum status missing(const struct builder *builder, const struct role *role, const char *name) {
    if (role->need == NEED_UNTIED)
        return FAIL(STATUS_BAD_INPUT, "%s: tensor %s is missing, and tie_word_embeddings is not true",
                    builder->source->path, name);
    return FAIL(STATUS_BAD_INPUT, "%s: tensor %s is missing", builder->source->path, name);
}

static enum status resolve(const struct builder *builder, const struct role *role, int layer, int expert,
                           struct tensor_ref *ref_out) {
    const bool is_gguf = builder->source->is_gguf;
    const bool stacked_gguf = is_gguf && role->scope == PER_EXPERT;
    char name[TENSOR_NAME_MAX];
    expand(is_gguf ? role->gguf : role->hf, layer, expert, name);
    const struct tensor_entry *entry = find(builder->source, name);
    if (entry && stacked_gguf) return use_stacked(builder, role, expert, entry, ref_out);
    if (entry) return use_single(builder, role, entry, ref_out);
    if (is_gguf || !role->hf_stacked) return missing(builder, role, name);

    char stacked[TENSOR_NAME_MAX];
    expand(role->hf_stacked, layer, expert, stacked);
    entry = find(builder->source, stacked);
    return entry ? use_stacked(builder, role, expert, entry, ref_out) : missing(builder, role, name);
}

/* A bias or norm that the configuration does not know, or a layer beyond its last, would silently be left
 * out: `layer` is the first that must not be there. */
static enum status refuse_surplus(const struct builder *builder, const struct role *role, int layer) {
    const char *pattern = builder->source->is_gguf ? role->gguf : role->hf;
    if (role->scope != PER_LAYER || !pattern) return STATUS_OK;
    char name[TENSOR_NAME_MAX];
    expand(pattern, layer, 0, name);
    if (!find(builder->source, name)) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s: tensor %s is there, but %s does not call for it",
                builder->source->path, name, builder->source->config_name);
}

static enum status resolve_role(const struct builder *builder, enum tensor_role index,
                                struct tensor_table *table) {
    struct tensor_ref *ref = table->refs + table->first[index];
    for (int layer = 0; layer < table->n_layers[index]; layer++)
        for (int expert = 0; expert < table->n_experts[index]; expert++)
            TRY(resolve(builder, &roles[index], layer, expert, ref++));
    return STATUS_OK;
}

/* How many refs each role has, and where its run begins. */
static size_t lay_out(const struct model_spec *spec, struct tensor_table *table) {
    size_t count = 0;
    for (int i = 0; i < TENSOR_ROLE_COUNT; i++) {
        if (!is_needed(spec, roles[i].need)) continue;
        table->first[i] = count;
        table->n_layers[i] = roles[i].scope == PER_MODEL ? 1 : spec->n_layers;
        table->n_experts[i] = roles[i].scope == PER_EXPERT ? spec->n_experts : 1;
        count += (size_t)table->n_layers[i] * (size_t)table->n_experts[i];
    }
    return count;
}

/* The output matrix of a model that has none of its own. */
static void tie_output(const struct model_spec *spec, struct tensor_table *table) {
    if (!spec->tied_embeddings) return;
    table->first[TENSOR_OUTPUT] = table->first[TENSOR_TOKEN_EMBEDDING];
    table->n_layers[TENSOR_OUTPUT] = table->n_experts[TENSOR_OUTPUT] = 1;
}

enum status tensor_table_build(const struct tensor_source *source, const struct model_spec *spec,
                               struct arena *arena, struct tensor_table *table_out) {
    const struct builder builder = {source, spec};
    struct tensor_table table = {0};
    TRY(ARENA_TAKE(arena, lay_out(spec, &table), &table.refs));
    for (int i = 0; i < TENSOR_ROLE_COUNT; i++) {
        TRY(refuse_surplus(&builder, &roles[i], table.n_layers[i]));
        TRY(resolve_role(&builder, (enum tensor_role)i, &table));
    }
    tie_output(spec, &table);
    *table_out = table;
    return STATUS_OK;
}

enum status tensor_table_imagine(const struct model_spec *spec, struct arena *arena,
                                 struct tensor_table *table_out) {
    struct tensor_table table = {0};
    TRY(ARENA_TAKE(arena, lay_out(spec, &table), &table.refs));
    for (int i = 0; i < TENSOR_ROLE_COUNT; i++) {
        const struct tensor_ref imagined = {.name = roles[i].hf,
                                            .dtype = DTYPE_BF16,
                                            .rows = extent_of(spec, roles[i].rows),
                                            .cols = extent_of(spec, roles[i].cols)};
        const size_t n = (size_t)table.n_layers[i] * (size_t)table.n_experts[i];
        for (size_t j = 0; j < n; j++)
            table.refs[table.first[i] + j] = imagined;
    }
    tie_output(spec, &table);
    *table_out = table;
    return STATUS_OK;
}

const struct tensor_ref *tensor_table_find(const struct tensor_table *table, enum tensor_role role, int layer,
                                           int expert) {
    CHECK(role >= 0 && role < TENSOR_ROLE_COUNT);
    if (layer < 0 || layer >= table->n_layers[role] || expert < 0 || expert >= table->n_experts[role])
        return NULL;
    return &table->refs[table->first[role] + (size_t)layer * (size_t)table->n_experts[role] + (size_t)expert];
}
