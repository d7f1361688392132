/* modelfile/tensor_entry_impl.h - one tensor of a file, whichever format it is in.
 *
 * Memory:  names live in the arena of whoever filled the entry.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

enum { TENSOR_MAX_DIMS = 4, TENSOR_NAME_MAX = 256 };

struct tensor_entry {
    const char *name;
    const char *dtype_name; /* as the format spells it */
    bool usable;            /* dtype is one that can be computed with */
    enum dtype dtype;       /* only where usable */
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS]; /* outermost first */
    int32_t file;                   /* which of the model's files */
    uint64_t offset;                /* in that file */
    uint64_t bytes;
};

/* Sorts by file offset and refuses overlaps; `path` is for the sentence. */
NODISCARD enum status tensor_entries_check_overlap(struct tensor_entry *entries, size_t count,
                                                   const char *path);

/* The number of elements of a shape; false where it does not fit. */
bool tensor_shape_count(const int64_t *shape, int n_dims, uint64_t *count_out);

/* Names appear in messages and listings: text without control characters, at most TENSOR_NAME_MAX bytes. */
bool tensor_name_is_sane(const char *name, size_t size);
