/* coordinator/tokenizer/gguf_splitter_impl.h - the pre-tokenizers that GGUF only names
 * (tokenizer.ggml.pre), with what else hangs on the name.
 *
 * Memory:  static tables.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/tokenizer/tokenizer_impl.h"

struct gguf_splitter {
    const char *const *names;   /* NULL at the end */
    const char *const *regexes; /* applied one after the other, matches isolated; NULL at the end */
    bool ignore_merges;
    bool add_bos; /* unless the metadata says otherwise */
};

/* NULL: no such name. */
const struct gguf_splitter *gguf_splitter_find(const char *name, size_t size);

/* `where` is for sentences. */
NODISCARD enum status gguf_splitter_build(const struct gguf_splitter *kind, const char *where,
                                          struct splitter *splitter);
