/* UTF-8: every code point round-trips, every malformed form is refused, tails are measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"

static void every_code_point_round_trips(void **state) {
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x110010; code_point++) {
        char text[4];
        const size_t length = utf8_encode(code_point, text);
        const int is_character = code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
        if (!is_character) {
            assert_int_equal(length, 0);
            continue;
        }
        uint32_t decoded = 0;
        assert_int_equal(utf8_decode(text, length, &decoded), length);
        assert_int_equal(decoded, code_point);
        for (size_t cut = 1; cut < length; cut++) {
            assert_int_equal(utf8_decode(text, cut, &decoded), 0);
            assert_int_equal(utf8_incomplete_tail(text, cut), cut);
        }
        assert_int_equal(utf8_incomplete_tail(text, length), 0);
    }
}

static void malformed_bytes_are_refused(void **state) {
    (void)state;
    const char *const bad[] = {"\x80",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x80\x80",
                               "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
                               "\xFF",         "a\xE2\x28\xA1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_is_valid(bad[i], strlen(bad[i])));
    assert_true(utf8_is_valid("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10));
    assert_true(utf8_is_valid("", 0));
    /* What can never become a character is no reason to wait. */
    assert_int_equal(utf8_incomplete_tail("a\xED\xA0", 3), 0);
    assert_int_equal(utf8_incomplete_tail("a\xFF", 2), 0);
}

static void foreign_text_is_made_printable(void **state) {
    (void)state;
    char copy[16];
    assert_string_equal(utf8_printable("caf\xC3\xA9", 5, sizeof copy, copy), "caf\xC3\xA9");
    assert_string_equal(utf8_printable("\x1B[2J\n\x7F\0.", 8, sizeof copy, copy), "?[2J???.");
    assert_string_equal(utf8_printable("\xC2\x9B"
                                       "0c\xC2\xA0",
                                       6, sizeof copy, copy),
                        "?0c\xC2\xA0");
    assert_string_equal(utf8_printable("\xFF"
                                       "a\xE2\x82",
                                       4, sizeof copy, copy),
                        "?a??");
    /* Cut between characters. */
    assert_string_equal(utf8_printable("ab\xE2\x82\xAC", 5, 5, copy), "ab");
    assert_string_equal(utf8_printable("ab\xE2\x82\xAC", 5, 6, copy), "ab\xE2\x82\xAC");
    assert_string_equal(utf8_printable("", 0, 1, copy), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_round_trips),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(foreign_text_is_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
