/* What counts as the answer of a text, and which answers are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "coordinator/eval_answer.h"
#include "coordinator/eval_canonical.h"
#include "coordinator/eval_number.h"

static const struct {
    const char *text, *answer; /* NULL: none */
} texts[] = {
    /* the last closed box, wherever it is */
    {"so \\boxed{12}.", "12"},
    {"\\boxed{1} no, \\boxed{2}", "2"},
    {"<think>\\boxed{1}</think>It is \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"},
    {"<think>so \\boxed{7} but", "7"},
    {"<think>\\boxed{7}</think>\n\n8", "7"},
    {"\\boxed{a\\}b}", "a\\}b"},
    {"\\boxed{\\{1,2\\}}", "\\{1,2\\}"},
    {"\\boxed{\\boxed{5}}", "5"},
    {"\\boxed{1} and \\boxed{2", "1"},
    {"\\boxed{ {1} } and \\boxed{2 \\boxed{3", "{1}"},
    {"\\boxed{}", ""},
    /* #### */
    {"16 - 3 = 13\n#### 13\n", "13"},
    {"#### 13 eggs\r\n \r\n", "13 eggs"},
    {"#### 1\n#### 2", "2"},
    {"####\nrest", "rest"},
    /* … as a headline, or in thoughts */
    {"#### 13 eggs\r\nmore", "more"},
    {"#### Final answer\n42", "42"},
    {"<think>\n#### Step 2\n</think>\n\n42", "42"},
    {"<think>\n#### Step 2", NULL},
    {"<think>1</think>2<think>\n#### 3", NULL},
    {"<think>\n#### 1\n</think>\n#### 2\n", "2"},
    /* behind the thoughts */
    {"<think>\nwf:3\n</think>\n\nrn=0", "rn=0"},
    {"<think>a</think><think>b</think> c ", "c"},
    {"<think>\na\n</think>\n\nFirst.\n\nIt is 4.\n\n", "It is 4."},
    {"a\nb\n", "b"},
    {"42", "42"},
    {"<think> 42", NULL},
    {"<think>1</think>\n \n", NULL},
    {"", NULL},
    {" \n", NULL},
};

static void the_answer_is_found(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct eval_answer answer = eval_answer_find(texts[i].text, strlen(texts[i].text), false);
        char found[256] = "none";
        if (answer.text) snprintf(found, sizeof found, "%.*s", (int)answer.size, answer.text);
        assert_string_equal(found, texts[i].answer ? texts[i].answer : "none");
    }
}

static void a_thought_that_the_prompt_opened_must_end(void **state) {
    (void)state;
    assert_null(eval_answer_find("5", 1, true).text);
    assert_null(eval_answer_find("#### 5", 6, true).text);
    assert_non_null(eval_answer_find("4</think>5", 10, true).text);
}

