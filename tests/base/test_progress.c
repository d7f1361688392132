#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/progress.h"

static void assert_time(double seconds, const char *expected) {
    char text[PROGRESS_TIME_MAX];
    progress_print_time(seconds, text);
    assert_string_equal(text, expected);
}

static void tells_times_as_people_do(void **state) {
    (void)state;
    assert_time(0, "0 s");
    assert_time(99.4, "99 s");
    assert_time(100, "1 min");
    assert_time(59 * 60, "59 min");
    assert_time(3600, "1 h 00 min");
    assert_time(3 * 3600 + 5 * 60 + 59, "3 h 05 min");
    assert_time(52 * 3600, "2 d 4 h");
    assert_time(1e300, "11574 d 1 h");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_times_as_people_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
