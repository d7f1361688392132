/* Philox4x32-10 against the known answers of its authors' Random123 distribution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"

static void known_answers(void **state) {
    (void)state;
    uint32_t words[4];
    rng_philox(0, (uint32_t[4]){0, 0, 0, 0}, words);
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(words, zeros, sizeof words);

    rng_philox(UINT64_MAX, (uint32_t[4]){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, words);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(words, ones, sizeof words);

    rng_philox(UINT64_C(0x299f31d0a4093822), (uint32_t[4]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
               words);
    const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    assert_memory_equal(words, pi, sizeof words);
}

static void uniform_numbers_fill_the_interval(void **state) {
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        const double u = rng_uniform(42, 7, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(sum > 49700 && sum < 50300);
    assert_true(rng_uniform(1, 2, 3) == rng_uniform(1, 2, 3));
    assert_true(rng_uniform(1, 2, 3) != rng_uniform(1, 3, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(uniform_numbers_fill_the_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
