#include "base/mapping.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/check.h"

/* Much of what is mapped for a whole context is never touched: only what is counts as memory. Otherwise Linux
 * refuses a mapping larger than the machine. */
static void *map(size_t bytes) {
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* The kernel puts a mapping beside the last one, so what follows an aligned one of the same size is mostly
 * aligned already, and the two become one area: the number of areas of a process is limited. Otherwise map
 * more and trim. */
void *mapping_create(size_t bytes, size_t alignment) {
    CHECK(bytes % alignment == 0);
    unsigned char *memory = map(bytes);
    if (!memory || (uintptr_t)memory % alignment == 0) return memory;
    mapping_destroy(memory, bytes);

    size_t more;
    if (__builtin_add_overflow(bytes, alignment, &more)) return NULL;
    memory = map(more);
    if (!memory) return NULL;
    const size_t lead = (0 - (uintptr_t)memory) % alignment;
    /* Where a process may have no more areas, the ends stay: untouched, they cost addresses only. */
    if (lead > 0) (void)munmap(memory, lead);
    (void)munmap(memory + lead + bytes, alignment - lead);
    return memory + lead;
}

void mapping_destroy(void *memory, size_t bytes) {
    CHECK(munmap(memory, bytes) == 0);
}

void mapping_wish_huge_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}
