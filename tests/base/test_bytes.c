/* Byte strings: content with NULs, growth, dropping from the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"

static void appended_content_stays(void **state) {
    (void)state;
    struct bytes bytes = {0};
    assert_int_equal(bytes_append(&bytes, "a\0b", 3), STATUS_OK);
    assert_int_equal(bytes_append_text(&bytes, "cd"), STATUS_OK);
    assert_int_equal(bytes_printf(&bytes, "%d-%s", 17, "x"), STATUS_OK);
    assert_int_equal(bytes.size, 9);
    assert_memory_equal(bytes.data, "a\0bcd17-x", 10);
    bytes_drop_front(&bytes, 3);
    assert_string_equal(bytes.data, "cd17-x");
    bytes_clear(&bytes);
    assert_int_equal(bytes.size, 0);
    bytes_free(&bytes);
    assert_null(bytes.data);
}

static void growth_keeps_content(void **state) {
    (void)state;
    struct bytes bytes = {0};
    for (int i = 0; i < 10000; i++)
        assert_int_equal(bytes_printf(&bytes, "%04d", i), STATUS_OK);
    assert_int_equal(bytes.size, 40000);
    assert_memory_equal(bytes.data + 4 * 1234, "1234", 4);
    bytes_free(&bytes);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    struct bytes bytes = {0};
    assert_int_equal(bytes_reserve(&bytes, SIZE_MAX - 10), STATUS_NO_MEMORY);
    assert_null(bytes.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_content_stays),
        cmocka_unit_test(growth_keeps_content),
        cmocka_unit_test(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
