#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "coordinator/tokenizer/nfc_impl.h"
#include "tests/tokenizer/tokenizer_fixture.h"

enum { N_RANDOM_TEXTS = 20000 };

/* Against utf8proc's own, which is quadratic in the marks but right. */
static void check(const char *text, size_t size) {
    utf8proc_uint8_t *expected = NULL;
    const utf8proc_ssize_t expected_size =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &expected,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    struct bytes normalized = {0};
    assert_true(expected_size >= 0);
    assert_int_equal(bytes_append(&normalized, text, size), STATUS_OK);
    assert_int_equal(nfc_normalize(&normalized), STATUS_OK);
    assert_int_equal(normalized.size, expected_size);
    assert_memory_equal(normalized.data, expected, normalized.size);
    if (nfc_is_certain(text, size)) {
        assert_int_equal(size, expected_size);
        assert_memory_equal(text, expected, size);
    }
    bytes_free(&normalized);
    free(expected);
}

static void test_every_character(void **state) {
    (void)state;
    for (uint32_t c = 1; c <= 0x10FFFF; c++) {
        char text[16] = "a";
        const size_t length = utf8_encode(c, text + 1);
        if (length == 0) continue;
        memcpy(text + 1 + length, "\xCC\x81\xCC\xA3", 4); /* acute, dot below: to be reordered */
        check(text, 1 + length);
        check(text + 1, length + 4);
        assert_true(!nfc_is_certain(text, 1 + length) ||
                    utf8proc_get_property((utf8proc_int32_t)c)->combining_class == 0);
    }
}

/* Any two characters that are certain stay as they are side by side; 1,000 of the first against a sample. */
static void test_pairs(void **state) {
    (void)state;
    static const uint32_t others[] = {'a', 0x388, 0x41A, 0x2019, 0x3001, 0x4E00, 0xAC00, 0xAC01, 0xD7A3};
    for (uint32_t c = 1; c < 0x10000; c += 7) {
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            char text[8];
            size_t size = utf8_encode(c, text);
            size += utf8_encode(others[i], text + size);
            check(text, size);
        }
    }
}

static void test_random(void **state) {
    (void)state;
    for (uint64_t i = 0; i < N_RANDOM_TEXTS; i++) {
        struct bytes text = fixture_random_text(i, 1 + i % 30);
        if (text.data) check(text.data, text.size);
        bytes_free(&text);
    }
}

static void test_known(void **state) {
    (void)state;
    check("e\xCC\x81", 3);
    check("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", 9); /* jamo to a syllable */
    check("\xE2\x84\xAB", 3);                         /* the angstrom sign */
    struct bytes text = {0};
    assert_int_equal(bytes_append_text(&text, "e\xCC\x81"), STATUS_OK);
    assert_int_equal(nfc_normalize(&text), STATUS_OK);
    assert_string_equal(text.data, "\xC3\xA9");
    bytes_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