static const struct {
    const char *text, *canonical;
} forms[] = {
    {"$32,\\!348", "32348"},
    {"\\$32,\\! 348.00", "32348.00"},
    {"11,\\! 111,\\! 111,\\! 100", "11111111100"},
    {"10{,}080", "10080"},
    {"\\dfrac 34", "\\frac{3}{4}"},
    {"\\frac43", "\\frac{4}{3}"},
    {"\\frac9{19}", "\\frac{9}{19}"},
    {"\\frac{270}7\\text{ degrees}", "\\frac{270}{7}"},
    {"\\frac \\pi 2", "\\frac{\\pi}{2}"},
    {"\\frac{\\sqrt2}{\\sqrt{3}}", "\\frac{\\sqrt{2}}{\\sqrt{3}}"},
    {"11\\sqrt2", "11\\sqrt{2}"},
    {"\\sqrt[4]{3}", "\\sqrt[4]{3}"},
    {"\\text{Evelyn}", "Evelyn"},
    {"\\text{ even }.", "even"},
    {"15 \\mbox{ cm}^2", "15"},
    {"864 \\mbox{ inches}^{2}", "864"},
    {"5.4 \\text{ cents}", "5.4"},
    {"5\\ cm", "5"},
    {"18 dollars per egg.", "18"},
    {"3 m", "3m"},
    {"2 pi", "2pi"},
    {"2 \\text{ and } 3", "2and3"},
    {"2 \\text{ cm} 3", "2cm3"},
    {"1 and 2", "1and2"},
    {"5 x", "5x"},
    {"90^\\circ", "90"},
    {"90^{\\circ}", "90"},
    {"90°", "90"},
    {"50\\%", "50"},
    {"50 %", "50"},
    {"\\text{(C)}", "C"},
    {"(C)", "C"},
    {"(CD)", "(CD)"},
    {"**4**", "4"},
    {"x^{2} + y_{1}", "x^2+y_1"},
    {"x^{10}", "x^{10}"},
    {"\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})"},
    {"\\(4\\)", "4"},
    {"\\[4\\]", "4"},
    {"\u22124", "-4"},
    {"(1,234)", "(1,234)"},
    {"\\begin{pmatrix} -1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix}-1\\\\2\\end{pmatrix}"},
    {"}{", "}{"},
    {"\\", ""},
    {"\\text", ""},
    {"\\frac", "\\frac"},
    {"^", "^"},
    {"", ""},
};

static void forms_are_canonical(void **state) {
    (void)state;
    struct bytes canonical = {0};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(eval_canonical(forms[i].text, strlen(forms[i].text), &canonical), STATUS_OK);
        assert_string_equal(canonical.data, forms[i].canonical);
        /* A canonical form is its own. */
        char *once = strdup(canonical.data);
        assert_int_equal(eval_canonical(once, strlen(once), &canonical), STATUS_OK);
        assert_string_equal(canonical.data, once);
        free(once);
    }
    bytes_free(&canonical);
}

static const struct {
    const char *text;
    int64_t numerator, denominator; /* 0: no number */
} numbers[] = {
    {"0", 0, 1},
    {"1000", 1000, 1},
    {"1,000", 1000, 1},
    {"1,000,000.50", 2000001, 2},
    {"1000.0", 1000, 1},
    {"-.5", -1, 2},
    {"+3", 3, 1},
    {"3.", 3, 1},
    {"007", 7, 1},
    {"1/2", 1, 2},
    {"-2/4", -1, 2},
    {"\\frac{1}{2}", 1, 2},
    {"-\\frac{1}{2}", -1, 2},
    {"\\frac{-1}{-2}", 1, 2},
    {"\\frac{0.5}{2}", 1, 4},
    {"1\\frac{1}{2}", 3, 2},
    {"-1\\frac{1}{2}", -3, 2},
    {"9223372036854775807", INT64_MAX, 1},
    {"-9223372036854775807", -INT64_MAX, 1},
    {"9223372036854775808", 0, 0},
    {"1/0", 0, 0},
    {"1,00", 0, 0},
    {"1,0000", 0, 0},
    {"1000,000", 0, 0},
    {"1.5\\frac{1}{2}", 0, 0},
    {"0.0000000000000000001", 0, 0},
    {"", 0, 0},
    {"-", 0, 0},
    {".", 0, 0},
    {"1e3", 0, 0},
    {"1 000", 0, 0},
    {"--1", 0, 0},
    {"1/2/3", 0, 0},
    {"\\frac{1}", 0, 0},
    {"\\frac{1}{9223372036854775807}", 1, INT64_MAX},
    {"\\frac{0.1}{9223372036854775807}", 0, 0},
};

static void numbers_are_exact(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct eval_number number = {0, 0};
        const bool is_number = eval_number_parse(numbers[i].text, strlen(numbers[i].text), &number);
        if (is_number != (numbers[i].denominator != 0)) print_message("%s\n", numbers[i].text);
        assert_true(is_number == (numbers[i].denominator != 0));
        if (!is_number) continue;
        assert_true(number.numerator == numbers[i].numerator);
        assert_true(number.denominator == numbers[i].denominator);
    }
}

