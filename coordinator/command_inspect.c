/* caucus inspect: what a model's files say. One report is built as JSON; without --json it is printed as
 * lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/commands.h"
#include "coordinator/json_print.h"
#include "coordinator/model_text.h"
#include "modelfile/model_file.h"

static json_t *json_rope(const struct rope_spec *rope) {
    switch (rope->scaling) {
    case ROPE_PLAIN:
        break;
    case ROPE_FACTORS:
        return json_pack("{s:s, s:f}", "scaling", "factors in the file", "theta", rope->theta);
    case ROPE_LINEAR:
        return json_pack("{s:s, s:f, s:f}", "scaling", "linear", "theta", rope->theta, "factor",
                         rope->factor);
    case ROPE_LLAMA3:
        return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "scaling", "llama3", "theta", rope->theta,
                         "factor", rope->factor, "low_freq_factor", rope->low_freq_factor, "high_freq_factor",
                         rope->high_freq_factor, "original_context", rope->original_context);
    case ROPE_YARN:
        return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "scaling", "yarn", "theta", rope->theta,
                         "factor", rope->factor, "original_context", rope->original_context, "beta_fast",
                         rope->beta_fast, "beta_slow", rope->beta_slow, "attention_factor",
                         rope->attention_factor);
    }
    return json_pack("{s:s, s:f}", "scaling", "none", "theta", rope->theta);
}

static json_t *json_eos(const struct model_spec *spec) {
    json_t *ids = json_array();
    for (int i = 0; i < spec->n_eos; i++)
        json_array_append_new(ids, json_integer(spec->eos_ids[i]));
    return ids;
}

static json_t *json_experts(const struct model_spec *spec) {
    if (spec->n_experts == 0) return json_null();
    return json_pack("{s:i, s:i, s:i, s:b}", "count", (int)spec->n_experts, "used", (int)spec->n_experts_used,
                     "size", (int)spec->expert_size, "norm_topk_prob", spec->norm_topk_prob);
}

/* A float as its shortest decimals: 1e-05, not 9.99999974737875e-06. */
static double as_written(float value) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)value);
    return strtod(text, NULL);
}

static json_t *json_spec(const struct model_spec *spec) {
    return json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:f, s:b, s:b, s:b, s:b, s:o, s:o, s:i, s:o}",
        "name", spec->name, "architecture", model_architecture_name(spec->architecture), "layers",
        (int)spec->n_layers, "hidden_size", (int)spec->hidden_size, "heads", (int)spec->n_heads, "kv_heads",
        (int)spec->n_kv_heads, "head_dim", (int)spec->head_dim, "mlp_size", (int)spec->mlp_size, "vocab_size",
        (int)spec->vocab_size, "context_length", (int)spec->context_length, "sliding_window",
        spec->sliding_window ? json_integer(spec->sliding_window) : json_null(), "rms_norm_eps",
        as_written(spec->rms_norm_eps), "tied_embeddings", spec->tied_embeddings, "attention_bias",
        spec->attention_bias, "output_bias", spec->output_bias, "qk_norm", spec->qk_norm, "experts",
        json_experts(spec), "rope", json_rope(&spec->rope), "bos_id", (int)spec->bos_id, "eos_ids",
        json_eos(spec));
}

static const char *chat_format_text(const struct tokenizer *tokenizer) {
    enum chat_format format;
    const char *template_source = tokenizer_chat_template(tokenizer);
    if (!template_source) return "none";
    return chat_format_detect(template_source, &format) == STATUS_OK ? chat_format_name(format) : "unknown";
}

/* A model without a tokenizer can be run and scored by ids: say why there is none, and go on. */
static json_t *json_tokenizer(const char *path) {
    struct tokenizer *tokenizer = NULL;
    if (model_text_open(path, &tokenizer) != STATUS_OK)
        return json_pack("{s:s}", "problem", status_message());
    json_t *report =
        json_pack("{s:s, s:i, s:i, s:i, s:s}", "kind", tokenizer_kind(tokenizer), "vocab_size",
                  (int)tokenizer_vocab_size(tokenizer), "bos_id", (int)tokenizer_bos_id(tokenizer), "eos_id",
                  (int)tokenizer_eos_id(tokenizer), "chat_format", chat_format_text(tokenizer));
    tokenizer_close(tokenizer);
    return report;
}

