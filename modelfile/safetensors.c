#include "modelfile/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/file.h"
#include "modelfile/json_fields_impl.h"
#include "modelfile/tensor_entry_impl.h"

enum { LENGTH_BYTES = 8 };
static const uint64_t MAX_HEADER_BYTES = 100000000; /* the reference implementation's bound */

struct type {
    const char *name;
    int bits;
    int dtype; /* -1: listed, but not computed with */
};

static const struct type *find_type(const char *name) {
    static const struct type types[] = {
        {"F32", 32, DTYPE_F32}, {"F16", 16, DTYPE_F16}, {"BF16", 16, DTYPE_BF16},
        {"F64", 64, -1},        {"I64", 64, -1},        {"I32", 32, -1},
        {"I16", 16, -1},        {"I8", 8, -1},          {"U64", 64, -1},
        {"U32", 32, -1},        {"U16", 16, -1},        {"U8", 8, -1},
        {"BOOL", 8, -1},        {"F8_E4M3", 8, -1},     {"F8_E5M2", 8, -1},
        {"F8_E8M0", 8, -1},     {"F6_E2M3", 6, -1},     {"F6_E3M2", 6, -1},
        {"F4", 4, -1},          {"C64", 64, -1},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

static enum status read_dtype(const struct json_fields *fields, struct tensor_entry *entry, int *bits_out) {
    const char *name = NULL;
    TRY(fields_text(fields, "dtype", &name));
    if (!name) return fields_missing(fields, "dtype");
    const struct type *type = find_type(name);
    if (!type) return fields_unsupported(fields, "dtype");
    entry->dtype_name = type->name;
    entry->usable = type->dtype >= 0;
    if (entry->usable) entry->dtype = (enum dtype)type->dtype;
    *bits_out = type->bits;
    return STATUS_OK;
}

static enum status read_shape(const struct json_fields *fields, struct tensor_entry *entry) {
    const int64_t n_dims = fields_array_count(fields, "shape");
    if (n_dims < 0) return fields_missing(fields, "shape");
    if (n_dims > TENSOR_MAX_DIMS)
        return FAIL(STATUS_BAD_INPUT, "%s: tensor %s has %lld dimensions, but at most %d are supported",
                    fields->path, fields->section, (long long)n_dims, TENSOR_MAX_DIMS);
    entry->n_dims = (int)n_dims;
    for (int i = 0; i < entry->n_dims; i++)
        TRY(fields_array_int(fields, "shape", i, 0, INT64_MAX, &entry->shape[i]));
    return STATUS_OK;
}

/* Offsets count from the end of the header and must enclose exactly the elements of the shape. */
static enum status read_offsets(const struct json_fields *fields, uint64_t data_start, uint64_t data_bytes,
                                int bits, struct tensor_entry *entry) {
    if (fields_array_count(fields, "data_offsets") != 2) return fields_missing(fields, "data_offsets");
    int64_t begin, end;
    TRY(fields_array_int(fields, "data_offsets", 0, 0, INT64_MAX, &begin));
    TRY(fields_array_int(fields, "data_offsets", 1, 0, INT64_MAX, &end));
    if (begin > end || (uint64_t)end > data_bytes)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: tensor %s lies at bytes %lld to %lld of the data, which has %llu (truncated file?)",
                    fields->path, fields->section, (long long)begin, (long long)end,
                    (unsigned long long)data_bytes);
    uint64_t count, total_bits;
    if (!tensor_shape_count(entry->shape, entry->n_dims, &count) ||
        __builtin_mul_overflow(count, (uint64_t)bits, &total_bits) || total_bits % 8 != 0 ||
        total_bits / 8 != (uint64_t)(end - begin))
        return FAIL(STATUS_BAD_INPUT,
                    "%s: tensor %s takes %lld bytes, which its shape and dtype %s contradict", fields->path,
                    fields->section, (long long)(end - begin), entry->dtype_name);
    entry->offset = data_start + (uint64_t)begin;
    entry->bytes = total_bits / 8;
    return STATUS_OK;
}

static enum status copy_text(struct arena *arena, const char *text, const char **copy_out) {
    const size_t size = strlen(text) + 1;
    char *copy;
    TRY(ARENA_TAKE(arena, size, &copy));
    memcpy(copy, text, size);
    *copy_out = copy;
    return STATUS_OK;
}

static enum status read_entry(const struct json_fields *header, const char *name, uint64_t data_start,
                              uint64_t file_size, struct arena *arena, struct tensor_entry *entry) {
    if (!tensor_name_is_sane(name, strlen(name)))
        return FAIL(STATUS_BAD_INPUT, "%s: a tensor name is empty, too long or has control characters",
                    header->path);
    struct json_fields fields;
    TRY(fields_object(header, name, &fields));
    if (!fields.object) return fields_missing(header, name);
    int bits = 0;
    TRY(read_dtype(&fields, entry, &bits));
    TRY(read_shape(&fields, entry));
    TRY(read_offsets(&fields, data_start, file_size - data_start, bits, entry));
    return copy_text(arena, name, &entry->name);
}

/* The data must be covered from its first byte to the file's last. */
static enum status check_coverage(struct safetensors *file, uint64_t data_start, uint64_t file_size,
                                  const char *path) {
    TRY(tensor_entries_check_overlap(file->entries, file->n_entries, path));
    uint64_t end = data_start;
    for (size_t i = 0; i < file->n_entries; i++) {
        if (file->entries[i].offset != end)
            return FAIL(STATUS_BAD_INPUT, "%s: %llu bytes before tensor %s belong to no tensor", path,
                        (unsigned long long)(file->entries[i].offset - end), file->entries[i].name);
        end += file->entries[i].bytes;
    }
    if (end != file_size)
        return FAIL(STATUS_BAD_INPUT, "%s: the last %llu bytes belong to no tensor", path,
                    (unsigned long long)(file_size - end));
    return STATUS_OK;
}

static enum status read_entries(const struct json_fields *header, uint64_t data_start, uint64_t file_size,
                                struct arena *arena, struct safetensors *out) {
    struct safetensors file = {0};
    TRY(ARENA_TAKE(arena, fields_count(header), &file.entries));
    const char *name;
    for (void *next = fields_next(header, NULL, &name); next; next = fields_next(header, next, &name)) {
        if (strcmp(name, "__metadata__") == 0) continue;
        TRY(read_entry(header, name, data_start, file_size, arena, &file.entries[file.n_entries]));
        file.n_entries++;
    }
    TRY(check_coverage(&file, data_start, file_size, header->path));
    *out = file;
    return STATUS_OK;
}

/* The header's length, checked against the file's. */
static enum status header_bytes(const unsigned char prefix[LENGTH_BYTES], uint64_t file_size,
                                const char *path, uint64_t *bytes_out) {
    uint64_t bytes = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes |= (uint64_t)prefix[i] << (8 * i);
    if (bytes > MAX_HEADER_BYTES)
        return FAIL(STATUS_BAD_INPUT, "%s: header length %llu is more than %llu: not a safetensors file",
                    path, (unsigned long long)bytes, (unsigned long long)MAX_HEADER_BYTES);
    if (bytes > file_size - LENGTH_BYTES)
        return FAIL(STATUS_BAD_INPUT, "%s: header length %llu is more than the file holds (truncated file?)",
                    path, (unsigned long long)bytes);
    *bytes_out = bytes;
    return STATUS_OK;
}

static enum status check_size(uint64_t size, const char *path) {
    if (size >= LENGTH_BYTES) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s has %llu bytes: too short for a safetensors file", path,
                (unsigned long long)size);
}

