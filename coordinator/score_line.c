#include "coordinator/score_line.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "coordinator/model_text.h"

enum { MAX_SHOWN_BYTES = 64 }; /* of foreign text in a sentence */

static enum status refuse_unknown_keys(json_t *object, int64_t number) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (strcmp(key, "ids") == 0 || strcmp(key, "text") == 0 || strcmp(key, "prompt_tokens") == 0 ||
            strcmp(key, "id") == 0)
            continue;
        char shown[MAX_SHOWN_BYTES];
        return FAIL(STATUS_BAD_INPUT,
                    "input line %lld: unknown key \"%s\"; the keys are ids, text, prompt_tokens, id",
                    (long long)number, utf8_printable(key, strlen(key), sizeof shown, shown));
    }
    return STATUS_OK;
}

static enum status check_length(const struct score_line *line, const struct score_context *context,
                                size_t n) {
    if (n == 0) return FAIL(STATUS_BAD_INPUT, "input line %lld has no tokens", (long long)line->number);
    if (n > (size_t)context->context_length)
        return FAIL(STATUS_BAD_INPUT, "input line %lld has %zu tokens, more than the context of %lld",
                    (long long)line->number, n, (long long)context->context_length);
    for (size_t i = 0; i < context->n_logits_positions; i++)
        if (context->logits_positions[i] >= (int64_t)n)
            return FAIL(STATUS_BAD_INPUT,
                        "--logits asks for position %lld, but input line %lld has %zu tokens",
                        (long long)context->logits_positions[i], (long long)line->number, n);
    return STATUS_OK;
}

static enum status read_ids(json_t *ids, const struct score_context *context, struct score_line *line) {
    if (!json_is_array(ids))
        return FAIL(STATUS_BAD_INPUT, "input line %lld: \"ids\" is no list", (long long)line->number);
    const size_t n = json_array_size(ids);
    TRY(check_length(line, context, n));
    line->ids = calloc(n + 1, sizeof *line->ids);
    if (!line->ids) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu token ids", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= context->vocab_size)
            return FAIL(STATUS_BAD_INPUT, "input line %lld: ids[%zu] is no token of this model (0 to %d)",
                        (long long)line->number, i, context->vocab_size - 1);
        line->ids[i] = (int32_t)value;
    }
    line->n = (int32_t)n;
    return STATUS_OK;
}

/* A tokenizer may know more tokens than the model. */
static enum status check_vocabulary(const struct token_list *tokens, const struct score_context *context,
                                    int64_t number) {
    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->ids[i] >= context->vocab_size)
            return FAIL(STATUS_BAD_INPUT,
                        "input line %lld: the tokenizer gave token %d, but the model's vocabulary ends at %d",
                        (long long)number, tokens->ids[i], context->vocab_size - 1);
    return STATUS_OK;
}

static enum status read_text(json_t *text, struct score_context *context, struct score_line *line) {
    if (!json_is_string(text))
        return FAIL(STATUS_BAD_INPUT, "input line %lld: \"text\" is no string", (long long)line->number);
    if (!context->tokenizer) TRY(model_text_open(context->model, &context->tokenizer));
    const struct tokenizer_encode_options options = {.add_special = true, .parse_special = true};
    struct token_list tokens = {0};
    enum status status = tokenizer_encode(context->tokenizer, json_string_value(text),
                                          json_string_length(text), options, &tokens);
    const size_t n = tokens.n;
    if (status == STATUS_OK) status = check_length(line, context, n);
    if (status == STATUS_OK) status = check_vocabulary(&tokens, context, line->number);
    if (status == STATUS_OK) status = token_list_append(&tokens, 0);
    if (status != STATUS_OK) {
        token_list_free(&tokens);
        return status;
    }
    line->ids = tokens.ids;
    line->n = (int32_t)n;
    return STATUS_OK;
}

static enum status read_prompt_tokens(json_t *object, struct score_line *line) {
    line->n_prompt = line->n;
    const json_t *prompt_tokens = json_object_get(object, "prompt_tokens");
    if (!prompt_tokens) return STATUS_OK;
    const json_int_t value = json_is_integer(prompt_tokens) ? json_integer_value(prompt_tokens) : 0;
    if (value < 1 || value > line->n)
        return FAIL(STATUS_BAD_INPUT,
                    "input line %lld: \"prompt_tokens\" must be from 1 to the %d tokens of the line",
                    (long long)line->number, line->n);
    line->n_prompt = (int32_t)value;
    return STATUS_OK;
}

/* A string or an integer: what is encoded again without loss. */
static enum status read_id(json_t *object, struct score_line *line) {
    json_t *id = json_object_get(object, "id");
    if (!id) return STATUS_OK;
    if (!json_is_string(id) && !json_is_integer(id))
        return FAIL(STATUS_BAD_INPUT, "input line %lld: \"id\" is neither a string nor an integer",
                    (long long)line->number);
    line->id_json = json_dumps(id, JSON_ENCODE_ANY);
    if (!line->id_json)
        return FAIL(STATUS_NO_MEMORY, "out of memory for the id of input line %lld", (long long)line->number);
    return STATUS_OK;
}

