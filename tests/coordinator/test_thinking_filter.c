#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "coordinator/stop_matcher.h"
#include "coordinator/thinking_filter.h"

#define DIM   "\033[2m"
#define RESET "\033[0m"

static void push(struct thinking_filter *filter, const char *text, size_t size, struct bytes *shown) {
    assert_int_equal(thinking_filter_push(filter, text, size, shown), STATUS_OK);
}

static void check_shown(struct thinking_filter *filter, struct bytes *shown, const char *expected) {
    assert_int_equal(thinking_filter_finish(filter, shown), STATUS_OK);
    assert_string_equal(shown->size ? shown->data : "", expected);
    bytes_free(shown);
}

/* `expected` must be shown whichever two places the text is cut at, and when it comes byte by byte. */
static void check(enum thinking_style style, bool is_inside, const char *text, const char *expected) {
    const size_t size = strlen(text);
    for (size_t first = 0; first <= size; first++)
        for (size_t second = first; second <= size; second++) {
            struct thinking_filter filter = thinking_filter_begin(style, is_inside);
            struct bytes shown = {0};
            push(&filter, text, first, &shown);
            push(&filter, text + first, second - first, &shown);
            push(&filter, text + second, size - second, &shown);
            check_shown(&filter, &shown, expected);
        }
    struct thinking_filter filter = thinking_filter_begin(style, is_inside);
    struct bytes shown = {0};
    for (size_t i = 0; i < size; i++)
        push(&filter, text + i, 1, &shown);
    check_shown(&filter, &shown, expected);
}

static void shows_everything_plainly(void **state) {
    (void)state;
    static const char *const texts[] = {"<think>\nhm\n</think>\n\n4",
                                        "<think>",
                                        "<thin",
                                        " <think",
                                        "",
                                        "no tags",
                                        "a <think>b</think>",
                                        "</think>",
                                        "<<think>x</think>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check(THINKING_PLAIN, false, texts[i], texts[i]);
        check(THINKING_PLAIN, true, texts[i], texts[i]);
    }
}

static void dims_the_thought(void **state) {
    (void)state;
    check(THINKING_DIMMED, false, "<think>\nhm\n</think>\n\n4", DIM "<think>\nhm\n</think>" RESET "\n\n4");
    check(THINKING_DIMMED, false, "\n <think></think>4", "\n " DIM "<think></think>" RESET "4");
    check(THINKING_DIMMED, true, "hm</think>4", DIM "hm</think>" RESET "4");
    check(THINKING_DIMMED, true, "</think>", DIM "</think>" RESET);
    check(THINKING_DIMMED, false, "<think>cut off", DIM "<think>cut off" RESET);
    check(THINKING_DIMMED, true, "", "");
    check(THINKING_DIMMED, false, "4", "4");
}

static void hides_the_thought(void **state) {
    (void)state;
    check(THINKING_HIDDEN, false, "<think>\nhm\n</think>\n\n4\n\n", "4\n\n");
    check(THINKING_HIDDEN, false, "<think>hm</think>4", "4");
    check(THINKING_HIDDEN, false, "<think>hm</think> \n4", " \n4");
    check(THINKING_HIDDEN, true, "hm\n</think>\n\n4", "4");
    check(THINKING_HIDDEN, true, "hm", "");
    check(THINKING_HIDDEN, false, "<think>", "");
    check(THINKING_HIDDEN, false, "4", "4");
}

static void keeps_every_byte_of_the_answer(void **state) {
    (void)state;
    check(THINKING_HIDDEN, false, "The tag <think> opens", "The tag <think> opens");
    check(THINKING_HIDDEN, false, "<thin ice>", "<thin ice>");
    check(THINKING_HIDDEN, false, "<<think>x</think>", "<<think>x</think>");
    check(THINKING_HIDDEN, false, "<thi<think>x", "<thi<think>x");
    check(THINKING_HIDDEN, false, "  <", "  <");
    check(THINKING_HIDDEN, false, "</think>4", "</think>4");
    check(THINKING_HIDDEN, false, "<Think>x</Think>4", "<Think>x</Think>4");
    check(THINKING_HIDDEN, false, "<think>a</think>b<think>c</think>d</think>", "b<think>c</think>d</think>");
    check(THINKING_DIMMED, false, "<think>a</think>b<think>c</think>d",
          DIM "<think>a</think>" RESET "b<think>c</think>d");
}

static void finds_the_closing_tag_behind_false_starts(void **state) {
    (void)state;
    check(THINKING_HIDDEN, true, "<</think>4", "4");
    check(THINKING_HIDDEN, true, "</</think>4", "4");
    check(THINKING_HIDDEN, true, "</think</think>4", "4");
    check(THINKING_HIDDEN, true, "</think ></thinking></think>4", "4");
    check(THINKING_HIDDEN, true, "<think></think>4", "4");
}

static void recognises_prompts_that_open_the_block(void **state) {
    (void)state;
    static const struct {
        const char *prompt;
        bool opens;
    } cases[] = {{"<｜User｜>1+1?<｜Assistant｜><think>\n", true},
                 {"<think>", true},
                 {"<|im_start|>assistant\n", false},
                 {"<|im_start|>assistant\n<think>\n\n</think>\n\n", false},
                 {"what is <think> for?<|im_end|>", false},
                 {"think>", false},
                 {"\n", false},
                 {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(thinking_prompt_opens(cases[i].prompt, strlen(cases[i].prompt)), cases[i].opens);
}

static void works_behind_the_stop_matcher(void **state) {
    (void)state;
    static const char text[] = "<think>\n</thi DONE\n</think>\n\nfour </DO";
    static const char *const stops[] = {"</th x", "four </DONE"};
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct stop_matcher *matcher;
        assert_int_equal(stop_matcher_create(stops, 2, &matcher), STATUS_OK);
        struct thinking_filter filter = thinking_filter_begin(THINKING_HIDDEN, false);
        struct bytes safe = {0}, shown = {0};
        const char *const parts[] = {text, text + cut};
        const size_t sizes[] = {cut, strlen(text) - cut};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(stop_matcher_push(matcher, parts[i], sizes[i], &safe), STATUS_OK);
            push(&filter, safe.data, safe.size, &shown);
            bytes_clear(&safe);
        }
        assert_int_equal(stop_matcher_finish(matcher, &safe), STATUS_OK);
        push(&filter, safe.data, safe.size, &shown);
        check_shown(&filter, &shown, "four </DO");
        bytes_free(&safe);
        stop_matcher_destroy(matcher);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_everything_plainly),
        cmocka_unit_test(dims_the_thought),
        cmocka_unit_test(hides_the_thought),
        cmocka_unit_test(keeps_every_byte_of_the_answer),
        cmocka_unit_test(finds_the_closing_tag_behind_false_starts),
        cmocka_unit_test(recognises_prompts_that_open_the_block),
        cmocka_unit_test(works_behind_the_stop_matcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
