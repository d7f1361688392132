#include "coordinator/json_build.h"

#include "base/bytes.h"
#include "base/utf8.h"

json_t *json_with(json_t *object, const char *key, json_t *value) {
    if (object && json_object_set_new(object, key, value) == 0) return object;
    if (!object) json_decref(value);
    json_decref(object);
    return NULL;
}

json_t *json_appended(json_t *array, json_t *value) {
    if (array && json_array_append_new(array, value) == 0) return array;
    if (!array) json_decref(value);
    json_decref(array);
    return NULL;
}

json_t *json_merged(json_t *object, json_t *more) {
    const bool failed = !object || !more || json_object_update_missing(object, more) != 0;
    json_decref(more);
    if (!failed) return object;
    json_decref(object);
    return NULL;
}

static enum status append_lossy(const char *text, size_t size, struct bytes *valid) {
    for (size_t i = 0; i < size;) {
        uint32_t code_point;
        const size_t length = utf8_decode(text + i, size - i, &code_point);
        TRY(length ? bytes_append(valid, text + i, length) : bytes_append_text(valid, "\uFFFD"));
        i += length ? length : 1;
    }
    return STATUS_OK;
}

json_t *json_lossy_text(const char *text, size_t size) {
    struct bytes valid = {0};
    const enum status status = append_lossy(text, size, &valid);
    json_t *value = status == STATUS_OK ? json_stringn(valid.data ? valid.data : "", valid.size) : NULL;
    bytes_free(&valid);
    return value;
}