enum status safetensors_parse(const void *data, size_t size, uint64_t file_size, const char *path,
                              struct arena *arena, struct safetensors *out) {
    TRY(check_size(size, path));
    uint64_t json_bytes;
    TRY(header_bytes(data, file_size < size ? file_size : size, path, &json_bytes));
    struct json_fields header;
    TRY(fields_parse((const char *)data + LENGTH_BYTES, (size_t)json_bytes, path, &header));
    const enum status status = read_entries(&header, LENGTH_BYTES + json_bytes, file_size, arena, out);
    fields_free(&header);
    return status;
}

enum status safetensors_read(int descriptor, uint64_t file_size, const char *path, struct arena *arena,
                             struct safetensors *out) {
    TRY(check_size(file_size, path));
    unsigned char prefix[LENGTH_BYTES];
    TRY(file_read_at(descriptor, path, 0, sizeof prefix, prefix));
    uint64_t json_bytes;
    TRY(header_bytes(prefix, file_size, path, &json_bytes));

    struct bytes header = {0};
    const size_t size = LENGTH_BYTES + (size_t)json_bytes;
    enum status status;
    TRY_GOTO(bytes_reserve(&header, size), free_header);
    TRY_GOTO(file_read_at(descriptor, path, 0, size, header.data), free_header);
    status = safetensors_parse(header.data, size, file_size, path, arena, out);
free_header:
    bytes_free(&header);
    return status;
}

/* A name that stays in the folder of the index. */
static bool is_plain_name(const char *name) {
    return tensor_name_is_sane(name, strlen(name)) && !strchr(name, '/') && !strchr(name, '\\') &&
           name[0] != '.';
}

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static enum status collect_names(const struct json_fields *map, struct arena *arena, const char **names,
                                 size_t *count_out) {
    size_t n = 0;
    const char *tensor;
    for (void *next = fields_next(map, NULL, &tensor); next; next = fields_next(map, next, &tensor)) {
        const char *name = NULL;
        TRY(fields_text(map, tensor, &name));
        if (!name || !is_plain_name(name))
            return FAIL(STATUS_BAD_INPUT, "%s: weight_map names a file for %.80s outside the model's folder",
                        map->path, tensor);
        names[n++] = name;
    }
    qsort(names, n, sizeof *names, compare_names);
    size_t unique = 0;
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || strcmp(names[i], names[unique - 1]) != 0) names[unique++] = names[i];
    for (size_t i = 0; i < unique; i++)
        TRY(copy_text(arena, names[i], &names[i]));
    *count_out = unique;
    return STATUS_OK;
}

static enum status read_index(const struct json_fields *index, struct arena *arena, const char ***names_out,
                              size_t *count_out) {
    struct json_fields map;
    TRY(fields_object(index, "weight_map", &map));
    if (!map.object) return fields_missing(index, "weight_map");
    const char **names;
    TRY(ARENA_TAKE(arena, fields_count(&map), &names));
    TRY(collect_names(&map, arena, names, count_out));
    if (*count_out == 0) return FAIL(STATUS_BAD_INPUT, "%s: weight_map is empty", index->path);
    *names_out = names;
    return STATUS_OK;
}

enum status safetensors_index_parse(const char *text, size_t size, const char *path, struct arena *arena,
                                    const char ***names_out, size_t *count_out) {
    struct json_fields index;
    TRY(fields_parse(text, size, path, &index));
    const enum status status = read_index(&index, arena, names_out, count_out);
    fields_free(&index);
    return status;
}
