#include "modelfile/json_fields_impl.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "modelfile/model_spec_impl.h"

enum { MAX_DEPTH = 64 };

/* The parser below recurses, so the depth is bounded before it runs. */
static bool too_deep(const char *text, size_t size) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

enum status fields_parse(const char *text, size_t size, const char *path, struct json_fields *root_out) {
    if (too_deep(text, size))
        return FAIL(STATUS_BAD_INPUT, "%s: JSON nested deeper than %d levels", path, MAX_DEPTH);
    if (!utf8_is_valid(text, size)) return FAIL(STATUS_BAD_INPUT, "%s is not valid UTF-8", path);
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        char reason[JSON_ERROR_TEXT_LENGTH]; /* it quotes the file */
        model_text_copy(error.text, strlen(error.text), reason, sizeof reason);
        return FAIL(STATUS_BAD_INPUT, "%s is not valid JSON: %s (line %d, column %d)", path, reason,
                    error.line, error.column);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return FAIL(STATUS_BAD_INPUT, "%s: the JSON document is not an object", path);
    }
    *root_out = (struct json_fields){root, path, ""};
    return STATUS_OK;
}

void fields_free(struct json_fields *root) {
    json_decref(root->object);
    root->object = NULL;
}

static const json_t *find(const struct json_fields *fields, const char *key) {
    const json_t *value = json_object_get(fields->object, key);
    return value && !json_is_null(value) ? value : NULL;
}

bool fields_have(const struct json_fields *fields, const char *key) {
    return find(fields, key) != NULL;
}

bool fields_have_null(const struct json_fields *fields, const char *key) {
    return json_is_null(json_object_get(fields->object, key));
}

/* "config.json: rope_scaling.factor is "x", but must be …". The value is cut to one line's length. */
static enum status wrong(const struct json_fields *fields, const char *key, const json_t *value,
                         const char *must) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    const enum status status =
        FAIL(STATUS_BAD_INPUT, "%s: %s%s%s is %.80s, but must be %s", fields->path, fields->section,
             fields->section[0] ? "." : "", key, text ? text : "(unprintable)", must);
    free(text);
    return status;
}

enum status fields_missing(const struct json_fields *fields, const char *key) {
    return FAIL(STATUS_BAD_INPUT, "%s: %s%s%s is missing", fields->path, fields->section,
                fields->section[0] ? "." : "", key);
}

enum status fields_unsupported(const struct json_fields *fields, const char *key) {
    char *text =
        json_dumps(json_object_get(fields->object, key), JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    const enum status status =
        FAIL(STATUS_BAD_INPUT, "%s: %s%s%s = %.80s is not supported", fields->path, fields->section,
             fields->section[0] ? "." : "", key, text ? text : "null");
    free(text);
    return status;
}

static enum status take_int(const struct json_fields *fields, const char *key, const json_t *value,
                            int64_t min, int64_t max, int64_t *value_out) {
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        char must[80];
        snprintf(must, sizeof must, "a whole number from %lld to %lld", (long long)min, (long long)max);
        return wrong(fields, key, value, must);
    }
    *value_out = json_integer_value(value);
    return STATUS_OK;
}

enum status fields_int(const struct json_fields *fields, const char *key, int64_t min, int64_t max,
                       int64_t *value) {
    const json_t *field = find(fields, key);
    return field ? take_int(fields, key, field, min, max, value) : STATUS_OK;
}

enum status fields_real(const struct json_fields *fields, const char *key, double min, double max,
                        double *value) {
    const json_t *field = find(fields, key);
    if (!field) return STATUS_OK;
    const double number = json_number_value(field);
    if (!json_is_number(field) || !isfinite(number) || number < min || number > max) {
        char must[80];
        snprintf(must, sizeof must, "a number from %g to %g", min, max);
        return wrong(fields, key, field, must);
    }
    *value = number;
    return STATUS_OK;
}

enum status fields_bool(const struct json_fields *fields, const char *key, bool *value) {
    const json_t *field = find(fields, key);
    if (!field) return STATUS_OK;
    if (!json_is_boolean(field)) return wrong(fields, key, field, "true or false");
    *value = json_is_true(field);
    return STATUS_OK;
}

enum status fields_text(const struct json_fields *fields, const char *key, const char **value) {
    const json_t *field = find(fields, key);
    if (!field) return STATUS_OK;
    if (!json_is_string(field)) return wrong(fields, key, field, "a text");
    *value = json_string_value(field);
    return STATUS_OK;
}

enum status fields_object(const struct json_fields *fields, const char *key, struct json_fields *child) {
    json_t *field = json_object_get(fields->object, key);
    *child = (struct json_fields){NULL, fields->path, key};
    if (!field || json_is_null(field)) return STATUS_OK;
    if (!json_is_object(field)) return wrong(fields, key, field, "an object");
    child->object = field;
    return STATUS_OK;
}

int64_t fields_array_count(const struct json_fields *fields, const char *key) {
    const json_t *field = find(fields, key);
    return field && json_is_array(field) ? (int64_t)json_array_size(field) : -1;
}

static const json_t *element(const struct json_fields *fields, const char *key, int64_t index) {
    return json_array_get(find(fields, key), (size_t)index);
}

enum status fields_array_int(const struct json_fields *fields, const char *key, int64_t index, int64_t min,
                             int64_t max, int64_t *value_out) {
    return take_int(fields, key, element(fields, key, index), min, max, value_out);
}

enum status fields_array_text(const struct json_fields *fields, const char *key, int64_t index,
                              const char **value_out) {
    const json_t *value = element(fields, key, index);
    if (!json_is_string(value)) return wrong(fields, key, value, "a list of texts");
    *value_out = json_string_value(value);
    return STATUS_OK;
}

void *fields_next(const struct json_fields *fields, void *iterator, const char **key_out) {
    void *next =
        iterator ? json_object_iter_next(fields->object, iterator) : json_object_iter(fields->object);
    if (next) *key_out = json_object_iter_key(next);
    return next;
}

size_t fields_count(const struct json_fields *fields) {
    return json_object_size(fields->object);
}
