#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/integer_range.h"

/* Parsed from memory of exact size, so that a sanitizer sees any read beyond it. */
static bool parse(const char *text, struct integer_range *range) {
    const size_t size = strlen(text);
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    const bool parsed = integer_range_parse(copy, size, range);
    free(copy);
    return parsed;
}

static void expect_numbers(const char *text, const char *expected) {
    struct integer_range range;
    if (!parse(text, &range)) fail_msg("'%s' is refused", text);
    char numbers[256];
    int size = 0;
    int64_t value = range.first;
    do
        size += snprintf(numbers + size, sizeof numbers - (size_t)size, " %lld", (long long)value);
    while (integer_range_next(&range, &value));
    assert_string_equal(numbers + 1, expected);
}

static void test_forms(void **state) {
    (void)state;
    expect_numbers("0", "0");
    expect_numbers("0512", "512");
    expect_numbers("9223372036854775807", "9223372036854775807");
    expect_numbers("1-4", "1 2 3 4");
    expect_numbers("4-4", "4");
    expect_numbers("0-100+25", "0 25 50 75 100");
    expect_numbers("0-99+25", "0 25 50 75");
    expect_numbers("5-9+9223372036854775807", "5");
    expect_numbers("512-4096*2", "512 1024 2048 4096");
    expect_numbers("3-100*3", "3 9 27 81");
}

/* The last steps would go beyond what an int64 holds. */
static void test_ends_before_overflow(void **state) {
    (void)state;
    expect_numbers("9223372036854775805-9223372036854775807", "9223372036854775805 9223372036854775806 "
                                                              "9223372036854775807");
    expect_numbers("4611686018427387904-9223372036854775807*2", "4611686018427387904");
    expect_numbers("9223372036854775800-9223372036854775807+5", "9223372036854775800 9223372036854775805");
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "-",
        "1-",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1-4-7",
        "4-1",
        "1-4+",
        "1-4+0",
        "1-4*",
        "1-4*0",
        "1-4*1",
        "0-4*2",
        "1*2",
        "1+2",
        "1-4+2*2",
        "0x10",
        "1-4+-1",
        "1.5",
        "1-4.5",
        "a",
        "1-b",
        "1-4+c",
        "1--4",
        "9223372036854775808",
        "1-9223372036854775808",
        "1-4+99999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct integer_range range = {.first = -7};
        if (parse(bad[i], &range)) fail_msg("'%s' is accepted", bad[i]);
        assert_int_equal(range.first, -7);
    }
    struct integer_range range;
    assert_false(integer_range_parse("1\0002", 3, &range));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_ends_before_overflow),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
