#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "modelfile/gguf_impl.h"
#include "modelfile/tensor_entry_impl.h"

/* Bounds that no honest file comes near; checked before anything is allocated. */
static const uint64_t MAX_VALUES = 1 << 16;
static const uint64_t MAX_TENSORS = 1 << 20;
enum { MIN_VALUE_BYTES = 8 + 4 + 1, MIN_TENSOR_BYTES = 8 + 4 + 4 + 8, MAX_KEY_BYTES = 1 << 16 };

struct cursor {
    const unsigned char *data;
    size_t size;
    size_t position;
    uint64_t file_size;
    const char *path;
    bool is_short; /* ran into the end of `data` before that of the file */
};

static size_t left(const struct cursor *cursor) {
    return cursor->size - cursor->position;
}

/* Everything counted must fit in what is left of the file, and then of the data at hand. */
static enum status need(struct cursor *cursor, uint64_t bytes, const char *what) {
    if (bytes > cursor->file_size - cursor->position)
        return FAIL(STATUS_BAD_INPUT, "%s: %s at byte %zu goes beyond the end of the file (truncated file?)",
                    cursor->path, what, cursor->position);
    if (bytes <= left(cursor)) return STATUS_OK;
    cursor->is_short = true;
    return FAIL(STATUS_BAD_INPUT, "%s: the metadata is longer than %zu bytes", cursor->path, cursor->size);
}

static enum status take(struct cursor *cursor, uint64_t bytes, const char *what,
                        const unsigned char **data_out) {
    TRY(need(cursor, bytes, what));
    *data_out = cursor->data + cursor->position;
    cursor->position += (size_t)bytes;
    return STATUS_OK;
}

static enum status take_u32(struct cursor *cursor, const char *what, uint32_t *value_out) {
    const unsigned char *bytes;
    TRY(take(cursor, sizeof *value_out, what, &bytes));
    memcpy(value_out, bytes, sizeof *value_out);
    return STATUS_OK;
}

static enum status take_u64(struct cursor *cursor, const char *what, uint64_t *value_out) {
    const unsigned char *bytes;
    TRY(take(cursor, sizeof *value_out, what, &bytes));
    memcpy(value_out, bytes, sizeof *value_out);
    return STATUS_OK;
}

static enum status take_text(struct cursor *cursor, const char *what, struct gguf_text *text_out) {
    uint64_t size;
    const unsigned char *bytes;
    TRY(take_u64(cursor, what, &size));
    TRY(take(cursor, size, what, &bytes));
    *text_out = (struct gguf_text){(const char *)bytes, (size_t)size};
    return STATUS_OK;
}

/* A count of things of at least `min_bytes` each. */
static enum status take_count(struct cursor *cursor, const char *what, uint64_t max, uint64_t min_bytes,
                              size_t *count_out) {
    uint64_t count;
    TRY(take_u64(cursor, what, &count));
    if (count > max || count > (cursor->file_size - cursor->position) / min_bytes)
        return FAIL(STATUS_BAD_INPUT, "%s: %s of %" PRIu64 " is absurd for a file of %" PRIu64 " bytes",
                    cursor->path, what, count, cursor->file_size);
    *count_out = (size_t)count;
    return STATUS_OK;
}

/* Texts are indexed once, so that finding one of 150,000 tokens does not walk over the others. */
static enum status take_texts(struct cursor *cursor, struct arena *arena, struct gguf_value *value) {
    TRY(need(cursor, (uint64_t)value->count * sizeof(uint64_t), "an array of texts"));
    struct gguf_text *texts;
    TRY(ARENA_TAKE(arena, (size_t)value->count, &texts));
    for (int64_t i = 0; i < value->count; i++)
        TRY(take_text(cursor, "an element of an array of texts", &texts[i]));
    value->texts = texts;
    return STATUS_OK;
}

static enum status take_elements(struct cursor *cursor, struct arena *arena, struct gguf_value *value) {
    if (value->kind == GGUF_TEXT) return take_texts(cursor, arena, value);
    const uint64_t bytes = (uint64_t)value->count * gguf_kind_bytes(value->kind);
    return take(cursor, bytes, "a metadata value", &value->data);
}

static enum status take_kind(struct cursor *cursor, const struct gguf_text *key, enum gguf_kind *kind_out) {
    uint32_t kind;
    TRY(take_u32(cursor, "a metadata type", &kind));
    if (kind >= GGUF_KINDS)
        return FAIL(STATUS_BAD_INPUT, "%s: metadata %.*s has the unknown type %u", cursor->path,
                    (int)key->size, key->data, kind);
    *kind_out = (enum gguf_kind)kind;
    return STATUS_OK;
}

