/* Rotary embeddings as transformers 5 reads them (modeling_rope_utils.py), from `rope_parameters` or the
 * older `rope_theta` and `rope_scaling`. */
#include <string.h>

#include "modelfile/hf_config_impl.h"
#include "modelfile/model_spec_impl.h"

static const double MAX_FACTOR = 1e6;
static const double MIN_POSITIVE = 1e-6;

static enum status read_required(const struct json_fields *rope, const char *key, double *value) {
    if (!fields_have(rope, key)) return fields_missing(rope, key);
    return fields_real(rope, key, MIN_POSITIVE, MAX_FACTOR, value);
}

/* The field beside the scaling wins over the one inside; the context length stands in for both. */
static enum status read_original_context(const struct json_fields *config, const struct json_fields *rope,
                                         struct model_spec *spec) {
    spec->rope.original_context = spec->context_length;
    TRY(fields_real(rope, "original_max_position_embeddings", 1, 1 << 30, &spec->rope.original_context));
    return fields_real(config, "original_max_position_embeddings", 1, 1 << 30, &spec->rope.original_context);
}

static enum status read_llama3(const struct json_fields *config, const struct json_fields *rope,
                               struct model_spec *spec) {
    struct rope_spec *out = &spec->rope;
    TRY(read_required(rope, "factor", &out->factor));
    TRY(read_required(rope, "low_freq_factor", &out->low_freq_factor));
    TRY(read_required(rope, "high_freq_factor", &out->high_freq_factor));
    if (out->high_freq_factor <= out->low_freq_factor)
        return FAIL(STATUS_BAD_INPUT, "%s: %s.high_freq_factor %g is not above low_freq_factor %g",
                    config->path, rope->section, out->high_freq_factor, out->low_freq_factor);
    return read_original_context(config, rope, spec);
}

/* attention_factor, or a ratio of mscales where both are given, or the paper's value. */
static enum status read_yarn_attention(const struct json_fields *rope, struct rope_spec *out) {
    double mscale = 0, mscale_all_dim = 0;
    TRY(fields_real(rope, "mscale", 0, 100, &mscale));
    TRY(fields_real(rope, "mscale_all_dim", 0, 100, &mscale_all_dim));
    out->attention_factor = yarn_mscale(out->factor, 1);
    if (mscale != 0 && mscale_all_dim != 0)
        out->attention_factor = yarn_mscale(out->factor, mscale) / yarn_mscale(out->factor, mscale_all_dim);
    return fields_real(rope, "attention_factor", MIN_POSITIVE, 1000, &out->attention_factor);
}

static enum status read_yarn(const struct json_fields *config, const struct json_fields *rope,
                             struct model_spec *spec) {
    struct rope_spec *out = &spec->rope;
    TRY(read_original_context(config, rope, spec));
    out->factor = spec->context_length / out->original_context; /* where `factor` is null */
    TRY(fields_real(rope, "factor", MIN_POSITIVE, MAX_FACTOR, &out->factor));
    TRY(read_yarn_attention(rope, out));
    TRY(fields_real(rope, "beta_fast", 0, MAX_FACTOR, &out->beta_fast));
    TRY(fields_real(rope, "beta_slow", 0, MAX_FACTOR, &out->beta_slow));
    if (out->beta_fast == 0) out->beta_fast = 32; /* 0 counts as not given, as in `or 32` */
    if (out->beta_slow == 0) out->beta_slow = 1;
    if (out->beta_fast < out->beta_slow)
        return FAIL(STATUS_BAD_INPUT, "%s: %s.beta_fast %g is below beta_slow %g", config->path,
                    rope->section, out->beta_fast, out->beta_slow);
    TRY(fields_bool(rope, "truncate", &out->truncate));
    model_spec_stretch_context(spec);
    return STATUS_OK;
}

static enum status read_scaling(const struct json_fields *config, const struct json_fields *rope,
                                struct model_spec *spec) {
    const char *key = fields_have(rope, "rope_type") ? "rope_type" : "type";
    const char *type = "default";
    TRY(fields_text(rope, key, &type));
    if (strcmp(type, "default") == 0) return STATUS_OK;
    if (strcmp(type, "linear") == 0) {
        spec->rope.scaling = ROPE_LINEAR;
        return read_required(rope, "factor", &spec->rope.factor);
    }
    if (strcmp(type, "llama3") == 0) {
        spec->rope.scaling = ROPE_LLAMA3;
        return read_llama3(config, rope, spec);
    }
    if (strcmp(type, "yarn") == 0) {
        spec->rope.scaling = ROPE_YARN;
        return read_yarn(config, rope, spec);
    }
    return fields_unsupported(rope, key);
}

/* One set of parameters per kind of layer nests objects; only one set for all layers is supported. */
static enum status refuse_nested(const struct json_fields *rope) {
    static const char *const kinds[] = {"full_attention", "sliding_attention"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (fields_have(rope, kinds[i])) return fields_unsupported(rope, kinds[i]);
    return STATUS_OK;
}

enum status hf_rope_read(const struct json_fields *config, struct model_spec *spec) {
    struct json_fields rope;
    TRY(fields_object(config, "rope_scaling", &rope));
    if (!rope.object || fields_count(&rope) == 0) TRY(fields_object(config, "rope_parameters", &rope));
    spec->rope.theta = 10000; /* transformers' default */
    TRY(fields_real(config, "rope_theta", 1.001, 1e15, &spec->rope.theta));
    if (!rope.object) return STATUS_OK;

    TRY(refuse_nested(&rope));
    TRY(fields_real(&rope, "rope_theta", 1.001, 1e15, &spec->rope.theta));
    double rotary_share = 1;
    TRY(fields_real(&rope, "partial_rotary_factor", 0, 1, &rotary_share));
    if (rotary_share != 1) return fields_unsupported(&rope, "partial_rotary_factor");
    return read_scaling(config, &rope, spec);
}
