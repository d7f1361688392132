/* base/arena.h - memory that is taken piece by piece and given back all at once.
 *
 * A module makes one arena, takes everything it needs from it while it is set up, and seals it before
 * the step loop: from then on a request is a failed check, so a step cannot allocate.
 *
 * Memory:  the arena owns its blocks; pieces live until arena_destroy.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct arena;

#define ARENA_ALIGNMENT 64 /* a cache line; also the widest vector */

/* `name` (kept, not copied) appears in messages. */
NODISCARD enum status arena_create(const char *name, struct arena **arena_out);
void arena_destroy(struct arena *arena); /* NULL is allowed */

/* From now on the arena's blocks are large and wish for huge pages (base/mapping.h): for pieces that are
 * written whole. */
void arena_use_huge_pages(struct arena *arena);

/* `count * size` zeroed bytes, aligned to ARENA_ALIGNMENT. Overflow and exhaustion: STATUS_NO_MEMORY. */
NODISCARD enum status arena_take(struct arena *arena, size_t count, size_t size, void **memory_out);

/* arena_take for a typed pointer: ARENA_TAKE(arena, n, &floats). */
#define ARENA_TAKE(arena, count, pointer_out)                                                                \
    arena_take((arena), (count), sizeof **(pointer_out), (void **)(pointer_out))

/* From now on arena_take is a failed check. */
void arena_seal(struct arena *arena);
