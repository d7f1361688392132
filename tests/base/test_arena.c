/* Arena: aligned and zeroed pieces, refusal of absurd sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"

static void pieces_are_aligned_and_distinct(void **state) {
    (void)state;
    struct arena *arena;
    assert_int_equal(arena_create("test", &arena), STATUS_OK);
    unsigned char *previous = NULL;
    for (size_t size = 1; size < 5000; size += 7) {
        unsigned char *piece;
        assert_int_equal(ARENA_TAKE(arena, size, &piece), STATUS_OK);
        assert_int_equal((uintptr_t)piece % ARENA_ALIGNMENT, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0); /* not yet the bytes of an earlier piece */
        memset(piece, 0xAA, size);
        if (previous) assert_int_equal(previous[0], 0xAA);
        previous = piece;
    }
    arena_destroy(arena);
}

/* Pieces follow one another, so that many share a huge page; a large one gets a block of its own. */
static void pieces_on_huge_pages(void **state) {
    (void)state;
    enum { LARGE = 70 << 20 };
    struct arena *arena;
    assert_int_equal(arena_create("test", &arena), STATUS_OK);
    arena_use_huge_pages(arena);
    unsigned char *first, *second, *large;
    assert_int_equal(ARENA_TAKE(arena, (size_t)3000001, &first), STATUS_OK);
    assert_int_equal(ARENA_TAKE(arena, (size_t)1000, &second), STATUS_OK);
    assert_int_equal(ARENA_TAKE(arena, (size_t)LARGE, &large), STATUS_OK);
    assert_ptr_equal(second, first + 3000001 + ARENA_ALIGNMENT - 3000001 % ARENA_ALIGNMENT);
    assert_int_equal((uintptr_t)large % ((size_t)2 << 20), 0);
    large[LARGE - 1] = 1;
    arena_destroy(arena);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    struct arena *arena;
    void *memory;
    assert_int_equal(arena_create("test", &arena), STATUS_OK);
    assert_int_equal(arena_take(arena, SIZE_MAX, 2, &memory), STATUS_NO_MEMORY);
    assert_int_equal(arena_take(arena, SIZE_MAX / 2 - 64, 1, &memory), STATUS_NO_MEMORY);
    assert_non_null(strstr(status_message(), "test"));
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_distinct),
        cmocka_unit_test(pieces_on_huge_pages),
        cmocka_unit_test(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
