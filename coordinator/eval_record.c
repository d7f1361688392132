#include "coordinator/eval_record.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/json_build.h"
#include "coordinator/line_file.h"

enum { MAX_LAYERS = 65536 };

static const int64_t MAX_COUNT = INT64_C(1) << 53; /* what a double holds too */
static const double MAX_NUMBER = 1e300;

/* ---- printing ---- */

static json_t *text_json(const char *text) {
    return text ? json_lossy_text(text, strlen(text)) : json_null();
}

static json_t *not_negative(double value) {
    return value >= 0 ? json_real(value) : json_null();
}

static json_t *budget_json(const struct eval_method *method) {
    return method->budget > 0 ? json_integer(method->budget) : json_null();
}

static json_t *fingerprint_json(uint64_t fingerprint) {
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, fingerprint);
    return json_string(digits);
}

/* [[context, seconds per token, KV bytes], …] */
static json_t *series_json(const struct eval_record *record) {
    json_t *series = json_array();
    for (size_t i = 0; i < record->n_series; i++) {
        json_t *point = json_appended(json_array(), json_integer(record->series[i].context));
        point = json_appended(point, not_negative(record->series[i].seconds_per_token));
        series = json_appended(series, json_appended(point, json_integer(record->series[i].kv_bytes)));
    }
    return series;
}

static json_t *recall_json(const struct eval_record *record) {
    json_t *recall = json_array();
    for (size_t i = 0; i < record->n_recall; i++)
        recall = json_appended(recall, not_negative(record->recall[i]));
    return recall;
}

static json_t *question_json(const struct eval_record *record, json_t *object) {
    object = json_with(object, "policy", json_string(record->method.policy));
    object = json_with(object, "budget", budget_json(&record->method));
    object = json_with(object, "options", json_string(record->method.options));
    object = json_with(object, "problem", json_integer(record->problem));
    object = json_with(object, "fingerprint", fingerprint_json(record->fingerprint));
    if (record->id_json) object = json_with(object, "id", json_loads(record->id_json, JSON_DECODE_ANY, NULL));
    if (record->steps >= 0) object = json_with(object, "steps", json_integer(record->steps));
    object = json_with(object, "sample", json_integer(record->sample));
    return json_with(object, "seed", json_integer((json_int_t)record->seed));
}

static json_t *record_json(const struct eval_record *record) {
    json_t *object = question_json(record, json_object());
    object = json_with(object, "expected", text_json(record->expected));
    object = json_with(object, "answer", text_json(record->answer));
    object = json_with(object, "correct", json_boolean(record->correct));
    object = json_with(object, "finish", json_string(record->finish));
    object = json_with(object, "prompt_tokens", json_integer(record->n_prompt));
    object = json_with(object, "tokens", json_integer(record->n_generated));
    object = json_with(object, "attended", not_negative(record->attended));
    object = json_with(object, "kv_bytes", json_integer(record->kv_bytes));
    object = json_with(object, "seconds", json_real(record->seconds));
    object = json_with(object, "share_seconds", json_real(record->share_seconds));
    object = json_with(object, "series", series_json(record));
    if (record->n_recall > 0) object = json_with(object, "recall", recall_json(record));
    if (record->probe_every > 0) object = json_with(object, "probe_every", json_integer(record->probe_every));
    return record->text ? json_with(object, "text", text_json(record->text)) : object;
}

enum status eval_record_print(const struct eval_record *record, struct bytes *line) {
    json_t *object = record_json(record);
    char *encoded = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!encoded) return FAIL(STATUS_NO_MEMORY, "out of memory for a result");
    const enum status status = bytes_printf(line, "%s\n", encoded);
    free(encoded);
    return status;
}

/* ---- parsing ---- */

struct source {
    const json_t *object;
    const char *name;
};

static enum status refuse(const struct source *source, const char *field) {
    return FAIL(STATUS_BAD_INPUT, "%s: \"%s\" is missing or not what eval writes", source->name, field);
}

static enum status read_integer(const struct source *source, const char *field, int64_t min, int64_t max,
                                int64_t *value_out) {
    const json_t *value = json_object_get(source->object, field);
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return refuse(source, field);
    *value_out = json_integer_value(value);
    return STATUS_OK;
}

/* A number from 0; null is -1. */
static enum status number_of(const struct source *source, const char *field, const json_t *value,
                             double *value_out) {
    const double number = json_is_null(value) ? -1 : json_number_value(value);
    const bool ok = json_is_null(value) || (json_is_number(value) && number >= 0 && number <= MAX_NUMBER);
    if (!ok) return refuse(source, field);
    *value_out = number;
    return STATUS_OK;
}

static enum status read_number(const struct source *source, const char *field, double *value_out) {
    return number_of(source, field, json_object_get(source->object, field), value_out);
}

static enum status read_short(const struct source *source, const char *field, char *text, size_t room) {
    const char *value = json_string_value(json_object_get(source->object, field));
    if (!value || strlen(value) >= room) return refuse(source, field);
    memcpy(text, value, strlen(value) + 1);
    return STATUS_OK;
}

/* null is NULL, where that is allowed. */
static enum status read_text(const struct source *source, const char *field, bool optional, char **text_out) {
    const json_t *value = json_object_get(source->object, field);
    if (optional && json_is_null(value)) return STATUS_OK;
    if (!json_is_string(value)) return refuse(source, field);
    *text_out = strdup(json_string_value(value));
    return *text_out ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for %s", source->name);
}

