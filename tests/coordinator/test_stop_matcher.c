#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "coordinator/stop_matcher.h"

static struct stop_matcher *create(const char *const *stops, size_t n) {
    struct stop_matcher *matcher;
    assert_int_equal(stop_matcher_create(stops, n, &matcher), STATUS_OK);
    return matcher;
}

static void push(struct stop_matcher *matcher, const char *text, size_t size, struct bytes *safe) {
    assert_int_equal(stop_matcher_push(matcher, text, size, safe), STATUS_OK);
}

static void finish(struct stop_matcher *matcher, struct bytes *safe) {
    assert_int_equal(stop_matcher_finish(matcher, safe), STATUS_OK);
}

static void assert_bytes(const struct bytes *bytes, const char *expected, size_t size) {
    assert_int_equal(bytes->size, size);
    if (size) assert_memory_equal(bytes->data, expected, size);
}

/* The reference: after each byte, is the text's end a stop string? The longest counts. */
static const char *find_stop(const char *const *stops, size_t n, const char *text, size_t size,
                             size_t *safe_size) {
    for (size_t end = 1; end <= size; end++) {
        const char *longest = NULL;
        for (size_t i = 0; i < n; i++) {
            const size_t length = strlen(stops[i]);
            if (length <= end && memcmp(text + end - length, stops[i], length) == 0 &&
                (!longest || length > strlen(longest)))
                longest = stops[i];
        }
        *safe_size = end - (longest ? strlen(longest) : 0);
        if (longest) return longest;
    }
    *safe_size = size;
    return NULL;
}

/* How much of the text can be the beginning of a stop string and must be withheld. */
static size_t longest_beginning(const char *const *stops, size_t n, const char *text, size_t size) {
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t length = 1; length < strlen(stops[i]) && length <= size; length++)
            if (length > longest && memcmp(text + size - length, stops[i], length) == 0) longest = length;
    return longest;
}

static void check(const char *const *stops, size_t n, const char *text, size_t size, size_t push_size) {
    struct stop_matcher *matcher = create(stops, n);
    size_t safe_size = 0;
    const char *expected = find_stop(stops, n, text, size, &safe_size);
    struct bytes safe = {0};
    for (size_t i = 0; i < size; i += push_size) {
        const size_t n_pushed = i + push_size < size ? push_size : size - i;
        push(matcher, text + i, n_pushed, &safe);
        if (stop_matcher_match(matcher)) break;
        assert_int_equal(safe.size, i + n_pushed - longest_beginning(stops, n, text, i + n_pushed));
    }
    finish(matcher, &safe);
    assert_bytes(&safe, text, safe_size);
    if (expected)
        assert_string_equal(stop_matcher_match(matcher), expected);
    else
        assert_null(stop_matcher_match(matcher));
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
}

static void check_all_pushes(const char *const *stops, size_t n, const char *text) {
    for (size_t push_size = 1; push_size <= strlen(text); push_size++)
        check(stops, n, text, strlen(text), push_size);
}

static void stops_before_the_first_match(void **state) {
    (void)state;
    check_all_pushes((const char *[]){"END"}, 1, "the answer END and more");
    check_all_pushes((const char *[]){"END"}, 1, "the E EN ENE ENEND");
    check_all_pushes((const char *[]){"\n\n", "User:"}, 2, "one\ntwo\nUser\nUser:\n\n");
    check_all_pushes((const char *[]){"aab"}, 1, "aaaaaaab");
    check_all_pushes((const char *[]){"abcd", "bc"}, 2, "xabcd");
    check_all_pushes((const char *[]){"bc", "abc", "c"}, 3, "xabc");
    check_all_pushes((const char *[]){"he", "she", "his", "hers"}, 4, "ushhisers");
    check_all_pushes((const char *[]){"x", "x"}, 2, "abcx");
    check_all_pushes((const char *[]){"never"}, 1, "never say neve");
}

static void agrees_with_a_plain_search_on_random_texts(void **state) {
    (void)state;
    uint64_t random = 0;
    for (int round = 0; round < 4000; round++) {
        char stops[6][9] = {0}, text[60];
        const char *pointers[6];
        const size_t n = (size_t)(6 * rng_uniform(1, 1, random++));
        for (size_t i = 0; i < n; i++) {
            const size_t length = 1 + (size_t)(8 * rng_uniform(1, 1, random++));
            for (size_t j = 0; j < length; j++)
                stops[i][j] = "ab"[rng_uniform(1, 1, random++) < 0.3];
            pointers[i] = stops[i];
        }
        for (size_t j = 0; j < sizeof text; j++)
            text[j] = "abc"[(int)(2.1 * rng_uniform(1, 1, random++))];
        for (size_t push_size = 1; push_size <= 7; push_size += 3)
            check(pointers, n, text, sizeof text, push_size);
    }
}

