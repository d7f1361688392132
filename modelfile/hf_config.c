#include "modelfile/hf_config.h"

#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "modelfile/hf_config_impl.h"
#include "modelfile/model_spec_impl.h"

static enum status read_architecture(const struct json_fields *config, struct model_spec *spec) {
    const char *model_type = NULL;
    TRY(fields_text(config, "model_type", &model_type));
    if (!model_type) return fields_missing(config, "model_type");
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        if (strcmp(model_type, architecture_traits((enum model_architecture)i)->model_type) != 0) continue;
        spec->architecture = (enum model_architecture)i;
        return STATUS_OK;
    }
    char shown[60];
    model_text_copy(model_type, strlen(model_type), shown, sizeof shown);
    return FAIL(STATUS_BAD_INPUT,
                "%s: model_type = \"%s\" is not supported; llama, mistral, qwen2, qwen3 and qwen3_moe are",
                config->path, shown);
}

/* Fields that change the arithmetic in ways not implemented here. */
static enum status refuse_unsupported(const struct json_fields *config, const struct model_spec *spec) {
    const char *activation = "silu";
    TRY(fields_text(config, "hidden_act", &activation));
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return fields_unsupported(config, "hidden_act");

    bool mlp_bias = false;
    TRY(fields_bool(config, "mlp_bias", &mlp_bias));
    if (mlp_bias) return fields_unsupported(config, "mlp_bias");

    double rotary_share = 1;
    TRY(fields_real(config, "partial_rotary_factor", 0, 1, &rotary_share));
    if (rotary_share != 1) return fields_unsupported(config, "partial_rotary_factor");

    if (fields_have(config, "quantization_config")) return fields_unsupported(config, "quantization_config");
    if (!architecture_traits(spec->architecture)->mixture_of_experts) return STATUS_OK;

    int64_t step = 1;
    TRY(fields_int(config, "decoder_sparse_step", 0, 1024, &step));
    if (step != 1) return fields_unsupported(config, "decoder_sparse_step");
    if (fields_have(config, "mlp_only_layers") && fields_array_count(config, "mlp_only_layers") != 0)
        return fields_unsupported(config, "mlp_only_layers");
    return STATUS_OK;
}

static enum status read_counts(const struct json_fields *config, struct model_spec *spec) {
    for (int i = 0; i < N_SPEC_COUNTS; i++) {
        const struct spec_count *count = spec_count_at(i);
        bool required;
        if (!spec_count_applies(count, spec->architecture, &required)) continue;
        int64_t value = 0;
        TRY(fields_int(config, count->config_key, count->min, count->max, &value));
        if (value == 0 && count->config_key_5)
            TRY(fields_int(config, count->config_key_5, count->min, count->max, &value));
        if (value == 0 && required) return fields_missing(config, count->config_key);
        *spec_count_field(count, spec) = (int32_t)value;
    }
    return STATUS_OK;
}

static enum status read_attention_bias(const struct json_fields *config, struct model_spec *spec) {
    const struct architecture_traits *traits = architecture_traits(spec->architecture);
    bool bias = false;
    TRY(fields_bool(config, "attention_bias", &bias));
    if (bias && !traits->bias_by_option) return fields_unsupported(config, "attention_bias");
    spec->attention_bias = bias || traits->qkv_bias;
    spec->output_bias = bias;
    return STATUS_OK;
}

static enum status read_switches(const struct json_fields *config, struct model_spec *spec) {
    double epsilon = 1e-6; /* every class's default */
    TRY(fields_real(config, "rms_norm_eps", 0, 1, &epsilon));
    spec->rms_norm_eps = (float)epsilon;
    spec->qk_norm = architecture_traits(spec->architecture)->qk_norm;
    TRY(fields_bool(config, "tie_word_embeddings", &spec->tied_embeddings));
    if (spec->n_experts > 0) TRY(fields_bool(config, "norm_topk_prob", &spec->norm_topk_prob));
    return read_attention_bias(config, spec);
}

enum status hf_eos_read(const struct json_fields *config, struct model_spec *spec) {
    const int64_t count = fields_array_count(config, "eos_token_id");
    for (int64_t i = 0; i < count; i++) {
        int64_t id;
        TRY(fields_array_int(config, "eos_token_id", i, 0, spec->vocab_size - 1, &id));
        TRY(model_spec_add_eos(spec, config->path, (int32_t)id));
    }
    if (count >= 0) return STATUS_OK;
    int64_t id = -1;
    TRY(fields_int(config, "eos_token_id", 0, spec->vocab_size - 1, &id));
    return id < 0 ? STATUS_OK : model_spec_add_eos(spec, config->path, (int32_t)id);
}

static enum status read_config(const struct json_fields *config, struct model_spec *spec) {
    TRY(read_architecture(config, spec));
    TRY(refuse_unsupported(config, spec));
    TRY(read_counts(config, spec));
    TRY(read_switches(config, spec));
    TRY(hf_window_read(config, spec));
    TRY(hf_rope_read(config, spec));
    int64_t bos = -1;
    TRY(fields_int(config, "bos_token_id", 0, spec->vocab_size - 1, &bos));
    spec->bos_id = (int32_t)bos;
    TRY(hf_eos_read(config, spec));
    return model_spec_complete(spec, config->path);
}

enum status hf_config_parse(const char *text, size_t size, const char *path, struct model_spec *spec_out) {
    struct json_fields config;
    TRY(fields_parse(text, size, path, &config));
    struct model_spec spec = model_spec_empty();
    const enum status status = read_config(&config, &spec);
    fields_free(&config);
    if (status == STATUS_OK) *spec_out = spec;
    return status;
}

enum status hf_config_read(const char *path, struct model_spec *spec_out) {
    enum { MOST_BYTES = 16 << 20 };
    char inside[FILE_PATH_MAX];
    if (file_is_directory(path)) {
        TRY(file_join(path, "config.json", inside));
        path = inside;
    }
    struct bytes text;
    TRY(file_read_all(path, MOST_BYTES, &text));
    const enum status status = hf_config_parse(text.data, text.size, path, spec_out);
    bytes_free(&text);
    return status;
}

static enum status read_generation(const struct json_fields *config, struct model_spec *spec) {
    struct generation_defaults *generation = &spec->generation;
    TRY(hf_eos_read(config, spec));
    TRY(fields_bool(config, "do_sample", &generation->do_sample));
    TRY(fields_real(config, "temperature", 0, 100, &generation->temperature));
    TRY(fields_real(config, "top_p", 0, 1, &generation->top_p));
    TRY(fields_real(config, "min_p", 0, 1, &generation->min_p));
    TRY(fields_real(config, "repetition_penalty", 1e-3, 1e3, &generation->repetition_penalty));
    int64_t top_k = -1;
    TRY(fields_int(config, "top_k", 0, INT32_MAX, &top_k));
    generation->top_k = (int32_t)top_k;
    return STATUS_OK;
}

enum status hf_generation_parse(const char *text, size_t size, const char *path, struct model_spec *spec) {
    struct json_fields config;
    TRY(fields_parse(text, size, path, &config));
    const enum status status = read_generation(&config, spec);
    fields_free(&config);
    return status;
}
