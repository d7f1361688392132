#include "base/bytes.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum status bytes_reserve(struct bytes *bytes, size_t size) {
    if (size >= SIZE_MAX / 2) return FAIL(STATUS_NO_MEMORY, "out of memory: a string of %zu bytes", size);
    if (size < bytes->capacity) return STATUS_OK;
    size_t capacity = bytes->capacity ? bytes->capacity : 64;
    while (capacity <= size)
        capacity *= 2;
    char *data = realloc(bytes->data, capacity);
    if (!data) return FAIL(STATUS_NO_MEMORY, "out of memory: a string of %zu bytes", size);
    if (!bytes->data) data[0] = '\0';
    bytes->data = data;
    bytes->capacity = capacity;
    return STATUS_OK;
}

enum status bytes_append(struct bytes *bytes, const void *data, size_t size) {
    if (size >= SIZE_MAX / 2) return FAIL(STATUS_NO_MEMORY, "out of memory: a string of %zu bytes", size);
    TRY(bytes_reserve(bytes, bytes->size + size));
    if (size) memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
    return STATUS_OK;
}

enum status bytes_append_text(struct bytes *bytes, const char *text) {
    return bytes_append(bytes, text, strlen(text));
}

enum status bytes_printf(struct bytes *bytes, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(size >= 0);
    const enum status status = bytes_reserve(bytes, bytes->size + (size_t)size);
    if (status == STATUS_OK) {
        vsnprintf(bytes->data + bytes->size, (size_t)size + 1, format, again);
        bytes->size += (size_t)size;
    }
    va_end(again);
    return status;
}

void bytes_drop_front(struct bytes *bytes, size_t size) {
    CHECK(size <= bytes->size);
    if (size == 0) return;
    memmove(bytes->data, bytes->data + size, bytes->size - size + 1);
    bytes->size -= size;
}

void bytes_clear(struct bytes *bytes) {
    bytes->size = 0;
    if (bytes->data) bytes->data[0] = '\0';
}

void bytes_free(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){0};
}