static int64_t element_count(const struct tensor_listing *tensor) {
    int64_t n = 1;
    for (int i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

/* totals: {"f32": elements, …} */
static void count_tensor(json_t *totals, const struct tensor_listing *tensor) {
    const json_int_t before = json_integer_value(json_object_get(totals, tensor->dtype_name));
    json_object_set_new(totals, tensor->dtype_name, json_integer(before + element_count(tensor)));
}

static json_t *json_totals(const struct model_file *model) {
    json_int_t parameters = 0, bytes = 0;
    json_t *dtypes = json_object();
    const size_t n = model_file_tensor_count(model);
    for (size_t i = 0; i < n; i++) {
        const struct tensor_listing tensor = model_file_tensor_listing(model, i);
        parameters += element_count(&tensor);
        bytes += (json_int_t)tensor.bytes;
        count_tensor(dtypes, &tensor);
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "parameters", parameters, "tensors", (json_int_t)n,
                     "tensor_bytes", bytes, "parameters_by_type", dtypes);
}

static json_t *json_tensors(const struct model_file *model) {
    json_t *list = json_array();
    for (size_t i = 0; i < model_file_tensor_count(model); i++) {
        const struct tensor_listing tensor = model_file_tensor_listing(model, i);
        json_t *shape = json_array();
        for (int j = 0; j < tensor.n_dims; j++)
            json_array_append_new(shape, json_integer(tensor.shape[j]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:I}", "name", tensor.name, "type",
                                              tensor.dtype_name, "shape", shape, "bytes",
                                              (json_int_t)tensor.bytes));
    }
    return list;
}

static json_t *json_report(const struct config *config, const struct model_file *model) {
    json_t *report = json_pack("{s:s}", "path", config->model);
    json_object_update_new(report, json_spec(model_file_spec(model)));
    json_object_update_new(report, json_totals(model));
    json_object_set_new(report, "tokenizer", json_tokenizer(config->model));
    if (config->show_tensors) json_object_set_new(report, "tensor_list", json_tensors(model));
    return report;
}

/* Scalars as they are, lists as "1 2 3", objects as "name value, name value"; nothing here nests deeper. */
static void print_scalar(const json_t *value) {
    if (json_is_string(value)) printf("%s", json_string_value(value));
    if (json_is_integer(value)) printf("%lld", (long long)json_integer_value(value));
    if (json_is_real(value)) printf("%g", json_real_value(value));
    if (json_is_boolean(value)) printf("%s", json_is_true(value) ? "yes" : "no");
    if (json_is_null(value)) printf("none");
}

static void print_value(json_t *value) {
    const char *key, *separator = "";
    size_t i;
    json_t *item;
    if (!json_is_object(value) && !json_is_array(value)) print_scalar(value);
    if (json_is_array(value) && json_array_size(value) == 0) printf("none");
    json_array_foreach(value, i, item) {
        printf("%s", i ? " " : "");
        print_scalar(item);
    }
    json_object_foreach(value, key, item) {
        printf("%s%s ", separator, key);
        print_scalar(item);
        separator = ", ";
    }
}

static void print_tensor_list(json_t *list) {
    size_t i;
    json_t *tensor;
    putchar('\n');
    json_array_foreach(list, i, tensor) {
        printf("%-48s %-5s %12lld bytes  [", json_string_value(json_object_get(tensor, "name")),
               json_string_value(json_object_get(tensor, "type")),
               (long long)json_integer_value(json_object_get(tensor, "bytes")));
        print_value(json_object_get(tensor, "shape"));
        printf("]\n");
    }
}

static void print_report(json_t *report) {
    const char *key;
    json_t *value;
    json_object_foreach(report, key, value) {
        if (strcmp(key, "tensor_list") == 0) continue;
        printf("%-20s", key);
        print_value(value);
        putchar('\n');
    }
    json_t *tensors = json_object_get(report, "tensor_list");
    if (tensors) print_tensor_list(tensors);
}

enum status command_inspect(const struct config *config) {
    struct model_file *model = NULL;
    TRY(model_file_open(config->model, &model));
    json_t *report = json_report(config, model);
    model_file_close(model);
    if (config->json || !report) return json_print(report, true);
    print_report(report);
    json_decref(report);
    return STATUS_OK;
}
