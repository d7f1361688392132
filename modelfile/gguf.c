#include "modelfile/gguf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "modelfile/gguf_impl.h"

/* Nobody knows how long the metadata is before parsing it: a first piece is tried, then larger ones. */
static const size_t FIRST_PIECE_BYTES = 4 << 20;
static const size_t MAX_METADATA_BYTES = 1 << 30;

static enum status create(struct gguf **gguf_out) {
    struct gguf *gguf = calloc(1, sizeof *gguf);
    if (!gguf) return FAIL(STATUS_NO_MEMORY, "out of memory for a GGUF file");
    const enum status status = arena_create("GGUF metadata", &gguf->arena);
    if (status != STATUS_OK) {
        free(gguf);
        return status;
    }
    *gguf_out = gguf;
    return STATUS_OK;
}

void gguf_close(struct gguf *gguf) {
    if (!gguf) return;
    arena_destroy(gguf->arena);
    free(gguf);
}

enum status gguf_parse(const void *data, size_t size, uint64_t file_size, const char *path,
                       struct gguf **gguf_out) {
    CHECK(size <= file_size);
    struct gguf *gguf;
    TRY(create(&gguf));
    unsigned char *copy;
    bool is_short;
    enum status status;
    TRY_GOTO(ARENA_TAKE(gguf->arena, size, &copy), close_gguf);
    if (size) memcpy(copy, data, size);
    TRY_GOTO(gguf_parse_into(copy, size, file_size, path, gguf, &is_short), close_gguf);
    *gguf_out = gguf;
    return STATUS_OK;
close_gguf:
    gguf_close(gguf);
    return status;
}

/* Parses the first `size` bytes of the file. */
static enum status try_piece(int descriptor, uint64_t file_size, const char *path, size_t size,
                             struct gguf **gguf_out, bool *short_out) {
    struct gguf *gguf;
    *short_out = false;
    TRY(create(&gguf));
    unsigned char *data;
    enum status status;
    TRY_GOTO(ARENA_TAKE(gguf->arena, size, &data), close_gguf);
    TRY_GOTO(file_read_at(descriptor, path, 0, size, data), close_gguf);
    TRY_GOTO(gguf_parse_into(data, size, file_size, path, gguf, short_out), close_gguf);
    *gguf_out = gguf;
    return STATUS_OK;
close_gguf:
    gguf_close(gguf);
    return status;
}

enum status gguf_open(const char *path, struct gguf **gguf_out) {
    int descriptor;
    uint64_t file_size;
    TRY(file_open(path, &descriptor, &file_size));
    size_t size = FIRST_PIECE_BYTES;
    bool is_short;
    enum status status;
    do {
        if (size > file_size) size = (size_t)file_size;
        status = try_piece(descriptor, file_size, path, size, gguf_out, &is_short);
        size *= 4;
    } while (is_short && size <= MAX_METADATA_BYTES);
    close(descriptor);
    return status;
}

