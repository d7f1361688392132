/* modelfile/gguf.h - GGUF v2 and v3: metadata and tensor table (ggml's docs/gguf.md).
 *
 * Memory:  a gguf owns a copy of the metadata and tensor table; strings it returns live as long as it.
 * Threads: read-only after open.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct gguf;

struct gguf_text { /* not NUL-terminated */
    const char *data;
    size_t size;
};

struct gguf_tensor {
    struct gguf_text name;
    uint32_t type; /* ggml type number */
    int n_dims;
    int64_t shape[4]; /* outermost first: the reverse of the file's order */
    uint64_t offset;  /* absolute, bytes */
    uint64_t bytes;   /* 0 for a type that gguf_type_find does not know */
};

/* How a ggml tensor type lies in memory; NULL for a number that is not in ggml's list. */
struct gguf_type {
    const char *name; /* "Q8_0", … */
    int block_elements;
    int block_bytes;
};
const struct gguf_type *gguf_type_find(uint32_t type);

NODISCARD enum status gguf_open(const char *path, struct gguf **gguf_out);
/* The same from memory, for tests and fuzzing: `file_size` is what offsets are checked against. */
NODISCARD enum status gguf_parse(const void *data, size_t size, uint64_t file_size, const char *path,
                                 struct gguf **gguf_out);
void gguf_close(struct gguf *gguf);

bool gguf_has(const struct gguf *gguf, const char *key);

/* Metadata by key: false where the key is missing or of another kind. Integers of any width and sign
 * convert where they fit. */
bool gguf_get_i64(const struct gguf *gguf, const char *key, int64_t *value_out);
bool gguf_get_f64(const struct gguf *gguf, const char *key, double *value_out);
bool gguf_get_bool(const struct gguf *gguf, const char *key, bool *value_out);
bool gguf_get_text(const struct gguf *gguf, const char *key, struct gguf_text *value_out);

/* Arrays: the number of elements, or -1 where the key is missing or no array. Elements by index. */
int64_t gguf_array_count(const struct gguf *gguf, const char *key);
bool gguf_array_text(const struct gguf *gguf, const char *key, int64_t index, struct gguf_text *value_out);
bool gguf_array_f64(const struct gguf *gguf, const char *key, int64_t index, double *value_out);
bool gguf_array_i64(const struct gguf *gguf, const char *key, int64_t index, int64_t *value_out);

size_t gguf_tensor_count(const struct gguf *gguf);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index);
