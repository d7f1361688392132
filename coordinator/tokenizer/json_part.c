#include "coordinator/tokenizer/json_part_impl.h"

#include <string.h>

#include "base/utf8.h"

enum status json_part_parse(const char *data, size_t size, const char *path, json_t **json_out) {
    json_error_t error;
    json_t *json = json_loadb(data, size, 0, &error);
    if (!json) return FAIL(STATUS_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return FAIL(STATUS_BAD_INPUT, "%s is not a JSON object", path);
    }
    *json_out = json;
    return STATUS_OK;
}

static enum status wrong_type(const struct json_part *part, const char *field, const char *expected) {
    return FAIL(STATUS_BAD_INPUT, "%s: %s.%s is not %s", part->path, part->name, field, expected);
}

static enum status missing(const struct json_part *part, const char *field) {
    return FAIL(STATUS_BAD_INPUT, "%s: %s.%s is missing", part->path, part->name, field);
}

enum status json_part_bool(const struct json_part *part, const char *field, bool *value) {
    const json_t *json = json_object_get(part->json, field);
    if (!json || json_is_null(json)) return STATUS_OK;
    if (!json_is_boolean(json)) return wrong_type(part, field, "true or false");
    *value = json_is_true(json);
    return STATUS_OK;
}

enum status json_part_integer(const struct json_part *part, const char *field, int64_t *value) {
    const json_t *json = json_object_get(part->json, field);
    if (!json || json_is_null(json)) return STATUS_OK;
    if (!json_is_integer(json)) return wrong_type(part, field, "an integer");
    *value = json_integer_value(json);
    return STATUS_OK;
}

enum status json_part_text(const struct json_part *part, const char *field, const char **value) {
    const json_t *json = json_object_get(part->json, field);
    if (!json || json_is_null(json)) return STATUS_OK;
    if (!json_is_string(json)) return wrong_type(part, field, "a string");
    *value = json_string_value(json);
    return STATUS_OK;
}

enum status json_part_array(const struct json_part *part, const char *field, json_t **value) {
    json_t *json = json_object_get(part->json, field);
    if (!json || json_is_null(json)) return STATUS_OK;
    if (!json_is_array(json)) return wrong_type(part, field, "an array");
    *value = json;
    return STATUS_OK;
}

enum status json_part_object(const struct json_part *part, const char *field, json_t **value) {
    json_t *json = json_object_get(part->json, field);
    if (!json || json_is_null(json)) return STATUS_OK;
    if (!json_is_object(json)) return wrong_type(part, field, "an object");
    *value = json;
    return STATUS_OK;
}

enum status json_part_need_text(const struct json_part *part, const char *field, const char **value) {
    const char *text = NULL;
    TRY(json_part_text(part, field, &text));
    if (!text) return missing(part, field);
    *value = text;
    return STATUS_OK;
}

enum status json_part_need_character(const struct json_part *part, const char *field, const char **value) {
    TRY(json_part_need_text(part, field, value));
    uint32_t code_point;
    const size_t size = strlen(*value);
    if (size == 0 || utf8_decode(*value, size, &code_point) != size)
        return wrong_type(part, field, "a single character");
    return STATUS_OK;
}

const char *json_part_type(const struct json_part *step) {
    return json_string_value(json_object_get(step->json, "type"));
}

static enum status check_step(const struct json_part *step) {
    const char *type;
    if (!json_is_object(step->json))
        return FAIL(STATUS_BAD_INPUT, "%s: a step of the %s is not an object", step->path, step->name);
    return json_part_need_text(step, "type", &type);
}

/* Puts the children of steps[at] in its place. */
static enum status expand(const char *children, size_t limit, size_t at, struct json_part *steps, size_t *n) {
    const struct json_part sequence = steps[at];
    json_t *list = NULL;
    TRY(json_part_array(&sequence, children, &list));
    if (!list) return missing(&sequence, children);
    const size_t n_children = json_array_size(list);
    if (n_children > limit || *n - 1 + n_children > limit)
        return FAIL(STATUS_BAD_INPUT, "%s: the %s has more than %zu steps", sequence.path, sequence.name,
                    limit);
    memmove(&steps[at + n_children], &steps[at + 1], (*n - at - 1) * sizeof *steps);
    for (size_t i = 0; i < n_children; i++) {
        steps[at + i] = sequence;
        steps[at + i].json = json_array_get(list, i);
    }
    *n += n_children - 1;
    return STATUS_OK;
}

enum status json_part_steps(const struct json_part *root, const char *children, size_t limit,
                            struct json_part *steps_out, size_t *n_out) {
    size_t n = 0;
    if (root->json && !json_is_null(root->json)) steps_out[n++] = *root;
    for (size_t at = 0; at < n;) {
        TRY(check_step(&steps_out[at]));
        if (strcmp(json_part_type(&steps_out[at]), "Sequence") == 0)
            TRY(expand(children, limit, at, steps_out, &n));
        else
            at++;
    }
    *n_out = n;
    return STATUS_OK;
}
