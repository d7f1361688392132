#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/pattern_impl.h"

/* The matches of `regex` in `text`, each in brackets. */
static void check_matches(const char *regex, const char *text, const char *expected) {
    struct pattern *pattern;
    struct pattern_scratch scratch = {0};
    struct bytes marked = {0};
    if (pattern_create_regex(regex, "test", &pattern) != STATUS_OK) fail_msg("%s", status_message());
    struct pattern_search search = pattern_search_begin(pattern, &scratch, text, strlen(text));
    size_t done = 0;
    struct span match;
    for (bool found = true;;) {
        assert_int_equal(pattern_search_next(&search, &found, &match), STATUS_OK);
        if (!found) break;
        assert_int_equal(bytes_printf(&marked, "%.*s[%.*s]", (int)(match.start - done), text + done,
                                      (int)(match.end - match.start), text + match.start),
                         STATUS_OK);
        done = match.end;
    }
    assert_int_equal(bytes_append_text(&marked, text + done), STATUS_OK);
    assert_string_equal(marked.data, expected);
    bytes_free(&marked);
    pattern_scratch_free(&scratch);
    pattern_destroy(pattern);
}

static void test_matches(void **state) {
    (void)state;
    check_matches("a+", "baab a", "b[aa]b [a]");
    check_matches("\\s+(?!\\S)|\\s+", "a   b ", "a[  ][ ]b[ ]");
    check_matches("(?i:'s)", "x'S y's z'\xC5\xBF", "x['S] y['s] z['\xC5\xBF]");
    check_matches("(?=b)", "abb", "a[]b[]b");
    check_matches("x*", "axb", "[]a[x]b[]");
    check_matches("\\p{L}", "\xC3\xA9-\xE6\xBC\xA2", "[\xC3\xA9]-[\xE6\xBC\xA2]");
    check_matches("a", "", "");
}

/* What Oniguruma takes for white space and word characters is not what PCRE2 does. */
static void test_translated(void **state) {
    (void)state;
    check_matches("\\s", "\xE1\xA0\x8E\xC2\x85\xE3\x80\x80", "\xE1\xA0\x8E[\xC2\x85][\xE3\x80\x80]");
    check_matches("\\w+", "ae\xCC\x81_\xC2\xB2-", "[ae\xCC\x81_\xC2\xB2]-");
    check_matches("[\\w-]+", "a-\xCC\x81 ", "[a-\xCC\x81] ");
    check_matches("\\W", "a\xCC\x81 ", "a\xCC\x81[ ]");
    check_matches("\\v", "a\nb\x0B", "a\nb[\x0B]");
    check_matches("\\u0041", "xA", "x[A]");
    check_matches("[]a]+", "]a[", "[]a][");
    check_matches("[^]a]", "]ab", "]a[b]");
    check_matches("\\s+$|^a", "a  \na", "[a][  ]\n[a]");
    check_matches("[[:digit:]x]+", "a1x", "a[1x]");
    check_matches("a{2}", "aaa", "[aa]a");
    check_matches("{", "a{b", "a[{]b");
}

static void check_refused(const char *regex, const char *expected) {
    struct pattern *pattern = NULL;
    assert_int_equal(pattern_create_regex(regex, "test", &pattern), STATUS_BAD_INPUT);
    assert_null(pattern);
    if (strncmp(status_message(), "test: the regular expression", 28) != 0 ||
        !strstr(status_message(), expected))
        fail_msg("\"%s\" does not say \"%s\"", status_message(), expected);
}

static void test_refused(void **state) {
    (void)state;
    check_refused("a\\", "a backslash at the end");
    check_refused("\\p{L", "an open brace");
    check_refused("\\p{Nonsense}", "is wrong at byte");
    check_refused("\\u12", "without four digits");
    check_refused("[\\W]", "\\W inside a class");
    check_refused("(a)\\1", "a rare escape");
    check_refused("\\h", "a rare escape");
    check_refused("[a[bc]]", "a class inside a class");
    check_refused("[a-z&&[^b]]", "an intersection");
    check_refused("(*LIMIT_MATCH=1)a", "a verb");
    check_refused("(?m)a", "a rare kind of group");
    check_refused("a(?i)b", "a rare kind of group");
    check_refused("(?R)", "a rare kind of group");
    check_refused("\\d{1,3}+", "a repeated interval");
    check_refused("a{,3}", "without a lower bound");
    check_refused("(", "is wrong at byte");
    check_refused("[a", "is wrong at byte");
}

/* Exponential and quadratic expressions end, one way or the other, in little time. */
static void test_no_expression_hangs(void **state) {
    (void)state;
    static const char *const evil[] = {"(a+)+b",      "(a|a)*b",          "(a*)*b",
                                       "a*a*a*a*a*b", "(?:a?){30}a{30}b", ".*.*.*=.*"};
    enum { SIZE = 40000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        struct pattern *pattern;
        struct pattern_scratch scratch = {0};
        bool found = true;
        struct span match;
        assert_int_equal(pattern_create_regex(evil[i], "test", &pattern), STATUS_OK);
        struct pattern_search search = pattern_search_begin(pattern, &scratch, text, SIZE);
        const enum status status = pattern_search_next(&search, &found, &match);
        assert_true(status == STATUS_BAD_INPUT || (status == STATUS_OK && !found));
        if (status != STATUS_OK) assert_non_null(strstr(status_message(), "too many steps"));
        pattern_scratch_free(&scratch);
        pattern_destroy(pattern);
    }
    free(text);
}

static void test_replace(void **state) {
    (void)state;
    struct pattern *pattern;
    struct pattern_scratch scratch = {0};
    struct bytes replaced = {0};
    assert_int_equal(pattern_create_literal("ab", 2, &pattern), STATUS_OK);
    assert_int_equal(pattern_replace(pattern, &scratch, "abxabab", 7, "-", 1, 100, &replaced), STATUS_OK);
    assert_string_equal(replaced.data, "-x--");
    assert_int_equal(pattern_replace(pattern, &scratch, "abab", 4, "123456789", 9, 10, &replaced),
                     STATUS_BAD_INPUT);
    bytes_free(&replaced);
    pattern_scratch_free(&scratch);
    pattern_destroy(pattern);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_translated),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_no_expression_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