static enum status read_method(const struct source *source, struct eval_method *method) {
    int64_t budget = 0;
    TRY(read_short(source, "policy", method->policy, sizeof method->policy));
    TRY(read_short(source, "options", method->options, sizeof method->options));
    if (!json_is_null(json_object_get(source->object, "budget")))
        TRY(read_integer(source, "budget", 1, INT32_MAX, &budget));
    method->budget = (int32_t)budget;
    return STATUS_OK;
}

static enum status read_fingerprint(const struct source *source, uint64_t *fingerprint_out) {
    char digits[17];
    TRY(read_short(source, "fingerprint", digits, sizeof digits));
    if (strlen(digits) != 16 || strspn(digits, "0123456789abcdef") != 16)
        return refuse(source, "fingerprint");
    *fingerprint_out = strtoull(digits, NULL, 16);
    return STATUS_OK;
}

static enum status read_point(const struct source *source, const json_t *value, struct eval_point *point) {
    const json_t *context = json_array_get(value, 0), *kv_bytes = json_array_get(value, 2);
    if (json_array_size(value) != 3 || !json_is_integer(context) || !json_is_integer(kv_bytes))
        return refuse(source, "series");
    point->context = json_integer_value(context);
    point->kv_bytes = json_integer_value(kv_bytes);
    if (point->context < 0 || point->context > MAX_COUNT || point->kv_bytes < 0)
        return refuse(source, "series");
    return number_of(source, "series", json_array_get(value, 1), &point->seconds_per_token);
}

static enum status read_series(const struct source *source, struct eval_record *record) {
    const json_t *series = json_object_get(source->object, "series");
    const size_t n = json_array_size(series);
    if (!json_is_array(series)) return refuse(source, "series");
    record->series = calloc(n + 1, sizeof *record->series);
    if (!record->series) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", source->name);
    record->n_series = n;
    for (size_t i = 0; i < n; i++)
        TRY(read_point(source, json_array_get(series, i), &record->series[i]));
    return STATUS_OK;
}

static enum status read_recall(const struct source *source, struct eval_record *record) {
    const json_t *recall = json_object_get(source->object, "recall");
    const size_t n = json_array_size(recall);
    if (!recall) return STATUS_OK;
    if (!json_is_array(recall) || n > MAX_LAYERS) return refuse(source, "recall");
    record->recall = calloc(n + 1, sizeof *record->recall);
    if (!record->recall) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", source->name);
    record->n_recall = n;
    for (size_t i = 0; i < n; i++)
        TRY(number_of(source, "recall", json_array_get(recall, i), &record->recall[i]));
    return STATUS_OK;
}

static enum status read_id(const struct source *source, struct eval_record *record) {
    const json_t *id = json_object_get(source->object, "id");
    if (!id) return STATUS_OK;
    if (!json_is_string(id) && !json_is_integer(id)) return refuse(source, "id");
    record->id_json = json_dumps(id, JSON_ENCODE_ANY);
    return record->id_json ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for %s", source->name);
}

static enum status read_outcome(const struct source *source, struct eval_record *record) {
    const json_t *correct = json_object_get(source->object, "correct");
    if (!json_is_boolean(correct)) return refuse(source, "correct");
    record->correct = json_is_true(correct);
    TRY(read_text(source, "expected", false, &record->expected));
    TRY(read_text(source, "answer", true, &record->answer));
    TRY(read_text(source, "finish", false, &record->finish));
    TRY(read_integer(source, "prompt_tokens", 0, MAX_COUNT, &record->n_prompt));
    TRY(read_integer(source, "tokens", 0, MAX_COUNT, &record->n_generated));
    TRY(read_integer(source, "kv_bytes", 0, INT64_MAX, &record->kv_bytes));
    TRY(read_number(source, "attended", &record->attended));
    TRY(read_number(source, "seconds", &record->seconds));
    TRY(read_number(source, "share_seconds", &record->share_seconds));
    TRY(read_series(source, record));
    if (json_object_get(source->object, "probe_every"))
        TRY(read_integer(source, "probe_every", 1, INT32_MAX, &record->probe_every));
    return read_recall(source, record);
}

static enum status read_record(const struct source *source, struct eval_record *record) {
    int64_t seed = 0;
    TRY(read_method(source, &record->method));
    TRY(read_integer(source, "problem", 0, MAX_COUNT, &record->problem));
    TRY(read_fingerprint(source, &record->fingerprint));
    TRY(read_integer(source, "sample", 0, MAX_COUNT, &record->sample));
    TRY(read_integer(source, "seed", 0, INT64_MAX, &seed));
    record->seed = (uint64_t)seed;
    record->steps = -1;
    if (json_object_get(source->object, "steps"))
        TRY(read_integer(source, "steps", 0, INT64_MAX, &record->steps));
    TRY(read_id(source, record));
    return read_outcome(source, record);
}

enum status eval_record_parse(const char *text, size_t size, const char *name,
                              struct eval_record *record_out) {
    json_t *object;
    TRY(line_parse(text, size, name, &object));
    struct eval_record record = {0};
    const enum status status = read_record(&(struct source){object, name}, &record);
    json_decref(object);
    if (status != STATUS_OK) {
        eval_record_free(&record);
        return status;
    }
    *record_out = record;
    return STATUS_OK;
}

void eval_record_free(struct eval_record *record) {
    free(record->id_json);
    free(record->expected);
    free(record->answer);
    free(record->finish);
    free(record->series);
    free(record->recall);
    free(record->text);
    *record = (struct eval_record){0};
}
