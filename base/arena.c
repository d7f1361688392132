#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { MIN_BLOCK_BYTES = 1 << 16 };

struct block {
    struct block *next;
    size_t capacity;
    size_t used;
    alignas(ARENA_ALIGNMENT) unsigned char data[];
};

struct arena {
    const char *name;
    struct block *blocks; /* newest first */
    size_t used;
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
        free(block);
    }
    free(arena);
}

static enum status add_block(struct arena *arena, size_t bytes) {
    const size_t capacity = bytes > MIN_BLOCK_BYTES ? bytes : MIN_BLOCK_BYTES;
    struct block *block = aligned_alloc(ARENA_ALIGNMENT, sizeof(struct block) + capacity);
    if (!block) return FAIL(STATUS_NO_MEMORY, "out of memory: %s asked for %zu bytes", arena->name, bytes);
    block->next = arena->blocks;
    block->capacity = capacity;
    block->used = 0;
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
    *memory_out = memset(block->data + block->used, 0, bytes);
    block->used += bytes;
    arena->used += bytes;
    return STATUS_OK;
}

void arena_reset(struct arena *arena) {
    for (struct block *block = arena->blocks; block; block = block->next)
        block->used = 0;
    arena->used = 0;
}

void arena_seal(struct arena *arena) {
    arena->sealed = true;
}

size_t arena_used_bytes(const struct arena *arena) {
    return arena->used;
}
