#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mapping.h"

/* Pieces of a block with huge pages follow one another without gaps, so many share one block. */
enum { MIN_BLOCK_BYTES = 1 << 16, MIN_HUGE_BLOCK_BYTES = 64 << 20 };

/* Blocks come from the system: zero without being touched, so memory that is only reserved costs nothing. */
struct block {
    struct block *next;
    unsigned char *data;
    size_t capacity;
    size_t used;
};

struct arena {
    const char *name;
    struct block *blocks; /* newest first */
    bool huge_pages;
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
        mapping_destroy(block->data, block->capacity);
        free(block);
    }
    free(arena);
}

void arena_use_huge_pages(struct arena *arena) {
    arena->huge_pages = true;
}

static enum status add_block(struct arena *arena, size_t bytes) {
    const size_t least = arena->huge_pages ? MIN_HUGE_BLOCK_BYTES : MIN_BLOCK_BYTES;
    const size_t alignment = arena->huge_pages ? MAPPING_HUGE_PAGE : 1;
    const size_t wanted = bytes > least ? bytes : least;
    const size_t capacity = (wanted + alignment - 1) / alignment * alignment;
    struct block *block = calloc(1, sizeof *block);
    void *data = block ? mapping_create(capacity, alignment) : NULL;
    if (!data) {
        free(block);
        return FAIL(STATUS_NO_MEMORY, "out of memory: %s asked for %zu bytes", arena->name, bytes);
    }
    if (arena->huge_pages) mapping_wish_huge_pages(data, capacity);
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
