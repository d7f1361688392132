#include "modelfile/tensor_entry_impl.h"

#include <stdlib.h>

#include "base/utf8.h"

static int compare_offsets(const void *left, const void *right) {
    const struct tensor_entry *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes); /* empty ones before what shares their place */
}

enum status tensor_entries_check_overlap(struct tensor_entry *entries, size_t count, const char *path) {
    if (count == 0) return STATUS_OK;
    qsort(entries, count, sizeof *entries, compare_offsets);
    for (size_t i = 1; i < count; i++) {
        const struct tensor_entry *before = &entries[i - 1];
        if (before->bytes > entries[i].offset - before->offset)
            return FAIL(STATUS_BAD_INPUT, "%s: tensors %s and %s overlap", path, before->name,
                        entries[i].name);
    }
    return STATUS_OK;
}

bool tensor_shape_count(const int64_t *shape, int n_dims, uint64_t *count_out) {
    uint64_t count = 1;
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(count, (uint64_t)shape[i], &count)) return false;
    *count_out = count;
    return count <= INT64_MAX;
}

bool tensor_name_is_sane(const char *name, size_t size) {
    if (size == 0 || size > TENSOR_NAME_MAX || !utf8_is_valid(name, size)) return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    return true;
}
