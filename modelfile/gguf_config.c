#include "modelfile/gguf_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "modelfile/model_spec_impl.h"

enum { KEY_MAX = 128 };

struct metadata {
    const struct gguf *gguf;
    const char *path;
    const char *architecture; /* what keys begin with */
};

static bool text_is(const struct gguf_text *text, const char *expected) {
    return text->size == strlen(expected) && memcmp(text->data, expected, text->size) == 0;
}

static const char *full_key(const struct metadata *meta, const char *name, char key[KEY_MAX]) {
    snprintf(key, KEY_MAX, "%s.%s", meta->architecture, name);
    return key;
}

/* Leaves *value alone where the key is missing. */
static enum status read_int(const struct metadata *meta, const char *key, int64_t min, int64_t max,
                            int64_t *value) {
    if (!gguf_has(meta->gguf, key)) return STATUS_OK;
    int64_t number;
    if (!gguf_get_i64(meta->gguf, key, &number))
        return FAIL(STATUS_BAD_INPUT, "%s: %s is not a single whole number", meta->path, key);
    if (number < min || number > max)
        return FAIL(STATUS_BAD_INPUT, "%s: %s is %lld, but must be from %lld to %lld", meta->path, key,
                    (long long)number, (long long)min, (long long)max);
    *value = number;
    return STATUS_OK;
}

static enum status read_real(const struct metadata *meta, const char *key, double min, double max,
                             double *value) {
    if (!gguf_has(meta->gguf, key)) return STATUS_OK;
    double number;
    if (!gguf_get_f64(meta->gguf, key, &number))
        return FAIL(STATUS_BAD_INPUT, "%s: %s is not a single number", meta->path, key);
    if (!isfinite(number) || number < min || number > max)
        return FAIL(STATUS_BAD_INPUT, "%s: %s is %g, but must be from %g to %g", meta->path, key, number, min,
                    max);
    *value = number;
    return STATUS_OK;
}

static bool has_tensor(const struct metadata *meta, const char *name) {
    const size_t count = gguf_tensor_count(meta->gguf);
    for (size_t i = 0; i < count; i++)
        if (text_is(&gguf_tensor_at(meta->gguf, i)->name, name)) return true;
    return false;
}

static enum status read_architecture(struct metadata *meta, struct model_spec *spec) {
    struct gguf_text name;
    if (!gguf_get_text(meta->gguf, "general.architecture", &name))
        return FAIL(STATUS_BAD_INPUT, "%s: general.architecture is missing", meta->path);
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        const char *known = architecture_traits((enum model_architecture)i)->gguf_name;
        if (!known || !text_is(&name, known)) continue;
        spec->architecture = (enum model_architecture)i;
        meta->architecture = known;
        return STATUS_OK;
    }
    char shown[60];
    model_text_copy(name.data, name.size, shown, sizeof shown);
    return FAIL(STATUS_BAD_INPUT,
                "%s: general.architecture = \"%s\" is not supported; llama, qwen2, qwen3 and qwen3moe are",
                meta->path, shown);
}

static enum status read_counts(const struct metadata *meta, struct model_spec *spec) {
    /* The vocabulary is what the tokenizer lists; only files without one say its size alone. */
    const int64_t n_tokens = gguf_array_count(meta->gguf, "tokenizer.ggml.tokens");
    for (int i = 0; i < N_SPEC_COUNTS; i++) {
        const struct spec_count *count = spec_count_at(i);
        bool required;
        if (!spec_count_applies(count, spec->architecture, &required)) continue;
        char key[KEY_MAX];
        int64_t value = 0;
        TRY(read_int(meta, full_key(meta, count->gguf_key, key), count->min, count->max, &value));
        int32_t *field = spec_count_field(count, spec);
        if (field == &spec->vocab_size && n_tokens >= count->min && n_tokens <= count->max) value = n_tokens;
        if (value == 0 && required) return FAIL(STATUS_BAD_INPUT, "%s: %s is missing", meta->path, key);
        *field = (int32_t)value;
    }
    return STATUS_OK;
}

/* A key whose only supported value is `expected`. */
static enum status expect_int(const struct metadata *meta, const char *name, int64_t expected) {
    char key[KEY_MAX];
    int64_t value = expected;
    TRY(read_int(meta, full_key(meta, name, key), INT64_MIN, INT64_MAX, &value));
    if (value == expected) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s: %s = %lld is not supported; it would have to be %lld", meta->path, key,
                (long long)value, (long long)expected);
}

