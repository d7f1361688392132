/* modelfile/safetensors.h - the header of a .safetensors file, and the index of a model in several.
 *
 * A file is a 64-bit little-endian length, that many bytes of JSON, then the tensors' data without gaps
 * (https://huggingface.co/docs/safetensors). All of that is checked; the data is not touched.
 *
 * Memory:  tensors and names are taken from the arena given.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct arena;
struct tensor_entry;

struct safetensors {
    struct tensor_entry *entries; /* sorted by offset; `file` is 0 */
    size_t n_entries;
};

/* Reads the header of an open file of `file_size` bytes. */
NODISCARD enum status safetensors_read(int descriptor, uint64_t file_size, const char *path,
                                       struct arena *arena, struct safetensors *out);

/* The same from memory, for tests and fuzzing: `data` is the beginning of a file of `file_size` bytes and
 * holds at least the whole header. */
NODISCARD enum status safetensors_parse(const void *data, size_t size, uint64_t file_size, const char *path,
                                        struct arena *arena, struct safetensors *out);

/* Which files a model.safetensors.index.json names: plain names of the same folder, each once. */
NODISCARD enum status safetensors_index_parse(const char *text, size_t size, const char *path,
                                              struct arena *arena, const char ***names_out,
                                              size_t *count_out);
