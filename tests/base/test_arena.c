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
        cmocka_unit_test(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
