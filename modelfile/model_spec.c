#include "modelfile/model_spec_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"

const struct architecture_traits *architecture_traits(enum model_architecture architecture) {
    static const struct architecture_traits traits[N_ARCHITECTURES] = {
        [MODEL_LLAMA] = {.model_type = "llama",
                         .gguf_name = "llama",
                         .bias_by_option = true,
                         .interleaved_gguf = true,
                         .window = WINDOW_NEVER},
        [MODEL_MISTRAL] = {.model_type = "mistral", .interleaved_gguf = true, .window = WINDOW_IF_SET},
        [MODEL_QWEN2] = {.model_type = "qwen2",
                         .gguf_name = "qwen2",
                         .qkv_bias = true,
                         .window = WINDOW_IF_USED},
        [MODEL_QWEN3] = {.model_type = "qwen3",
                         .gguf_name = "qwen3",
                         .qk_norm = true,
                         .bias_by_option = true,
                         .default_head_dim = 128,
                         .window = WINDOW_IF_USED},
        [MODEL_QWEN3_MOE] = {.model_type = "qwen3_moe",
                             .gguf_name = "qwen3moe",
                             .mixture_of_experts = true,
                             .qk_norm = true,
                             .bias_by_option = true,
                             .window = WINDOW_ALL},
    };
    CHECK((int)architecture >= 0 && (int)architecture < N_ARCHITECTURES);
    return &traits[architecture];
}

const char *model_architecture_name(enum model_architecture architecture) {
    return architecture_traits(architecture)->model_type;
}

#define FIELD(name) offsetof(struct model_spec, name)

const struct spec_count *spec_count_at(int index) {
    static const struct spec_count counts[N_SPEC_COUNTS] = {
        {"num_hidden_layers", NULL, "block_count", FIELD(n_layers), 1, 1024, COUNT_REQUIRED},
        {"hidden_size", NULL, "embedding_length", FIELD(hidden_size), 1, 1 << 20, COUNT_REQUIRED},
        {"num_attention_heads", NULL, "attention.head_count", FIELD(n_heads), 1, 4096, COUNT_REQUIRED},
        {"num_key_value_heads", NULL, "attention.head_count_kv", FIELD(n_kv_heads), 1, 4096, COUNT_OPTIONAL},
        {"head_dim", NULL, "attention.key_length", FIELD(head_dim), 2, 1024, COUNT_OPTIONAL},
        {"intermediate_size", NULL, "feed_forward_length", FIELD(mlp_size), 1, 1 << 22, COUNT_DENSE},
        {"vocab_size", NULL, "vocab_size", FIELD(vocab_size), 1, 1 << 24, COUNT_REQUIRED},
        {"max_position_embeddings", NULL, "context_length", FIELD(context_length), 1, 1 << 30,
         COUNT_REQUIRED},
        {"num_experts", "num_local_experts", "expert_count", FIELD(n_experts), 1, 1024, COUNT_EXPERT},
        {"num_experts_per_tok", NULL, "expert_used_count", FIELD(n_experts_used), 1, 1024, COUNT_EXPERT},
        {"moe_intermediate_size", NULL, "expert_feed_forward_length", FIELD(expert_size), 1, 1 << 22,
         COUNT_EXPERT},
    };
    CHECK(index >= 0 && index < N_SPEC_COUNTS);
    return &counts[index];
}

bool spec_count_applies(const struct spec_count *count, enum model_architecture architecture,
                        bool *required) {
    const bool experts = architecture_traits(architecture)->mixture_of_experts;
    *required = count->need != COUNT_OPTIONAL;
    if (count->need == COUNT_DENSE) return !experts;
    if (count->need == COUNT_EXPERT) return experts;
    return true;
}

int32_t *spec_count_field(const struct spec_count *count, struct model_spec *spec) {
    return (int32_t *)(void *)((char *)spec + count->offset);
}

void model_text_copy(const char *text, size_t size, char *copy, size_t copy_size) {
    CHECK(copy_size > 0);
    size_t used = 0;
    while (size > 0) {
        uint32_t code_point;
        const size_t length = utf8_decode(text, size, &code_point);
        const bool printable = length > 0 && code_point >= 0x20 && !(code_point >= 0x7f && code_point < 0xa0);
        const size_t written = printable ? length : 1;
        if (used + written >= copy_size) break;
        memcpy(copy + used, printable ? text : "?", written);
        used += written;
        text += length > 0 ? length : 1;
        size -= length > 0 ? length : 1;
    }
    copy[used] = '\0';
}

struct model_spec model_spec_empty(void) {
    return (struct model_spec){
        .rope = {.attention_factor = 1, .truncate = true},
        .bos_id = -1,
        .generation =
            {.temperature = NAN, .top_p = NAN, .min_p = NAN, .repetition_penalty = NAN, .top_k = -1},
    };
}

enum status model_spec_add_eos(struct model_spec *spec, const char *source, int32_t id) {
    for (int i = 0; i < spec->n_eos; i++)
        if (spec->eos_ids[i] == id) return STATUS_OK;
    if (spec->n_eos == MODEL_MAX_EOS)
        return FAIL(STATUS_BAD_INPUT, "%s: more than %d different end-of-sequence ids", source,
                    MODEL_MAX_EOS);
    spec->eos_ids[spec->n_eos++] = id;
    return STATUS_OK;
}

static enum status complete_heads(struct model_spec *spec, const char *source) {
    if (spec->n_kv_heads == 0) spec->n_kv_heads = spec->n_heads;
    if (spec->n_heads % spec->n_kv_heads != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: %d attention heads cannot share %d key/value heads evenly", source,
                    spec->n_heads, spec->n_kv_heads);
    if (spec->head_dim == 0) spec->head_dim = architecture_traits(spec->architecture)->default_head_dim;
    if (spec->head_dim == 0) {
        if (spec->hidden_size % spec->n_heads != 0)
            return FAIL(STATUS_BAD_INPUT,
                        "%s: head_dim is missing, and hidden size %d is not a multiple of %d attention heads",
                        source, spec->hidden_size, spec->n_heads);
        spec->head_dim = spec->hidden_size / spec->n_heads;
    }
    if (spec->head_dim < 2 || spec->head_dim > 1024 || spec->head_dim % 2 != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: head_dim is %d, but must be even and from 2 to 1024", source,
                    spec->head_dim);
    return STATUS_OK;
}

enum status model_spec_complete(struct model_spec *spec, const char *source) {
    TRY(complete_heads(spec, source));
    if (spec->n_experts_used > spec->n_experts)
        return FAIL(STATUS_BAD_INPUT, "%s: %d experts per token were asked for, but there are only %d",
                    source, spec->n_experts_used, spec->n_experts);
    return STATUS_OK;
}

double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

void model_spec_stretch_context(struct model_spec *spec) {
    if (spec->rope.scaling != ROPE_YARN) return;
    const double stretched = spec->rope.factor * spec->rope.original_context;
    if (stretched > spec->context_length && stretched <= 1 << 30) spec->context_length = (int32_t)stretched;
}
