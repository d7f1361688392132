#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

enum { MIN_BLOCK_BYTES = 1 << 16 };

/* Blocks come from mmap: zero without being touched, so memory that is only reserved costs nothing. */
struct block {
    struct block *next;
    unsigned char *data;
    size_t capacity;
    size_t used;
};

struct arena {
    const char *name;
    struct block *blocks; /* newest first */
    bool sealed;
};

enum status arena_create(const char *name, struct arena **arena_out) {
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", name);
    arena->name = name;
    *arena_out = arena;
    return STATUS_OK;
}

void arena_destroy(struct arena *arena) {
    if (!arena) return;
    for (struct block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        munmap(block->data, block->capacity);
        free(block);
    }
    free(arena);
}

static enum status add_block(struct arena *arena, size_t bytes) {
    const size_t capacity = bytes > MIN_BLOCK_BYTES ? bytes : MIN_BLOCK_BYTES;
    struct block *block = calloc(1, sizeof *block);
    void *data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!block || data == MAP_FAILED) {
        free(block);
        if (data != MAP_FAILED) munmap(data, capacity);
        return FAIL(STATUS_NO_MEMORY, "out of memory: %s asked for %zu bytes", arena->name, bytes);
    }
    *block = (struct block){.next = arena->blocks, .data = data, .capacity = capacity};
    arena->blocks = block;
    return STATUS_OK;
}

enum status arena_take(struct arena *arena, size_t count, size_t size, void **memory_out) {
    CHECK(!arena->sealed);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return FAIL(STATUS_NO_MEMORY, "out of memory: %s asked for %zu x %zu bytes", arena->name, count,
                    size);
    bytes = (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;

    struct block *block = arena->blocks;
    while (block && block->capacity - block->used < bytes)
        block = block->next;
    if (!block) {
        TRY(add_block(arena, bytes));
        block = arena->blocks;
    }
    *memory_out = block->data + block->used;
    block->used += bytes;
    return STATUS_OK;
}

void arena_seal(struct arena *arena) {
    arena->sealed = true;
}
