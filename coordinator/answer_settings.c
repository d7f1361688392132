#include "coordinator/answer_settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
#include "coordinator/generation_defaults.h"
#include "coordinator/json_build.h"
#include "coordinator/model_text.h"

/* ---- the model ---- */

static enum status add_row(const struct model_file *model, enum tensor_role role, int layer,
                           uint64_t *fingerprint) {
    const struct tensor_ref *tensor = model_file_tensor(model, role, layer, 0);
    if (!tensor) return STATUS_OK;
    const size_t size = dtype_bytes(tensor->dtype, tensor->cols);
    void *row = malloc(size);
    if (!row) return FAIL(STATUS_NO_MEMORY, "out of memory for a row of %s", tensor->name);
    const enum status status = model_file_read(model, tensor, 0, 1, 0, tensor->cols, row);
    if (status == STATUS_OK) *fingerprint = fingerprint_add(*fingerprint, row, size);
    free(row);
    return status;
}

/* Of shapes and sizes, and the first rows of some matrices of every layer: another training changes all. */
static enum status model_fingerprint(const struct model_file *model, uint64_t *fingerprint_out) {
    static const enum tensor_role roles[] = {TENSOR_ATTENTION_NORM, TENSOR_Q, TENSOR_V, TENSOR_O,
                                             TENSOR_DOWN};
    uint64_t fingerprint = model_file_fingerprint(model);
    TRY(add_row(model, TENSOR_TOKEN_EMBEDDING, 0, &fingerprint));
    TRY(add_row(model, TENSOR_FINAL_NORM, 0, &fingerprint));
    for (int layer = 0; layer < model_file_spec(model)->n_layers; layer++)
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
            TRY(add_row(model, roles[i], layer, &fingerprint));
    *fingerprint_out = fingerprint;
    return STATUS_OK;
}

/* ---- settings ---- */

/* As text, so that what is read back is equal. */
static json_t *with_real(json_t *object, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.15g", value);
    return json_with(object, key, json_string(text));
}

static json_t *with_text(json_t *object, const char *key, const char *text) {
    return json_with(object, key, text ? json_lossy_text(text, strlen(text)) : json_string(""));
}

static json_t *texts_json(struct text_list list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (json_array_append_new(array, json_lossy_text(list.items[i], strlen(list.items[i]))) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *with_sampling(json_t *object, const struct config *config, const struct model_spec *spec) {
    const struct generation_options options = generation_options_from(config, &spec->generation, 0);
    object = with_real(object, "temperature", options.sampler.temperature);
    object = json_with(object, "top-k", json_integer(options.sampler.top_k));
    object = with_real(object, "top-p", options.sampler.top_p);
    object = with_real(object, "min-p", options.sampler.min_p);
    object = with_real(object, "repetition-penalty", options.sampler.repetition_penalty);
    object = json_with(object, "seed", json_sprintf("%" PRIu64, config->seed));
    object = json_with(object, "max-tokens", json_integer(config->max_tokens));
    object = json_with(object, "stop", texts_json(config->stop));
    return json_with(object, "ignore-eos", json_boolean(config->ignore_eos));
}

static json_t *with_prompts(json_t *object, const struct config *config, enum chat_format format) {
    object = with_text(object, "chat-format", chat_format_name(format));
    object = with_text(object, "system", config->system_prompt);
    object = with_text(object, "prompt-suffix", config->prompt_suffix);
    return json_with(object, "thinking", json_boolean(config->thinking));
}

static json_t *with_engine(json_t *object, const struct config *config, const struct model_spec *spec) {
    const int64_t context = config->context > 0 ? config->context : spec->context_length;
    const int32_t window = config->sliding_window >= 0 ? config->sliding_window : spec->sliding_window;
    const char *weights = config->weights == DTYPE_COUNT ? "file" : dtype_layout(config->weights)->name;
    object = json_with(object, "context", json_integer(context));
    object = json_with(object, "sliding-window", json_integer(window));
    object = with_text(object, "weights", weights);
    object = with_text(object, "kv-type", dtype_layout(config->kv_type)->name);
    return with_text(object, "numerics", config->numerics == NUMERICS_FAST ? "fast" : "reproducible");
}

enum status answer_settings_of(const struct config *config, const struct model_file *model,
                               enum chat_format format, json_t **settings_out) {
    const struct model_spec *spec = model_file_spec(model);
    uint64_t fingerprint;
    TRY(model_fingerprint(model, &fingerprint));
    json_t *settings = json_with(json_object(), "model", json_sprintf("%016" PRIx64, fingerprint));
    settings = with_prompts(settings, config, format);
    settings = with_sampling(settings, config, spec);
    settings = with_engine(settings, config, spec);
    *settings_out = settings;
    return settings ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for the settings");
}

enum status answer_settings_create(const struct config *config, json_t **settings_out) {
    struct model_file *model = NULL;
    struct tokenizer *tokenizer = NULL;
    enum chat_format format;
    enum status status;
    TRY(model_file_open(config->model, &model));
    TRY_GOTO(model_text_open(config->model, &tokenizer), close);
    TRY_GOTO(model_text_chat_format(config, tokenizer, &format), close);
    status = answer_settings_of(config, model, format, settings_out);
close:
    tokenizer_close(tokenizer);
    model_file_close(model);
    return status;
}

enum status answer_settings_header(const struct line_format *format, const struct config *config,
                                   json_t *settings, json_t **header_out) {
    json_t *header = json_with(json_object(), format->key, json_integer(format->version));
    header = json_with(header, "version", json_string(CAUCUS_VERSION));
    header = with_text(header, "model", config->model);
    if (config->problems.n > 0) header = json_with(header, "problems", texts_json(config->problems));
    header = json_with(header, "settings", json_incref(settings));
    *header_out = header;
    return header ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a header");
}
