/* Lines of `score`: what is refused and in which words, what is read, and that what is printed is JSON. */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/score_line.h"

enum { VOCAB_SIZE = 512 };

static struct score_context make_context(const int64_t *positions, size_t n_positions) {
    return (struct score_context){
        .model = TEST_DATA "/models/stories260K",
        .context_length = 8,
        .vocab_size = VOCAB_SIZE,
        .logits_positions = positions,
        .n_logits_positions = n_positions,
    };
}

static enum status parse(const char *text, struct score_context *context, struct score_line *line) {
    return score_line_parse(text, strlen(text), 17, context, line);
}

static const struct {
    const char *text, *sentence;
} bad_lines[] = {
    {"{\"ids\": [1}", "input line 17 is not valid JSON: ']' expected near '}'"},
    {"{} {}", "input line 17 is not valid JSON: end of file expected near '{'"},
    {"{\"ids\": [1], \"ids\": [2]}", "input line 17 is not valid JSON: duplicate object key near '\"ids\"'"},
    {"{\"ids\": \x1b[2J}", "input line 17 is not valid JSON: invalid token near '?'"},
    {"[1, 2]", "input line 17 is no JSON object"},
    {"{}", "input line 17 needs either \"ids\" or \"text\""},
    {"{\"ids\": [1], \"text\": \"a\"}", "input line 17 needs either \"ids\" or \"text\""},
    {"{\"token\": 1}", "input line 17: unknown key \"token\"; the keys are ids, text, prompt_tokens, id"},
    {"{\"\\u001b[2J\\u0085\": 1}",
     "input line 17: unknown key \"?[2J?\"; the keys are ids, text, prompt_tokens, id"},
    {"{\"ids\": 1}", "input line 17: \"ids\" is no list"},
    {"{\"ids\": []}", "input line 17 has no tokens"},
    {"{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "input line 17 has 9 tokens, more than the context of 8"},
    {"{\"ids\": [1, -1]}", "input line 17: ids[1] is no token of this model (0 to 511)"},
    {"{\"ids\": [512]}", "input line 17: ids[0] is no token of this model (0 to 511)"},
    {"{\"ids\": [4294967297]}", "input line 17: ids[0] is no token of this model (0 to 511)"},
    {"{\"ids\": [1.0]}", "input line 17: ids[0] is no token of this model (0 to 511)"},
    {"{\"ids\": [\"1\"]}", "input line 17: ids[0] is no token of this model (0 to 511)"},
    {"{\"text\": [1]}", "input line 17: \"text\" is no string"},
    {"{\"text\": \"once upon a time there was a dog named Max\"}",
     "input line 17 has 15 tokens, more than the context of 8"},
    {"{\"ids\": [1, 2], \"prompt_tokens\": 0}",
     "input line 17: \"prompt_tokens\" must be from 1 to the 2 tokens of the line"},
    {"{\"ids\": [1, 2], \"prompt_tokens\": 3}",
     "input line 17: \"prompt_tokens\" must be from 1 to the 2 tokens of the line"},
    {"{\"ids\": [1, 2], \"prompt_tokens\": 1.5}",
     "input line 17: \"prompt_tokens\" must be from 1 to the 2 tokens of the line"},
    {"{\"ids\": [1], \"id\": 0.1}", "input line 17: \"id\" is neither a string nor an integer"},
    {"{\"ids\": [1], \"id\": [1]}", "input line 17: \"id\" is neither a string nor an integer"},
    {"{\"ids\": [1], \"id\": null}", "input line 17: \"id\" is neither a string nor an integer"},
};

static void bad_lines_are_refused(void **state) {
    (void)state;
    struct score_context context = make_context(NULL, 0);
    for (size_t i = 0; i < sizeof bad_lines / sizeof *bad_lines; i++) {
        struct score_line line;
        assert_int_equal(parse(bad_lines[i].text, &context, &line), STATUS_BAD_INPUT);
        assert_string_equal(status_message(), bad_lines[i].sentence);
    }
    tokenizer_close(context.tokenizer);
}

static void long_keys_are_cut_between_characters(void **state) {
    (void)state;
    struct score_context context = make_context(NULL, 0);
    struct score_line line;
    /* 31 times é, of two bytes each, are what 63 bytes hold. */
    assert_int_equal(parse("{\"éééééééééééééééééééééééééééééééééééééééé\": 1}", &context, &line),
                     STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "input line 17: unknown key \"ééééééééééééééééééééééééééééééé\"; the "
                        "keys are ids, text, prompt_tokens, id");
}

static void positions_beyond_the_line_are_refused(void **state) {
    (void)state;
    const int64_t positions[] = {0, 2};
    struct score_context context = make_context(positions, 2);
    struct score_line line;
    assert_int_equal(parse("{\"ids\": [1, 2]}", &context, &line), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "--logits asks for position 2, but input line 17 has 2 tokens");
}

static void a_model_without_tokenizer_takes_ids_only(void **state) {
    (void)state;
    struct score_context context = make_context(NULL, 0);
    context.model = TEST_DATA "/models/tiny_qwen3";
    struct score_line line;
    assert_int_equal(parse("{\"ids\": [1]}", &context, &line), STATUS_OK);
    score_line_free(&line);
    assert_int_equal(parse("{\"text\": \"a\"}", &context, &line), STATUS_IO);
}

static void assert_reads(const char *text, const int32_t *ids, int32_t n, int32_t n_prompt,
                         const char *id_json) {
    struct score_context context = make_context(NULL, 0);
    struct score_line line;
    assert_int_equal(parse(text, &context, &line), STATUS_OK);
    assert_int_equal(line.n, n);
    assert_int_equal(line.n_prompt, n_prompt);
    assert_memory_equal(line.ids, ids, (size_t)n * sizeof *ids);
    assert_int_equal(line.ids[n], 0);
    if (id_json)
        assert_string_equal(line.id_json, id_json);
    else
        assert_null(line.id_json);
    score_line_free(&line);
    tokenizer_close(context.tokenizer);
}

static void good_lines_are_read(void **state) {
    (void)state;
    const int32_t ids[] = {1, 403, 407, 261, 378};
    assert_reads("{\"ids\": [1, 403, 407, 261, 378]}", ids, 5, 5, NULL);
    assert_reads(" {\"prompt_tokens\": 1, \"ids\": [1, 403, 407, 261, 378], \"id\": \"a\\n\"}\r", ids, 5, 1,
                 "\"a\\n\"");
    assert_reads("{\"ids\": [1], \"id\": -9223372036854775808}", ids, 1, 1, "-9223372036854775808");
    assert_reads("{\"text\": \"Once upon a time\", \"prompt_tokens\": 5, \"id\": \"\"}", ids, 5, 5, "\"\"");
}

/* Reads a line, lets `fill` score it, and returns what is printed, parsed again. */
static json_t *print_filled(const char *text, const int64_t *positions, size_t n_positions,
                            void (*fill)(struct score_line *line)) {
    struct score_context context = make_context(positions, n_positions);
    struct score_line line;
    struct bytes printed = {0};
    assert_int_equal(parse(text, &context, &line), STATUS_OK);
    fill(&line);
    assert_int_equal(score_line_print(&line, &context, &printed), STATUS_OK);
    assert_int_equal(printed.data[printed.size - 1], '\n');
    assert_ptr_equal(strchr(printed.data, '\n'), printed.data + printed.size - 1);
    json_t *output = json_loadb(printed.data, printed.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(output);
    bytes_free(&printed);
    score_line_free(&line);
    return output;
}

static double number_at(const json_t *output, const char *key, size_t i) {
    const json_t *value = json_array_get(json_object_get(output, key), i);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void fill_tenths(struct score_line *line) {
    for (int32_t i = 0; i < line->n; i++) {
        line->logprobs[i] = -0.1f * (float)(i + 1);
        line->argmax[i] = 500 + i;
    }
}

static void scores_come_back_exactly(void **state) {
    (void)state;
    json_t *output = print_filled("{\"ids\": [5, 6, 7], \"prompt_tokens\": 2, \"id\": \"\\\"ä\\u0001\"}",
                                  NULL, 0, fill_tenths);
    assert_string_equal(json_string_value(json_object_get(output, "id")), "\"ä\x01");
    assert_int_equal(json_integer_value(json_object_get(output, "tokens")), 3);
    assert_int_equal(json_integer_value(json_object_get(output, "prompt_tokens")), 2);
    assert_int_equal(json_array_size(json_object_get(output, "logprobs")), 3);
    assert_true((float)number_at(output, "logprobs", 0) == -0.1f);
    assert_true((float)number_at(output, "logprobs", 1) == -0.2f);
    assert_true(json_is_null(json_array_get(json_object_get(output, "logprobs"), 2)));
    assert_int_equal(json_array_size(json_object_get(output, "argmax")), 3);
    assert_true(number_at(output, "argmax", 2) == 502);
    assert_true(fabs(json_number_value(json_object_get(output, "perplexity")) - exp(0.15)) < 1e-6);
    assert_null(json_object_get(output, "logits"));
    json_decref(output);
}

static void fill_broken(struct score_line *line) {
    line->logprobs[0] = -INFINITY;
    line->logprobs[1] = NAN;
    line->logits[0] = NAN;
    line->logits[1] = INFINITY;
    line->logits[2] = 0.1f;
    line->logits[2 * VOCAB_SIZE - 1] = -3e38f;
}

static void numbers_that_are_not_finite_are_null(void **state) {
    (void)state;
    const int64_t positions[] = {2, 0};
    json_t *output = print_filled("{\"ids\": [5, 6, 7]}", positions, 2, fill_broken);
    const json_t *logprobs = json_object_get(output, "logprobs"), *logits = json_object_get(output, "logits");
    assert_null(json_object_get(output, "id"));
    assert_true(json_is_null(json_array_get(logprobs, 0)));
    assert_true(json_is_null(json_array_get(logprobs, 1)));
    assert_true(json_is_null(json_object_get(output, "perplexity")));
    assert_int_equal(json_object_size(logits), 2);
    assert_int_equal(json_array_size(json_object_get(logits, "0")), VOCAB_SIZE);
    assert_int_equal(json_array_size(json_object_get(logits, "2")), VOCAB_SIZE);
    assert_true(json_is_null(json_array_get(json_object_get(logits, "2"), 0)));
    assert_true(json_is_null(json_array_get(json_object_get(logits, "2"), 1)));
    assert_true((float)number_at(logits, "2", 2) == 0.1f);
    assert_true((float)number_at(logits, "0", VOCAB_SIZE - 1) == -3e38f);
    json_decref(output);
}

static void fill_unlikely(struct score_line *line) {
    line->logprobs[0] = -1e30f;
}

static void perplexity_is_null_where_there_is_none(void **state) {
    (void)state;
    json_t *single = print_filled("{\"ids\": [5]}", NULL, 0, fill_tenths);
    assert_true(json_is_null(json_object_get(single, "perplexity")));
    json_decref(single);
    json_t *beyond = print_filled("{\"ids\": [5, 6]}", NULL, 0, fill_unlikely);
    assert_true(json_is_null(json_object_get(beyond, "perplexity")));
    assert_true((float)number_at(beyond, "logprobs", 0) == -1e30f);
    json_decref(beyond);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_lines_are_refused),
        cmocka_unit_test(long_keys_are_cut_between_characters),
        cmocka_unit_test(positions_beyond_the_line_are_refused),
        cmocka_unit_test(a_model_without_tokenizer_takes_ids_only),
        cmocka_unit_test(good_lines_are_read),
        cmocka_unit_test(scores_come_back_exactly),
        cmocka_unit_test(numbers_that_are_not_finite_are_null),
        cmocka_unit_test(perplexity_is_null_where_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
