#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/added_tokens_impl.h"
#include "coordinator/tokenizer/byte_alphabet_impl.h"

static struct added_token token(const char *text, int32_t id) {
    return (struct added_token){.text = text, .size = (uint32_t)strlen(text), .id = id};
}

/* The ids found in `text`, with their spans, as "id:start-end ". */
static void check(const struct added_tokens *added, const char *text, bool special, const char *expected) {
    char found[256] = "";
    size_t from = 0;
    int32_t id;
    struct span match;
    while (added_tokens_find(added, text, strlen(text), from, special, &id, &match)) {
        snprintf(found + strlen(found), sizeof found - strlen(found), "%d:%zu-%zu ", id, match.start,
                 match.end);
        from = match.end;
    }
    assert_string_equal(found, expected);
}

static void test_leftmost_longest(void **state) {
    (void)state;
    struct added_token tokens[] = {token("ab", 1), token("abc", 2), token("bcd", 3), token("\xC3\xA9", 4),
                                   token("a", 5)};
    struct added_tokens added;
    added_tokens_build(tokens, 5, &added);
    check(&added, "", true, "");
    check(&added, "xyz", true, "");
    check(&added, "abcd", true, "2:0-3 ");
    check(&added, "ab", true, "1:0-2 ");
    check(&added, "aab\xC3\xA9", true, "5:0-1 1:1-3 4:3-5 ");
    check(&added, "bcbcd", true, "3:2-5 ");
    added_tokens_build(NULL, 0, &added);
    check(&added, "abc", true, "");
}

static void test_flags(void **state) {
    (void)state;
    struct added_token tokens[] = {token("<s>", 1), token("<l>", 2), token("<r>", 3), token("word", 4)};
    tokens[0].special = true;
    tokens[1].takes_left_space = true;
    tokens[2].takes_right_space = true;
    tokens[3].single_word = true;
    struct added_tokens added;
    added_tokens_build(tokens, 4, &added);
    check(&added, "<s>", true, "1:0-3 ");
    check(&added, "<s>", false, "");
    check(&added, "a \n<l> b", false, "2:1-6 ");
    check(&added, "<r>\xE3\x80\x80 b", false, "3:0-7 ");
    check(&added, "<r>  <l>", false, "3:0-5 2:5-8 "); /* the space is taken once */
    check(&added, "word words wo-word \xC3\xA9word word\xCC\x81", false, "4:0-4 4:14-18 ");
}

/* Thousands of tokens cost no more than a few: a search per token and place would outlast the test's limit.
 */
static void test_many(void **state) {
    (void)state;
    enum { N = 20000, TEXT = 1 << 20 };
    char(*texts)[24] = malloc(N * sizeof *texts), *text = malloc(TEXT);
    struct added_token *tokens = calloc(N, sizeof *tokens);
    struct added_tokens added;
    assert_true(texts && text && tokens);
    for (int32_t i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "<token_%05d>", i);
        tokens[i] = token(texts[i], i);
    }
    added_tokens_build(tokens, N, &added);
    memset(text, '<', TEXT);
    memcpy(text + TEXT - 13, "<token_12345>", 13);
    int32_t id = -1;
    struct span match;
    assert_true(added_tokens_find(&added, text, TEXT, 0, true, &id, &match));
    assert_int_equal(id, 12345);
    assert_int_equal(match.start, TEXT - 13);
    free(texts);
    free(text);
    free(tokens);
}

/* ---- the byte alphabet, the other small table ---- */

static void test_byte_alphabet(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(byte_alphabet_byte(byte_alphabet_character((unsigned char)byte)), byte);
    assert_int_equal(byte_alphabet_character(' '), 0x120);
    assert_int_equal(byte_alphabet_character('\n'), 0x10A);
    assert_int_equal(byte_alphabet_character(0x7F), 0x121);
    assert_int_equal(byte_alphabet_character(0xA0), 0x142);
    assert_int_equal(byte_alphabet_character(0xAD), 0x143);
    assert_int_equal(byte_alphabet_byte(' '), -1);
    assert_int_equal(byte_alphabet_byte(0x144), -1);
    assert_int_equal(byte_alphabet_byte(0x10FFFF), -1);
    struct bytes text = {0};
    assert_int_equal(byte_alphabet_read("\xC4\xA0"
                                        "a",
                                        3, &text),
                     STATUS_OK);
    assert_int_equal(byte_alphabet_read("a b", 3, &text), STATUS_OK); /* not of the alphabet: as it is */
    assert_string_equal(text.data, " aa b");
    bytes_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leftmost_longest),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_byte_alphabet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
