#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cluster/shares.h"

static void reads_numbers_with_commas(void **state) {
    (void)state;
    struct shares shares;
    assert_int_equal(shares_parse("3,2,1000000", &shares), STATUS_OK);
    assert_int_equal(shares.n, 3);
    assert_int_equal(shares.of[0], 3);
    assert_int_equal(shares.of[2], 1000000);
    assert_int_equal(shares_parse("7", &shares), STATUS_OK);
    assert_int_equal(shares.n, 1);
}

static void refuses_anything_else(void **state) {
    (void)state;
    static const char *const wrong[] = {"",    ",",  "3,",  ",3",  "3,,1",    "3, 1",
                                        "0",   "-1", "1.5", "3;1", "1000001", "99999999999999999999",
                                        "auto"};
    struct shares shares;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(shares_parse(wrong[i], &shares), STATUS_BAD_INPUT);
    char *many = malloc(2 * SHARES_MAX_RANKS + 2);
    memset(many, '1', 2 * SHARES_MAX_RANKS + 1);
    for (int i = 1; i < 2 * SHARES_MAX_RANKS; i += 2)
        many[i] = ',';
    many[2 * SHARES_MAX_RANKS - 1] = '\0';
    assert_int_equal(shares_parse(many, &shares), STATUS_OK);
    many[2 * SHARES_MAX_RANKS - 1] = ',';
    many[2 * SHARES_MAX_RANKS + 1] = '\0';
    assert_int_equal(shares_parse(many, &shares), STATUS_BAD_INPUT);
    free(many);
}

static void rates_within_a_tenth_are_alike(void **state) {
    (void)state;
    assert_int_equal(shares_from_rates((double[]){10e9, 10.9e9, 9.2e9}, 3).n, 0);
    const struct shares uneven = shares_from_rates((double[]){30e9, 10e9, 20e9}, 3);
    assert_int_equal(uneven.n, 3);
    assert_int_equal(uneven.of[0], 1000);
    assert_int_equal(uneven.of[1], 333);
    assert_int_equal(uneven.of[2], 667);
    const struct shares slow = shares_from_rates((double[]){1e12, 1}, 2);
    assert_int_equal(slow.of[1], 1); /* never nothing */
}

/* The next of 0 … n - 1. */
static int64_t draw(uint64_t *index, int64_t n) {
    return (int64_t)(rng_uniform(7, 0, (*index)++) * (double)n);
}

/* Every block has one owner, in the order of ranks, and each has what its share says to one block. */
static void deals_every_block_once_in_proportion(void **state) {
    (void)state;
    uint64_t drawn = 0;
    for (int round = 0; round < 2000; round++) {
        struct shares shares = {.n = 1 + (int32_t)draw(&drawn, 20)};
        for (int32_t i = 0; i < shares.n; i++)
            shares.of[i] = 1 + (int32_t)draw(&drawn, draw(&drawn, 2) ? 9 : SHARES_LARGEST);
        const int32_t begin = (int32_t)draw(&drawn, shares.n);
        const int32_t end = begin + 1 + (int32_t)draw(&drawn, shares.n - begin);
        const int64_t least = draw(&drawn, 2);
        const int64_t n_blocks = least * (end - begin) + draw(&drawn, 5000);
        int64_t total = 0;
        for (int32_t i = begin; i < end; i++)
            total += shares.of[i];
        assert_int_equal(shares_first_block(&shares, begin, end, begin, n_blocks, least), 0);
        assert_int_equal(shares_first_block(&shares, begin, end, end, n_blocks, least), n_blocks);
        for (int32_t rank = begin; rank < end; rank++) {
            const int64_t n = shares_first_block(&shares, begin, end, rank + 1, n_blocks, least) -
                              shares_first_block(&shares, begin, end, rank, n_blocks, least);
            const int64_t free_blocks = n_blocks - least * (end - begin);
            assert_true(n >= least);
            assert_true(llabs((n - least) * total - free_blocks * shares.of[rank]) <= total);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_with_commas),
        cmocka_unit_test(refuses_anything_else),
        cmocka_unit_test(rates_within_a_tenth_are_alike),
        cmocka_unit_test(deals_every_block_once_in_proportion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
