/* Whole safetensors files, and the same bytes as an index. */
#include <stdint.h>

#include "base/arena.h"
#include "modelfile/safetensors.h"
#include "modelfile/tensor_entry_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena;
    if (arena_create("fuzz", &arena) != STATUS_OK) return 0;
    struct safetensors file;
    if (safetensors_parse(data, size, size, "fuzz.safetensors", arena, &file) == STATUS_OK)
        for (size_t i = 0; i < file.n_entries; i++)
            if (file.entries[i].offset > size || file.entries[i].bytes > size - file.entries[i].offset)
                __builtin_trap();
    const char **names;
    size_t count;
    if (safetensors_index_parse((const char *)data, size, "fuzz.json", arena, &names, &count) == STATUS_OK)
        for (size_t i = 0; i < count; i++)
            if (names[i][0] == '\0' || names[i][0] == '/' || names[i][0] == '.') __builtin_trap();
    arena_destroy(arena);
    return 0;
}
