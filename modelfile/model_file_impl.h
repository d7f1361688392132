/* modelfile/model_file_impl.h - an open model, as its loaders fill it in.
 *
 * Memory:  the arena holds all tables, names and paths.
 * Threads: filled by one, then read-only.
 * Ranks:   local. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "modelfile/gguf.h"
#include "modelfile/model_file.h"
#include "modelfile/tensor_table_impl.h"

struct data_file {
    int descriptor;
    uint64_t bytes;
};

struct model_file {
    struct arena *arena;
    const char *path;
    struct model_spec spec;
    struct gguf *gguf; /* NULL for a folder */

    struct data_file *files; /* [n_files], opened so far */
    const char **file_paths; /* [n_files] */
    size_t n_files;

    struct tensor_entry *entries; /* sorted by name */
    size_t n_entries;
    struct tensor_table table;
    uint64_t fingerprint;
};

/* Makes room for `count` data files; model_file_add_file opens one and returns its number. */
NODISCARD enum status model_file_reserve(struct model_file *model, size_t count);
NODISCARD enum status model_file_add_file(struct model_file *model, const char *path, int32_t *file_out);
NODISCARD enum status model_file_copy_text(struct model_file *model, const char *text, size_t size,
                                           const char **copy_out);

/* The two loaders: fill in spec, files and entries. */
NODISCARD enum status hf_folder_load(struct model_file *model);
NODISCARD enum status gguf_model_load(struct model_file *model);

/* Of configuration, tensor table, file sizes and some of the weights. */
uint64_t model_fingerprint(const struct model_file *model);
