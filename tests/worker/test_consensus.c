/* Which hash differs, and whose; that a rank with other values is found is in tests/faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "worker/consensus.h"

enum { HASHES = 6 };

static void assert_difference(const uint64_t *hashes, int n_ranks, size_t index, int rank) {
    size_t found_index = 999;
    int found_rank = 999;
    assert_true(consensus_difference(hashes, n_ranks, HASHES, &found_index, &found_rank));
    assert_int_equal(found_index, index);
    assert_int_equal(found_rank, rank);
}

static void test_the_same_is_the_same(void **state) {
    (void)state;
    const uint64_t hashes[2][HASHES] = {{1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}};
    size_t index;
    int rank;
    assert_false(consensus_difference(hashes[0], 2, HASHES, &index, &rank));
    assert_false(consensus_difference(hashes[0], 1, HASHES, &index, &rank));
}

static void test_the_first_difference_counts(void **state) {
    (void)state;
    const uint64_t hashes[3][HASHES] = {{1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 0, 0}, {1, 2, 3, 0, 5, 6}};
    assert_difference(hashes[0], 3, 3, 2);
}

/* Rank 0 may be the one. */
static void test_most_ranks_are_right(void **state) {
    (void)state;
    uint64_t hashes[4][HASHES] = {{0}, {0}, {0}, {0}};
    for (int odd = 0; odd < 4; odd++)
        for (size_t index = 0; index < HASHES; index++) {
            hashes[odd][index] = 7;
            assert_difference(hashes[0], 4, index, odd);
            hashes[odd][index] = 0;
        }
}

static void test_of_two_rank_0_is_right(void **state) {
    (void)state;
    const uint64_t two[2][HASHES] = {{1, 2, 3, 4, 5, 6}, {1, 9, 3, 4, 5, 6}};
    assert_difference(two[0], 2, 1, 1);
    const uint64_t four[4][HASHES] = {{1}, {1}, {2}, {2}};
    assert_difference(four[0], 4, 0, 2);
}

static void test_nothing_is_checked_without_it(void **state) {
    (void)state;
    const struct step_plan plan = {0};
    consensus_begin(NULL, &plan);
    consensus_set(NULL, 0, NULL, 0);
    consensus_hidden(NULL, 0, NULL, 0);
    assert_int_equal(consensus_finish(NULL), STATUS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_is_the_same),
        cmocka_unit_test(test_the_first_difference_counts),
        cmocka_unit_test(test_most_ranks_are_right),
        cmocka_unit_test(test_of_two_rank_0_is_right),
        cmocka_unit_test(test_nothing_is_checked_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