static enum status refuse_unsupported(const struct metadata *meta, const struct model_spec *spec) {
    TRY(expect_int(meta, "attention.value_length", spec->head_dim));
    TRY(expect_int(meta, "rope.dimension_count", spec->head_dim));
    if (!architecture_traits(spec->architecture)->mixture_of_experts)
        TRY(expect_int(meta, "expert_count", 0));
    TRY(expect_int(meta, "expert_shared_count", 0));
    int64_t parts = 1;
    TRY(read_int(meta, "split.count", 0, INT32_MAX, &parts));
    if (parts > 1)
        return FAIL(STATUS_BAD_INPUT,
                    "%s is one of %lld parts; merge them with llama-gguf-split --merge first", meta->path,
                    (long long)parts);
    static const char *const biases[] = {"blk.0.ffn_gate.bias", "blk.0.ffn_up.bias", "blk.0.ffn_down.bias"};
    for (size_t i = 0; i < sizeof biases / sizeof biases[0]; i++)
        if (has_tensor(meta, biases[i]))
            return FAIL(STATUS_BAD_INPUT, "%s: tensor %s: biases in the MLP are not supported", meta->path,
                        biases[i]);
    return STATUS_OK;
}

static enum status read_switches(const struct metadata *meta, struct model_spec *spec) {
    char key[KEY_MAX];
    double epsilon = -1;
    TRY(read_real(meta, full_key(meta, "attention.layer_norm_rms_epsilon", key), 0, 1, &epsilon));
    if (epsilon < 0) return FAIL(STATUS_BAD_INPUT, "%s: %s is missing", meta->path, key);
    spec->rms_norm_eps = (float)epsilon;
    spec->qk_norm = architecture_traits(spec->architecture)->qk_norm;
    spec->tied_embeddings = !has_tensor(meta, "output.weight");
    spec->attention_bias = has_tensor(meta, "blk.0.attn_q.bias");
    spec->output_bias = has_tensor(meta, "blk.0.attn_output.bias");
    spec->norm_topk_prob = spec->n_experts > 0; /* llama.cpp's qwen3moe always does */
    return STATUS_OK;
}

static enum status read_window(const struct metadata *meta, struct model_spec *spec) {
    char key[KEY_MAX];
    int64_t window = 0;
    TRY(read_int(meta, full_key(meta, "attention.sliding_window", key), 0, 1 << 30, &window));
    if (window > 0 && spec->architecture != MODEL_LLAMA) /* Mistral goes by the name of llama */
        return FAIL(STATUS_BAD_INPUT, "%s: %s = %lld is not supported", meta->path, key, (long long)window);
    spec->sliding_window = (int32_t)window;
    return STATUS_OK;
}

/* YaRN's keys. Converters write transformers' attention_factor as yarn_attn_factor; without it, llama.cpp
 * uses the paper's value as transformers does. */
