/* Mappings: aligned, zeroed, given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "base/mapping.h"

static void mappings_are_aligned_and_zero(void **state) {
    (void)state;
    enum { N = 6 };
    static const size_t alignments[N] = {1, 4096, 1 << 16, 1 << 20, MAPPING_HUGE_PAGE, MAPPING_HUGE_PAGE};
    unsigned char *memory[N];
    for (int i = 0; i < N; i++) {
        const size_t bytes = alignments[i] == 1 ? 10000 : 3 * alignments[i];
        memory[i] = mapping_create(bytes, alignments[i]);
        assert_non_null(memory[i]);
        assert_int_equal((uintptr_t)memory[i] % alignments[i], 0);
        if (i % 2) mapping_wish_huge_pages(memory[i], bytes);
        for (size_t at = 0; at < bytes; at += 512)
            assert_int_equal(memory[i][at], 0);
        memset(memory[i], 0xA0 + i, bytes);
    }
    for (int i = 0; i < N; i++) {
        const size_t bytes = alignments[i] == 1 ? 10000 : 3 * alignments[i];
        for (size_t at = 0; at < bytes; at += 511)
            assert_int_equal(memory[i][at], 0xA0 + i);
        mapping_destroy(memory[i], bytes);
    }
}

/* Whatever lies around it, an aligned mapping takes no more than its own bytes. */
static void what_was_trimmed_is_free(void **state) {
    (void)state;
    unsigned char *page = mapping_create(4096, 1); /* so that the next is hardly aligned by chance */
    unsigned char *memory = mapping_create(MAPPING_HUGE_PAGE, MAPPING_HUGE_PAGE);
    assert_non_null(memory);
    mapping_destroy(memory, MAPPING_HUGE_PAGE);
    unsigned char in_core[1];
    assert_int_not_equal(mincore(memory, 4096, in_core), 0);
    mapping_destroy(page, 4096);
}

/* 1 TiB, of which two bytes are touched; where the system counts every mapping it may refuse. */
static void untouched_memory_costs_nothing(void **state) {
    (void)state;
    const size_t bytes = (size_t)1 << 40;
    unsigned char *memory = mapping_create(bytes, 4096);
    if (!memory) skip();
    memory[0] = memory[bytes - 1] = 1;
    mapping_destroy(memory, bytes);
}

static void too_much_is_refused(void **state) {
    (void)state;
    assert_null(mapping_create(SIZE_MAX / 2 / 4096 * 4096, 4096));
    assert_null(mapping_create(0 - MAPPING_HUGE_PAGE, MAPPING_HUGE_PAGE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_are_aligned_and_zero),
        cmocka_unit_test(what_was_trimmed_is_free),
        cmocka_unit_test(untouched_memory_costs_nothing),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
