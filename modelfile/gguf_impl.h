/* modelfile/gguf_impl.h - what the parser of GGUF files fills in and the look-ups read.
 *
 * Memory:  everything hangs on the arena of the gguf.
 * Threads: written by one thread while parsing, read-only afterwards.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "modelfile/gguf.h"

enum gguf_kind { /* the format's numbers */
                 GGUF_U8,
                 GGUF_I8,
                 GGUF_U16,
                 GGUF_I16,
                 GGUF_U32,
                 GGUF_I32,
                 GGUF_F32,
                 GGUF_BOOL,
                 GGUF_TEXT,
                 GGUF_ARRAY,
                 GGUF_U64,
                 GGUF_I64,
                 GGUF_F64,
                 GGUF_KINDS,
};

struct gguf_value {
    struct gguf_text key;
    enum gguf_kind kind; /* of the elements, for an array */
    bool is_array;
    int64_t count;                 /* 1 for a single value */
    const unsigned char *data;     /* packed little-endian numbers; unused for texts */
    const struct gguf_text *texts; /* [count] for GGUF_TEXT */
};

struct gguf {
    struct arena *arena;
    struct gguf_value *values; /* sorted by key */
    size_t n_values;
    struct gguf_tensor *tensors;
    size_t n_tensors;
};

/* Bytes of one number; 0 for texts and arrays. */
size_t gguf_kind_bytes(enum gguf_kind kind);

/* As strcmp, for texts. */
int gguf_text_compare(const struct gguf_text *left, const struct gguf_text *right);

/* Fills `gguf` from `data`, the first `size` bytes of a file of `file_size`. Texts and arrays point into
 * `data`. *short_out: it failed only because the metadata goes on beyond `size`. */
NODISCARD enum status gguf_parse_into(const unsigned char *data, size_t size, uint64_t file_size,
                                      const char *path, struct gguf *gguf, bool *short_out);