static enum status read_yarn(const struct metadata *meta, struct model_spec *spec) {
    struct rope_spec *rope = &spec->rope;
    char key[KEY_MAX];
    rope->original_context = spec->context_length;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->attention_factor = yarn_mscale(rope->factor, 1);
    TRY(read_real(meta, full_key(meta, "rope.scaling.original_context_length", key), 1, 1 << 30,
                  &rope->original_context));
    TRY(read_real(meta, full_key(meta, "rope.scaling.yarn_beta_fast", key), 1e-6, 1e6, &rope->beta_fast));
    TRY(read_real(meta, full_key(meta, "rope.scaling.yarn_beta_slow", key), 1e-6, 1e6, &rope->beta_slow));
    TRY(read_real(meta, full_key(meta, "rope.scaling.yarn_attn_factor", key), 1e-6, 1000,
                  &rope->attention_factor));
    double share = 1, log_multiplier = 0;
    TRY(read_real(meta, full_key(meta, "rope.scaling.yarn_ext_factor", key), -1, 100, &share));
    if (share != 1 && share != -1) /* -1: not set */
        return FAIL(STATUS_BAD_INPUT, "%s: %s = %g is not supported", meta->path, key, share);
    TRY(read_real(meta, full_key(meta, "rope.scaling.yarn_log_multiplier", key), -100, 100, &log_multiplier));
    if (log_multiplier != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: %s = %g is not supported", meta->path, key, log_multiplier);
    model_spec_stretch_context(spec);
    return STATUS_OK;
}

/* A factor without a type means linear scaling, whose key once was rope.scale_linear. */
static enum status read_scaling(const struct metadata *meta, struct model_spec *spec) {
    struct rope_spec *rope = &spec->rope;
    char key[KEY_MAX];
    double factor = 0;
    TRY(read_real(meta, full_key(meta, "rope.scale_linear", key), 0, 1e6, &factor));
    TRY(read_real(meta, full_key(meta, "rope.scaling.factor", key), 0, 1e6, &factor));
    struct gguf_text type = {"linear", 6};
    (void)gguf_get_text(meta->gguf, full_key(meta, "rope.scaling.type", key), &type);
    if (text_is(&type, "none") || factor == 0) return STATUS_OK;
    rope->factor = factor;
    if (text_is(&type, "linear")) {
        if (factor != 1) rope->scaling = ROPE_LINEAR;
        return STATUS_OK;
    }
    if (!text_is(&type, "yarn")) {
        char shown[60];
        model_text_copy(type.data, type.size, shown, sizeof shown);
        return FAIL(STATUS_BAD_INPUT, "%s: %s = \"%s\" is not supported", meta->path, key, shown);
    }
    rope->scaling = ROPE_YARN;
    return read_yarn(meta, spec);
}

static enum status read_rope(const struct metadata *meta, struct model_spec *spec) {
    char key[KEY_MAX];
    spec->rope.theta = 10000;
    TRY(read_real(meta, full_key(meta, "rope.freq_base", key), 1.001, 1e15, &spec->rope.theta));
    TRY(read_scaling(meta, spec));
    double attention_factor = 1;
    TRY(read_real(meta, full_key(meta, "rope.scaling.attn_factor", key), 1e-6, 1000, &attention_factor));
    if (attention_factor != 1)
        return FAIL(STATUS_BAD_INPUT, "%s: %s = %g is not supported", meta->path, key, attention_factor);
    if (!has_tensor(meta, "rope_freqs.weight")) return STATUS_OK;
    if (spec->rope.scaling != ROPE_PLAIN)
        return FAIL(STATUS_BAD_INPUT, "%s has both rope_freqs.weight and %s.rope.scaling", meta->path,
                    meta->architecture);
    spec->rope.scaling = ROPE_FACTORS;
    return STATUS_OK;
}

/* -1 in 32 bits is how some converters say that there is no such token. */
static enum status read_token_id(const struct metadata *meta, const struct model_spec *spec, const char *key,
                                 int32_t *id_out) {
    int64_t id = -1;
    *id_out = -1;
    if (!gguf_get_i64(meta->gguf, key, &id) || id == -1 || id == UINT32_MAX) return STATUS_OK;
    TRY(read_int(meta, key, 0, spec->vocab_size - 1, &id));
    *id_out = (int32_t)id;
    return STATUS_OK;
}

/* Control tokens by which models end an answer, as generation_config.json would list them. */
static enum status find_end_tokens(const struct metadata *meta, struct model_spec *spec) {
    static const char *const ends[] = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>",
                                       "<|endoftext|>"};
    enum { CONTROL = 3 };
    for (int32_t id = 0; id < spec->vocab_size; id++) {
        int64_t type;
        struct gguf_text token;
        if (!gguf_array_i64(meta->gguf, "tokenizer.ggml.token_type", id, &type) || type != CONTROL) continue;
        if (!gguf_array_text(meta->gguf, "tokenizer.ggml.tokens", id, &token)) continue;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            if (text_is(&token, ends[i])) TRY(model_spec_add_eos(spec, meta->path, id));
    }
    return STATUS_OK;
}

static enum status read_tokens(const struct metadata *meta, struct model_spec *spec) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    TRY(read_token_id(meta, spec, "tokenizer.ggml.bos_token_id", &spec->bos_id));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        int32_t id;
        TRY(read_token_id(meta, spec, ends[i], &id));
        if (id >= 0) TRY(model_spec_add_eos(spec, meta->path, id));
    }
    return find_end_tokens(meta, spec);
}

static enum status read_generation(const struct metadata *meta, struct generation_defaults *generation) {
    int64_t top_k = -1;
    TRY(read_int(meta, "general.sampling.top_k", -1, INT32_MAX, &top_k));
    generation->top_k = (int32_t)top_k;
    TRY(read_real(meta, "general.sampling.temp", 0, 100, &generation->temperature));
    TRY(read_real(meta, "general.sampling.top_p", 0, 1, &generation->top_p));
    TRY(read_real(meta, "general.sampling.min_p", 0, 1, &generation->min_p));
    TRY(read_real(meta, "general.sampling.penalty_repeat", 1e-3, 1e3, &generation->repetition_penalty));
    generation->do_sample = generation->temperature > 0; /* not where it is NAN */
    return STATUS_OK;
}

static enum status read_spec(struct metadata *meta, struct model_spec *spec) {
    TRY(read_architecture(meta, spec));
    TRY(read_counts(meta, spec));
    TRY(model_spec_complete(spec, meta->path));
    TRY(refuse_unsupported(meta, spec));
    TRY(read_switches(meta, spec));
    TRY(read_window(meta, spec));
    TRY(read_rope(meta, spec));
    TRY(read_tokens(meta, spec));
    return read_generation(meta, &spec->generation);
}

enum status gguf_config_read(const struct gguf *gguf, const char *path, struct model_spec *spec_out) {
    struct metadata meta = {.gguf = gguf, .path = path};
    struct model_spec spec = model_spec_empty();
    TRY(read_spec(&meta, &spec));
    *spec_out = spec;
    return STATUS_OK;
}