int gguf_text_compare(const struct gguf_text *left, const struct gguf_text *right) {
    const size_t common = left->size < right->size ? left->size : right->size;
    const int order = memcmp(left->data, right->data, common);
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

static int compare_key(const void *key, const void *value) {
    return gguf_text_compare(key, &((const struct gguf_value *)value)->key);
}

static const struct gguf_value *find(const struct gguf *gguf, const char *key) {
    const struct gguf_text text = {key, strlen(key)};
    if (gguf->n_values == 0) return NULL;
    return bsearch(&text, gguf->values, gguf->n_values, sizeof *gguf->values, compare_key);
}

static const struct gguf_value *find_single(const struct gguf *gguf, const char *key) {
    const struct gguf_value *value = find(gguf, key);
    return value && !value->is_array ? value : NULL;
}

static const struct gguf_value *find_array(const struct gguf *gguf, const char *key, int64_t index) {
    const struct gguf_value *value = find(gguf, key);
    return value && value->is_array && index >= 0 && index < value->count ? value : NULL;
}

bool gguf_has(const struct gguf *gguf, const char *key) {
    return find(gguf, key) != NULL;
}

#define LOAD(type, bytes, out)                                                                               \
    do {                                                                                                     \
        type number_;                                                                                        \
        memcpy(&number_, (bytes), sizeof number_);                                                           \
        *(out) = number_;                                                                                    \
    } while (0)

static bool load_i64(const struct gguf_value *value, int64_t index, int64_t *value_out) {
    if (value->kind == GGUF_TEXT) return false;
    const unsigned char *bytes = value->data + (size_t)index * gguf_kind_bytes(value->kind);
    switch (value->kind) {
    case GGUF_U8:
        LOAD(uint8_t, bytes, value_out);
        return true;
    case GGUF_I8:
        LOAD(int8_t, bytes, value_out);
        return true;
    case GGUF_U16:
        LOAD(uint16_t, bytes, value_out);
        return true;
    case GGUF_I16:
        LOAD(int16_t, bytes, value_out);
        return true;
    case GGUF_U32:
        LOAD(uint32_t, bytes, value_out);
        return true;
    case GGUF_I32:
        LOAD(int32_t, bytes, value_out);
        return true;
    case GGUF_U64:
        if (bytes[7] & 0x80) return false; /* above INT64_MAX */
        LOAD(int64_t, bytes, value_out);
        return true;
    case GGUF_I64:
        LOAD(int64_t, bytes, value_out);
        return true;
    default:
        return false;
    }
}

static bool load_f64(const struct gguf_value *value, int64_t index, double *value_out) {
    if (value->kind == GGUF_TEXT || value->kind == GGUF_BOOL) return false;
    const unsigned char *bytes = value->data + (size_t)index * gguf_kind_bytes(value->kind);
    if (value->kind == GGUF_F32) {
        LOAD(float, bytes, value_out);
        return true;
    }
    if (value->kind == GGUF_F64) {
        LOAD(double, bytes, value_out);
        return true;
    }
    int64_t integer;
    if (!load_i64(value, index, &integer)) return false;
    *value_out = (double)integer;
    return true;
}

bool gguf_get_i64(const struct gguf *gguf, const char *key, int64_t *value_out) {
    const struct gguf_value *value = find_single(gguf, key);
    return value && load_i64(value, 0, value_out);
}

bool gguf_get_f64(const struct gguf *gguf, const char *key, double *value_out) {
    const struct gguf_value *value = find_single(gguf, key);
    return value && load_f64(value, 0, value_out);
}

bool gguf_get_bool(const struct gguf *gguf, const char *key, bool *value_out) {
    const struct gguf_value *value = find_single(gguf, key);
    if (!value || value->kind != GGUF_BOOL) return false;
    *value_out = value->data[0] != 0;
    return true;
}

bool gguf_get_text(const struct gguf *gguf, const char *key, struct gguf_text *value_out) {
    const struct gguf_value *value = find_single(gguf, key);
    if (!value || value->kind != GGUF_TEXT) return false;
    *value_out = value->texts[0];
    return true;
}

int64_t gguf_array_count(const struct gguf *gguf, const char *key) {
    const struct gguf_value *value = find(gguf, key);
    return value && value->is_array ? value->count : -1;
}

bool gguf_array_text(const struct gguf *gguf, const char *key, int64_t index, struct gguf_text *value_out) {
    const struct gguf_value *value = find_array(gguf, key, index);
    if (!value || value->kind != GGUF_TEXT) return false;
    *value_out = value->texts[index];
    return true;
}

bool gguf_array_f64(const struct gguf *gguf, const char *key, int64_t index, double *value_out) {
    const struct gguf_value *value = find_array(gguf, key, index);
    return value && load_f64(value, index, value_out);
}

bool gguf_array_i64(const struct gguf *gguf, const char *key, int64_t index, int64_t *value_out) {
    const struct gguf_value *value = find_array(gguf, key, index);
    return value && load_i64(value, index, value_out);
}

size_t gguf_tensor_count(const struct gguf *gguf) {
    return gguf->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index) {
    CHECK(index < gguf->n_tensors);
    return &gguf->tensors[index];
}