static enum status make_outputs(const struct score_context *context, struct score_line *line) {
    const size_t n = (size_t)line->n, n_logits = context->n_logits_positions * (size_t)context->vocab_size;
    line->logprobs = calloc(n, sizeof *line->logprobs);
    line->argmax = calloc(n, sizeof *line->argmax);
    line->logits = calloc(n_logits ? n_logits : 1, sizeof *line->logits);
    if (!line->logprobs || !line->argmax || !line->logits)
        return FAIL(STATUS_NO_MEMORY, "out of memory for the scores of input line %lld",
                    (long long)line->number);
    return STATUS_OK;
}

static enum status read_object(json_t *object, struct score_context *context, struct score_line *line) {
    if (!json_is_object(object))
        return FAIL(STATUS_BAD_INPUT, "input line %lld is no JSON object", (long long)line->number);
    TRY(refuse_unknown_keys(object, line->number));
    json_t *ids = json_object_get(object, "ids"), *text = json_object_get(object, "text");
    if (!ids == !text)
        return FAIL(STATUS_BAD_INPUT, "input line %lld needs either \"ids\" or \"text\"",
                    (long long)line->number);
    if (ids) TRY(read_ids(ids, context, line));
    if (text) TRY(read_text(text, context, line));
    TRY(read_prompt_tokens(object, line));
    TRY(read_id(object, line));
    return make_outputs(context, line);
}

enum status score_line_parse(const char *text, size_t size, int64_t number, struct score_context *context,
                             struct score_line *line_out) {
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        char shown[JSON_ERROR_TEXT_LENGTH];
        return FAIL(STATUS_BAD_INPUT, "input line %lld is not valid JSON: %s", (long long)number,
                    utf8_printable(error.text, strlen(error.text), sizeof shown, shown));
    }
    struct score_line line = {.number = number};
    const enum status status = read_object(object, context, &line);
    json_decref(object);
    if (status != STATUS_OK) {
        score_line_free(&line);
        return status;
    }
    *line_out = line;
    return STATUS_OK;
}

void score_line_free(struct score_line *line) {
    free(line->id_json);
    free(line->ids);
    free(line->logprobs);
    free(line->argmax);
    free(line->logits);
    recall_free(&line->recall);
    *line = (struct score_line){0};
}

/* Nine significant digits give every float back exactly. JSON has no infinity and no NaN: null. */
static enum status print_number(double value, struct bytes *text) {
    return isfinite(value) ? bytes_printf(text, "%.9g", value) : bytes_append_text(text, "null");
}

static enum status print_logits(const struct score_line *line, const struct score_context *context,
                                struct bytes *text) {
    TRY(bytes_append_text(text, ", \"logits\": {"));
    for (size_t i = 0; i < context->n_logits_positions; i++) {
        const float *row = line->logits + i * (size_t)context->vocab_size;
        TRY(bytes_printf(text, "%s\"%lld\": [", i ? ", " : "", (long long)context->logits_positions[i]));
        for (int32_t token = 0; token < context->vocab_size; token++) {
            if (token) TRY(bytes_append_text(text, ", "));
            TRY(print_number((double)row[token], text));
        }
        TRY(bytes_append_text(text, "]"));
    }
    return bytes_append_text(text, "}");
}

static enum status print_logprobs(const struct score_line *line, struct bytes *text) {
    TRY(bytes_append_text(text, ", \"logprobs\": ["));
    for (int32_t i = 0; i + 1 < line->n; i++) {
        TRY(print_number((double)line->logprobs[i], text));
        TRY(bytes_append_text(text, ", "));
    }
    return bytes_append_text(text, "null]");
}

static enum status print_recall(const struct score_line *line, struct bytes *text) {
    json_t *object = recall_json(&line->recall);
    char *encoded = json_dumps(object, JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!encoded) return FAIL(STATUS_NO_MEMORY, "out of memory for input line %lld", (long long)line->number);
    const enum status status = bytes_printf(text, ", \"recall\": %s", encoded);
    free(encoded);
    return status;
}

static enum status print_argmax(const struct score_line *line, struct bytes *text) {
    TRY(bytes_append_text(text, ", \"argmax\": ["));
    for (int32_t i = 0; i < line->n; i++)
        TRY(bytes_printf(text, "%s%d", i ? ", " : "", line->argmax[i]));
    return bytes_append_text(text, "]");
}

static double perplexity(const struct score_line *line) {
    if (line->n < 2) return NAN;
    double sum = 0;
    for (int32_t i = 0; i + 1 < line->n; i++)
        sum += (double)line->logprobs[i];
    return exp(-sum / (line->n - 1));
}

enum status score_line_print(const struct score_line *line, const struct score_context *context,
                             struct bytes *text) {
    TRY(bytes_append_text(text, "{"));
    if (line->id_json) {
        TRY(bytes_append_text(text, "\"id\": "));
        TRY(bytes_append_text(text, line->id_json));
        TRY(bytes_append_text(text, ", "));
    }
    TRY(bytes_printf(text, "\"tokens\": %d, \"prompt_tokens\": %d", line->n, line->n_prompt));
    TRY(print_logprobs(line, text));
    TRY(print_argmax(line, text));
    TRY(bytes_append_text(text, ", \"perplexity\": "));
    TRY(print_number(perplexity(line), text));
    if (line->recall.memory) TRY(print_recall(line, text));
    if (context->n_logits_positions > 0) TRY(print_logits(line, context, text));
    return bytes_append_text(text, "}\n");
}
