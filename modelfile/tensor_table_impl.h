/* modelfile/tensor_table_impl.h - which tensor of the files plays which role.
 *
 * Memory:  the table is taken from the arena given; names are those of the entries.
 * Threads: built by one, then read-only.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "modelfile/model_file.h"
#include "modelfile/tensor_entry_impl.h"

struct arena;

/* All tensors of a model, sorted by name, and what its messages call things. */
struct tensor_source {
    const struct tensor_entry *entries;
    size_t n_entries;
    bool is_gguf;
    const char *path;              /* the model */
    const char *config_name;       /* "config.json" or "its metadata" */
    const char *const *file_paths; /* [n_files] */
};

struct tensor_table {
    struct tensor_ref *refs; /* one run for each role */
    size_t first[TENSOR_ROLE_COUNT];
    int32_t n_layers[TENSOR_ROLE_COUNT]; /* 1 where the role has no layers; 0 where it is absent */
    int32_t n_experts[TENSOR_ROLE_COUNT];
};

/* Finds every tensor the spec calls for and checks its shape and type. */
NODISCARD enum status tensor_table_build(const struct tensor_source *source, const struct model_spec *spec,
                                         struct arena *arena, struct tensor_table *table_out);

/* Of a model that has no files: what the spec calls for, all in bf16, under the names of safetensors. */
NODISCARD enum status tensor_table_imagine(const struct model_spec *spec, struct arena *arena,
                                           struct tensor_table *table_out);

/* NULL where the model has no such tensor. */
const struct tensor_ref *tensor_table_find(const struct tensor_table *table, enum tensor_role role, int layer,
                                           int expert);