static const struct {
    const char *answer, *expected;
    bool right;
} pairs[] = {
    {"1,000", "1000", true},
    {"1000.0", "1000", true},
    {"$18", "18", true},
    {"18 dollars", "18", true},
    {"0.5", "\\frac{1}{2}", true},
    {"\\dfrac12", "1/2", true},
    {"1.50", "3/2", true},
    {"1\\frac{4}{5}", "\\frac{9}{5}", true},
    {"137.5", "137 \\frac{1}{2}", true},
    {"0.333", "1/3", false},
    {"np=4", "np=4", true},
    {"np=5", "np=4", false},
    {"pn=4", "np=4", false},
    {"4", "np=4", true},
    {"x=5", "5", true},
    {"x = 5.0", "x=5", true},
    {"y=2x+3", "y = 2x + 3", true},
    {"abc=5", "5", false},
    {"x=y=5", "5", false},
    {"\\text{Evelyn}", "Evelyn", true},
    {"(C)", "\\text{(C)}", true},
    {"C", "(B)", false},
    {"(3, 0.5)", "(3,\\frac12)", true},
    {"(3, 0.5]", "(3,\\frac12)", false},
    {"[3, 0.5]", "(3,\\frac12)", false},
    {"1, -2.0", "1,-2", true},
    {"1,-2,3", "1,-2", false},
    {"-2,1", "1,-2", false},
    {"(1,2),(3,4)", "(1,2),(3,4)", true},
    {"10,\\!080", "10080", true},
    {"115^{\\circ}", "115", true},
    {"50\\%", "50", true},
    {"52_{8}", "52_8", true},
    {"4\\sqrt{15}-14", "4 \\sqrt{15} - 14", true},
    {"\\frac{\\sqrt3}{3}", "\\frac{\\sqrt{3}}{3}", true},
    {"\\pi", "3.14", false},
    {"5x", "5", false},
    {"123456789012345678901234567890", "123456789012345678901234567890", true},
    {"123456789012345678901234567890", "123456789012345678901234567891", false},
    {"", "", false},
    {"", "0", false},
    {"(", "(", true},
    {"5", "", false},
};

static void equal_answers_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bool right = !pairs[i].right;
        const struct eval_answer answer = {pairs[i].answer, strlen(pairs[i].answer)};
        assert_int_equal(eval_answer_check(answer, pairs[i].expected, &right), STATUS_OK);
        if (right != pairs[i].right) print_message("%s and %s\n", pairs[i].answer, pairs[i].expected);
        assert_true(right == pairs[i].right);
    }
    bool right = true;
    assert_int_equal(eval_answer_check((struct eval_answer){0}, "", &right), STATUS_OK);
    assert_false(right);
}

/* What is quadratic by mistake takes minutes of the processor here. */
static void hostile_text_costs_linear_time(void **state) {
    (void)state;
    static const char *const patterns[] = {"\\boxed{", "\\boxed{}", "{",   "</think>", "1\\text{", "0 ",
                                           "\\frac",   "1 a b ",    "1, ", "(",        "####",     "1 ab ^"};
    const size_t size = 1 << 18;
    char *text = malloc(size + 1);
    const clock_t begin = clock();
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        const size_t n = strlen(patterns[p]);
        for (size_t i = 0; i < size; i++)
            text[i] = patterns[p][i % n];
        text[size] = '\0';
        bool right;
        const struct eval_answer whole = {text, size};
        eval_answer_find(text, size, false);
        assert_int_equal(eval_answer_check(whole, text, &right), STATUS_OK);
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 30);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_found),
        cmocka_unit_test(a_thought_that_the_prompt_opened_must_end),
        cmocka_unit_test(forms_are_canonical),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(equal_answers_are_right),
        cmocka_unit_test(hostile_text_costs_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
