/* base/mapping.h - memory straight from the operating system: zero, and real only where it was touched.
 *
 * Memory:  who creates a mapping destroys it.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

/* Where a huge page can begin: on x86-64 and on AArch64 with pages of 4 KiB. */
#define MAPPING_HUGE_PAGE ((size_t)2 << 20)

/* `bytes`, a multiple of `alignment`, at a multiple of it; NULL where there is no room. The alignment is a
 * power of two: 1 for no more than a page's. */
void *mapping_create(size_t bytes, size_t alignment);
void mapping_destroy(void *memory, size_t bytes);

/* Asks for huge pages, 2 MiB: an address then costs fewer table lookups, but touching one byte makes all of
 * its huge page real. For what will be written whole. A wish: some systems do not grant it, or only later. */
void mapping_wish_huge_pages(void *memory, size_t bytes);
