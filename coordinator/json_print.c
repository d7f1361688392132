#include "coordinator/json_print.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/utf8.h"

enum status json_print(json_t *value, bool indented) {
    if (!value) return FAIL(STATUS_NO_MEMORY, "out of memory for the JSON output");
    const size_t layout = (indented ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(15);
    const int failed = json_dumpf(value, stdout, layout | JSON_ENCODE_ANY);
    json_decref(value);
    if (failed || fputc('\n', stdout) == EOF) return FAIL(STATUS_IO, "cannot write to standard output");
    return STATUS_OK;
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