static enum status take_array(struct cursor *cursor, struct arena *arena, struct gguf_value *value) {
    value->is_array = true;
    TRY(take_kind(cursor, &value->key, &value->kind));
    if (value->kind == GGUF_ARRAY)
        return FAIL(STATUS_BAD_INPUT, "%s: metadata %.*s is an array of arrays, which is not supported",
                    cursor->path, (int)value->key.size, value->key.data);
    const size_t bytes = gguf_kind_bytes(value->kind);
    size_t count;
    TRY(take_count(cursor, "an array length", INT64_MAX, bytes ? bytes : sizeof(uint64_t), &count));
    value->count = (int64_t)count;
    return take_elements(cursor, arena, value);
}

static enum status take_value(struct cursor *cursor, struct arena *arena, struct gguf_value *value) {
    TRY(take_text(cursor, "a metadata key", &value->key));
    if (value->key.size > MAX_KEY_BYTES || !tensor_name_is_sane(value->key.data, value->key.size))
        return FAIL(STATUS_BAD_INPUT, "%s: a metadata key is empty, too long or no plain text", cursor->path);
    TRY(take_kind(cursor, &value->key, &value->kind));
    if (value->kind == GGUF_ARRAY) return take_array(cursor, arena, value);
    value->count = 1;
    TRY(take_elements(cursor, arena, value));
    if (value->kind == GGUF_BOOL && value->data[0] > 1)
        return FAIL(STATUS_BAD_INPUT, "%s: metadata %.*s is neither true nor false", cursor->path,
                    (int)value->key.size, value->key.data);
    return STATUS_OK;
}

static int compare_values(const void *left_value, const void *right_value) {
    const struct gguf_value *a = left_value, *b = right_value;
    return gguf_text_compare(&a->key, &b->key);
}

static enum status take_values(struct cursor *cursor, struct gguf *gguf) {
    TRY(ARENA_TAKE(gguf->arena, gguf->n_values, &gguf->values));
    for (size_t i = 0; i < gguf->n_values; i++)
        TRY(take_value(cursor, gguf->arena, &gguf->values[i]));
    if (gguf->n_values == 0) return STATUS_OK;
    qsort(gguf->values, gguf->n_values, sizeof *gguf->values, compare_values);
    for (size_t i = 1; i < gguf->n_values; i++)
        if (compare_values(&gguf->values[i - 1], &gguf->values[i]) == 0)
            return FAIL(STATUS_BAD_INPUT, "%s: metadata %.*s is there twice", cursor->path,
                        (int)gguf->values[i].key.size, gguf->values[i].key.data);
    return STATUS_OK;
}

/* The file has the innermost dimension first. */
static enum status take_shape(struct cursor *cursor, struct gguf_tensor *tensor) {
    uint32_t n_dims;
    TRY(take_u32(cursor, "a tensor's shape", &n_dims));
    if (n_dims < 1 || n_dims > TENSOR_MAX_DIMS)
        return FAIL(STATUS_BAD_INPUT, "%s: tensor %.*s has %u dimensions, but 1 to %d are allowed",
                    cursor->path, (int)tensor->name.size, tensor->name.data, n_dims, TENSOR_MAX_DIMS);
    tensor->n_dims = (int)n_dims;
    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        uint64_t extent;
        TRY(take_u64(cursor, "a tensor's shape", &extent));
        if (extent > INT64_MAX)
            return FAIL(STATUS_BAD_INPUT, "%s: tensor %.*s has a dimension of %" PRIu64, cursor->path,
                        (int)tensor->name.size, tensor->name.data, extent);
        tensor->shape[i] = (int64_t)extent;
    }
    return STATUS_OK;
}

/* Bytes of a tensor of a known type. An unknown one is listed with 0 and refused where it is needed. */
static enum status measure(const char *path, struct gguf_tensor *tensor) {
    const struct gguf_type *type = gguf_type_find(tensor->type);
    uint64_t count;
    const bool countable = tensor_shape_count(tensor->shape, tensor->n_dims, &count);
    if (!type && countable) return STATUS_OK;
    if (!countable || tensor->shape[tensor->n_dims - 1] % type->block_elements != 0 ||
        __builtin_mul_overflow(count / (uint64_t)type->block_elements, (uint64_t)type->block_bytes,
                               &tensor->bytes))
        return FAIL(STATUS_BAD_INPUT, "%s: the shape of tensor %.*s does not fit its type %s", path,
                    (int)tensor->name.size, tensor->name.data, type ? type->name : "(unknown)");
    return STATUS_OK;
}