static void passes_everything_without_stop_strings(void **state) {
    (void)state;
    check(NULL, 0, "a\0b\xff", 4, 1);
    check(NULL, 0, "", 0, 1);
    struct stop_matcher *matcher = create(NULL, 0);
    struct bytes safe = {0};
    push(matcher, "hello", 5, &safe);
    assert_bytes(&safe, "hello", 5);
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
}

static void passes_any_bytes(void **state) {
    (void)state;
    static const char *const stops[] = {"\xf0\x9f\x98\x80", "\xff\xfe", "é"};
    for (size_t push_size = 1; push_size < 5; push_size++) {
        check(stops, 3, "\0\xf0\x9f\x98\x81\xff\xff\0\xc3", 10, push_size);
        check(stops, 3, "\xf0\x9f\xf0\x9f\x98\x80\0", 7, push_size);
    }
}

static void keeps_characters_whole(void **state) {
    (void)state;
    static const char *const stops[] = {"😀", "éa", "è"};
    static const char *const characters[] = {"é", "😁", "ê", "é", "a"};
    struct stop_matcher *matcher = create(stops, 3);
    struct bytes safe = {0};
    for (size_t i = 0; i < 5; i++) {
        push(matcher, characters[i], strlen(characters[i]), &safe);
        assert_true(utf8_is_valid(safe.data, safe.size));
    }
    assert_string_equal(safe.data, "é😁ê");
    assert_string_equal(stop_matcher_match(matcher), "éa");
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
}

static void swallows_what_follows_the_match(void **state) {
    (void)state;
    struct stop_matcher *matcher = create((const char *[]){"stop"}, 1);
    struct bytes safe = {0};
    push(matcher, "a stop b", 8, &safe);
    push(matcher, "c", 1, &safe);
    finish(matcher, &safe);
    assert_string_equal(safe.data, "a ");
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
}

static void gives_out_what_it_withheld_when_the_text_ends(void **state) {
    (void)state;
    struct stop_matcher *matcher = create((const char *[]){"stop"}, 1);
    struct bytes safe = {0};
    push(matcher, "d sto", 5, &safe);
    assert_string_equal(safe.data, "d ");
    finish(matcher, &safe);
    assert_string_equal(safe.data, "d sto");
    push(matcher, "p", 1, &safe); /* after the end nothing of the old text counts */
    assert_null(stop_matcher_match(matcher));
    assert_string_equal(safe.data, "d stop");
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
}

static void refuses_an_empty_stop_string(void **state) {
    (void)state;
    struct stop_matcher *matcher;
    assert_int_equal(stop_matcher_create((const char *[]){"a", ""}, 2, &matcher), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "stop string 2 is empty");
}

static void takes_long_stop_strings_in_linear_time(void **state) {
    (void)state;
    enum { STOP = 50000, TEXT = 4000000 };
    char *stop = calloc(1, STOP + 1), *text = malloc(TEXT);
    assert_non_null(stop);
    assert_non_null(text);
    memset(stop, 'a', STOP);
    stop[STOP - 1] = 'b';
    memset(text, 'a', TEXT); /* withholds nearly the whole stop string all the time */
    struct stop_matcher *matcher = create((const char *const[]){stop}, 1);
    struct bytes safe = {0};
    for (size_t i = 0; i < TEXT; i++)
        push(matcher, text + i, 1, &safe);
    assert_int_equal(safe.size, TEXT - (STOP - 1));
    finish(matcher, &safe);
    assert_int_equal(safe.size, TEXT);
    bytes_free(&safe);
    stop_matcher_destroy(matcher);
    free(text);
    free(stop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_before_the_first_match),
        cmocka_unit_test(agrees_with_a_plain_search_on_random_texts),
        cmocka_unit_test(passes_everything_without_stop_strings),
        cmocka_unit_test(passes_any_bytes),
        cmocka_unit_test(keeps_characters_whole),
        cmocka_unit_test(swallows_what_follows_the_match),
        cmocka_unit_test(gives_out_what_it_withheld_when_the_text_ends),
        cmocka_unit_test(refuses_an_empty_stop_string),
        cmocka_unit_test(takes_long_stop_strings_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
