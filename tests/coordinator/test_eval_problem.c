/* Problems in all the forms they come in, and what is said of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/eval_problem.h"

static const struct {
    const char *line, *sentence;
} bad_lines[] = {
    {"{", "p.jsonl:7: this is not valid JSON: string or '}' expected near end of file"},
    {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "p.jsonl:7: this is not valid JSON: duplicate object key near "
                                               "'\"prompt\"'"},
    {"[]", "p.jsonl:7: this is no JSON object"},
    {"{\"answer\": \"1\"}",
     "p.jsonl:7: none of \"prompt\", \"messages\", \"question\", \"problem\" is there"},
    {"{\"prompt\": \"a\", \"problem\": \"a\", \"answer\": \"1\"}",
     "p.jsonl:7: both \"prompt\" and \"problem\" are there"},
    {"{\"prompt\": 1, \"answer\": \"1\"}", "p.jsonl:7: \"prompt\" is no text"},
    {"{\"prompt\": \"\", \"answer\": \"1\"}", "p.jsonl:7: \"prompt\" is no text"},
    {"{\"prompt\": \"a\"}", "p.jsonl:7: \"answer\" is neither a string nor a number"},
    {"{\"prompt\": \"a\", \"answer\": [1]}", "p.jsonl:7: \"answer\" is neither a string nor a number"},
    {"{\"prompt\": \"a\", \"answer\": \" \\n\"}", "p.jsonl:7: \"answer\" is empty"},
    {"{\"question\": \"a\", \"answer\": \"18\"}",
     "p.jsonl:7: the \"answer\" of a \"question\" has no \"####\""},
    {"{\"question\": \"a\", \"answer\": \"18 ####\"}", "p.jsonl:7: \"answer\" is empty"},
    {"{\"messages\": [], \"answer\": \"1\"}", "p.jsonl:7: \"messages\" is no list of messages"},
    {"{\"messages\": \"a\", \"answer\": \"1\"}", "p.jsonl:7: \"messages\" is no list of messages"},
    {"{\"messages\": [\"a\"], \"answer\": \"1\"}",
     "p.jsonl:7: messages[0] needs \"role\", one of system, user and assistant, and \"content\""},
    {"{\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}], \"answer\": \"1\"}",
     "p.jsonl:7: messages[0] needs \"role\", one of system, user and assistant, and \"content\""},
    {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}], "
     "\"answer\": \"1\"}",
     "p.jsonl:7: the last of the messages is the assistant's, not the user's"},
};

static enum status parse(const char *line, struct eval_problem *problem_out) {
    return eval_problem_parse(line, strlen(line), "p.jsonl", 7, problem_out);
}

static void bad_lines_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_lines / sizeof *bad_lines; i++) {
        struct eval_problem problem;
        assert_int_equal(parse(bad_lines[i].line, &problem), STATUS_BAD_INPUT);
        assert_string_equal(status_message(), bad_lines[i].sentence);
    }
}

static void fields_are_read(void **state) {
    (void)state;
    struct eval_problem problem;
    assert_int_equal(
        parse("{\"prompt\": \"find x\", \"answer\": 2.50, \"steps\": 8, \"id\": \"a\\n\", \"x\": 1}",
              &problem),
        STATUS_OK);
    assert_int_equal(problem.n_messages, 1);
    assert_string_equal(problem.messages[0].role, "user");
    assert_string_equal(problem.messages[0].content, "find x");
    assert_string_equal(problem.answer, "2.5");
    assert_string_equal(problem.id_json, "\"a\\n\"");
    assert_int_equal(problem.steps, 8);
    eval_problem_free(&problem);

    assert_int_equal(parse("{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, "
                           "{\"role\": \"user\", \"content\": \"u\"}], \"answer\": \" x \", \"id\": null}",
                           &problem),
                     STATUS_OK);
    assert_int_equal(problem.n_messages, 2);
    assert_string_equal(problem.messages[0].content, "s");
    assert_string_equal(problem.messages[1].content, "u");
    assert_string_equal(problem.answer, " x ");
    assert_null(problem.id_json);
    assert_int_equal(problem.steps, -1);
    eval_problem_free(&problem);
}

static uint64_t fingerprint_of(const char *line) {
    struct eval_problem problem;
    assert_int_equal(parse(line, &problem), STATUS_OK);
    const uint64_t fingerprint = problem.fingerprint;
    eval_problem_free(&problem);
    return fingerprint;
}

/* Question and answer make the problem, wherever they stand. */
static void fingerprints_tell_problems_apart(void **state) {
    (void)state;
    const uint64_t one = fingerprint_of("{\"prompt\": \"a\", \"answer\": \"b\"}");
    assert_true(one == fingerprint_of("{\"answer\": \"b\", \"id\": 3, \"problem\": \"a\"}"));
    assert_true(one != fingerprint_of("{\"prompt\": \"a\", \"answer\": \"c\"}"));
    assert_true(one != fingerprint_of("{\"prompt\": \"ab\", \"answer\": \"\\u0001\"}"));
    assert_true(one != fingerprint_of("{\"messages\": [{\"role\": \"system\", \"content\": \"\"}, {\"role\": "
                                      "\"user\", \"content\": \"a\"}], \"answer\": \"b\"}"));
}

static void assert_problem(const struct eval_problem *problem, const char *begin, const char *answer) {
    assert_memory_equal(problem->messages[0].content, begin, strlen(begin));
    assert_string_equal(problem->answer, answer);
}

static void known_files_are_read(void **state) {
    (void)state;
    const char *files[] = {TEST_DATA "/eval/gsm8k.jsonl", TEST_DATA "/eval/math500.jsonl",
                           TEST_DATA "/eval/olymmath.jsonl", TEST_DATA "/eval/lemma.jsonl"};
    struct eval_problems problems;
    assert_int_equal(eval_problems_read((struct text_list){files, 4}, 0, &problems), STATUS_OK);
    assert_int_equal(problems.n, 11);
    assert_problem(&problems.items[0], "Janet\u2019s ducks lay", "18");
    assert_problem(&problems.items[2], "Josh decides to try", "70000");
    assert_problem(&problems.items[3], "Convert the point", "\\left( 3, \\frac{\\pi}{2} \\right)");
    assert_string_equal(problems.items[3].id_json, "\"test/precalculus/807.json\"");
    assert_problem(&problems.items[7], "Let $x$, $y$, $z$", "241 + 44\\sqrt{30}");
    assert_problem(&problems.items[8], "given xy=2,ku=7.", "ej=0");
    assert_int_equal(problems.items[10].steps, 8);
    assert_string_equal(problems.items[10].file, files[3]);
    assert_int_equal(problems.items[10].line, 3);
    eval_problems_free(&problems);

    assert_int_equal(eval_problems_read((struct text_list){files, 4}, 4, &problems), STATUS_OK);
    assert_int_equal(problems.n, 4);
    assert_problem(&problems.items[3], "Convert the point", "\\left( 3, \\frac{\\pi}{2} \\right)");
    eval_problems_free(&problems);
}

static void no_problems_are_refused(void **state) {
    (void)state;
    const char *empty[] = {"/dev/null"}, *missing[] = {"/no/such.jsonl"};
    struct eval_problems problems;
    assert_int_equal(eval_problems_read((struct text_list){empty, 1}, 0, &problems), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "there are no problems in /dev/null");
    assert_int_equal(eval_problems_read((struct text_list){missing, 1}, 0, &problems), STATUS_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_lines_are_refused),
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(fingerprints_tell_problems_apart),
        cmocka_unit_test(known_files_are_read),
        cmocka_unit_test(no_problems_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