static enum status take_tensor(struct cursor *cursor, struct gguf_tensor *tensor) {
    TRY(take_text(cursor, "a tensor name", &tensor->name));
    if (!tensor_name_is_sane(tensor->name.data, tensor->name.size))
        return FAIL(STATUS_BAD_INPUT, "%s: a tensor name is empty, too long or no plain text", cursor->path);
    TRY(take_shape(cursor, tensor));
    TRY(take_u32(cursor, "a tensor's type", &tensor->type));
    TRY(take_u64(cursor, "a tensor's offset", &tensor->offset));
    return measure(cursor->path, tensor);
}

static enum status read_alignment(const struct gguf *gguf, const char *path, uint64_t *alignment_out) {
    int64_t alignment = 32;
    if (gguf_has(gguf, "general.alignment") && !gguf_get_i64(gguf, "general.alignment", &alignment))
        return FAIL(STATUS_BAD_INPUT, "%s: general.alignment is no number", path);
    if (alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: general.alignment is %" PRId64 ", but must be a power of two",
                    path, alignment);
    *alignment_out = (uint64_t)alignment;
    return STATUS_OK;
}

/* Offsets in the file count from the first aligned byte after the tensor table. */
static enum status place_tensor(const struct cursor *cursor, uint64_t data_start, uint64_t alignment,
                                struct gguf_tensor *tensor) {
    const uint64_t data_bytes = cursor->file_size > data_start ? cursor->file_size - data_start : 0;
    if (tensor->offset % alignment != 0)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: tensor %.*s lies at %" PRIu64 ", no multiple of the alignment %" PRIu64,
                    cursor->path, (int)tensor->name.size, tensor->name.data, tensor->offset, alignment);
    if (tensor->offset > data_bytes || tensor->bytes > data_bytes - tensor->offset)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: tensor %.*s of %" PRIu64 " bytes at offset %" PRIu64
                    " goes beyond the end of the file (truncated file?)",
                    cursor->path, (int)tensor->name.size, tensor->name.data, tensor->bytes, tensor->offset);
    tensor->offset += data_start;
    return STATUS_OK;
}

static enum status take_tensors(struct cursor *cursor, struct gguf *gguf) {
    TRY(ARENA_TAKE(gguf->arena, gguf->n_tensors, &gguf->tensors));
    for (size_t i = 0; i < gguf->n_tensors; i++)
        TRY(take_tensor(cursor, &gguf->tensors[i]));
    uint64_t alignment = 1;
    TRY(read_alignment(gguf, cursor->path, &alignment));
    const uint64_t data_start = (cursor->position + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < gguf->n_tensors; i++)
        TRY(place_tensor(cursor, data_start, alignment, &gguf->tensors[i]));
    return STATUS_OK;
}

static enum status take_version(struct cursor *cursor) {
    const unsigned char *magic;
    uint32_t version;
    TRY(take(cursor, 4, "the magic number", &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return FAIL(STATUS_BAD_INPUT, "%s is not a GGUF file: it does not begin with GGUF", cursor->path);
    TRY(take_u32(cursor, "the version", &version));
    if (version != 0 && (version & 0xffff) == 0)
        return FAIL(STATUS_BAD_INPUT, "%s is a big-endian GGUF file, which is not supported", cursor->path);
    if (version != 2 && version != 3)
        return FAIL(STATUS_BAD_INPUT, "%s has GGUF version %u, but only 2 and 3 are supported", cursor->path,
                    version);
    return STATUS_OK;
}

static enum status take_all(struct cursor *cursor, struct gguf *gguf) {
    TRY(take_version(cursor));
    TRY(take_count(cursor, "a tensor count", MAX_TENSORS, MIN_TENSOR_BYTES, &gguf->n_tensors));
    TRY(take_count(cursor, "a metadata count", MAX_VALUES, MIN_VALUE_BYTES, &gguf->n_values));
    TRY(take_values(cursor, gguf));
    return take_tensors(cursor, gguf);
}

enum status gguf_parse_into(const unsigned char *data, size_t size, uint64_t file_size, const char *path,
                            struct gguf *gguf, bool *short_out) {
    struct cursor cursor = {.data = data, .size = size, .file_size = file_size, .path = path};
    const enum status status = take_all(&cursor, gguf);
    *short_out = cursor.is_short;
    return status;
}
