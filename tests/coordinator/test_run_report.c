/* What a program reads from the report is what the answer and the totals are. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "coordinator/run_report.h"
#include "tests/coordinator/fake_engine.h"

static const struct scheduler_totals totals = {
    .prefill_seconds = 0.5,
    .decode_seconds = 2,
    .prefill_tokens = 100,
    .decode_steps = 8,
    .decode_tokens = 16,
    .decode_times = {.compute = 0.8, .sync = 0.016, .select = 0.004, .agree = 0.001},
    .sample_seconds = 0.25,
    .attended_tokens = 2048,
    .cached_tokens = INT64_C(5000000000),
};

static int open_tokenizer(void **state) {
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_open_folder(TEST_DATA "/models/stories260K", &tokenizer), STATUS_OK);
    *state = tokenizer;
    return 0;
}

static int close_tokenizer(void **state) {
    tokenizer_close(*state);
    return 0;
}

struct answer {
    struct fake_engine *fake;
    struct generation *generation;
};

/* The prompt 300, 301 answered with the scripted tokens. */
static struct answer answer_with(void **state, const int32_t *script, int32_t n, int32_t n_logprobs) {
    struct answer answer = {.fake = fake_engine_create()};
    answer.fake->script = script;
    answer.fake->n_script = n;
    answer.fake->script_from = 2;
    const struct generation_options options = {
        .sampler = {.top_p = 1, .repetition_penalty = 1}, .max_tokens = n, .n_logprobs = n_logprobs};
    struct token_list prompt = {0};
    assert_int_equal(token_list_append(&prompt, 300), STATUS_OK);
    assert_int_equal(token_list_append(&prompt, 301), STATUS_OK);
    assert_int_equal(
        generation_create(&options, &answer.fake->engine, *state, &prompt, 0, &answer.generation), STATUS_OK);
    return answer;
}

static void run(struct answer *answer) {
    struct scheduler *scheduler;
    assert_int_equal(scheduler_create(&answer->fake->engine, &scheduler), STATUS_OK);
    scheduler_add(scheduler, generation_sequence(answer->generation));
    while (scheduler_active(scheduler) > 0)
        assert_int_equal(scheduler_step(scheduler), STATUS_OK);
    scheduler_destroy(scheduler);
}

static void destroy(struct answer *answer) {
    generation_destroy(answer->generation);
    fake_engine_destroy(answer->fake);
}

/* One line of JSON after what the bytes held already. */
static json_t *report(const struct answer *answer) {
    struct bytes text = {0};
    assert_int_equal(bytes_append_text(&text, "before\n"), STATUS_OK);
    assert_int_equal(run_report_json(answer->generation, &totals, &text), STATUS_OK);
    assert_memory_equal(text.data, "before\n", 7);
    const char *line = text.data + 7;
    assert_ptr_equal(strchr(line, '\n'), text.data + text.size - 1);
    json_error_t error;
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json) fail_msg("%s: %s", error.text, line);
    bytes_free(&text);
    return json;
}

static void check_ids(const json_t *json, const char *key, const int32_t *ids, size_t n) {
    const json_t *array = json_object_get(json, key);
    assert_int_equal(json_array_size(array), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(json_integer_value(json_array_get(array, i)), ids[i]);
}

static void check_text(const json_t *json, const char *key, const char *text, size_t size) {
    const json_t *value = json_object_get(json, key);
    assert_true(json_is_string(value));
    assert_int_equal(json_string_length(value), size);
    assert_memory_equal(json_string_value(value), text, size);
}

static void check_real(const json_t *json, const char *key, double expected) {
    const json_t *value = json_object_get(json, key);
    assert_true(json_is_real(value));
    assert_true(fabs(json_real_value(value) - expected) <= 1e-8 * fabs(expected));
}

static void check_count(const json_t *json, const char *key, int64_t expected) {
    const json_t *value = json_object_get(json, key);
    assert_true(json_is_integer(value));
    assert_true(json_integer_value(value) == expected);
}

static void the_answer_is_reported(void **state) {
    const int32_t tokens[] = {259, 436, 485, 500, 3, 13}; /* " t", quote, é, backslash, NUL, newline */
    struct answer answer = answer_with(state, tokens, 6, -1);
    run(&answer);
    json_t *json = report(&answer);
    check_ids(json, "prompt_ids", (int32_t[]){300, 301}, 2);
    check_ids(json, "generated_ids", tokens, 6);
    check_text(json, "text", "t\"é\\\0\n", 7);
    check_text(json, "finish_reason", "length", 6);
    check_count(json, "logits_rows_fetched", 0);
    assert_null(json_object_get(json, "logprobs"));
    json_decref(json);
    destroy(&answer);
}

static void the_times_are_reported(void **state) {
    const int32_t tokens[] = {259};
    struct answer answer = answer_with(state, tokens, 1, -1);
    run(&answer);
    json_t *json = report(&answer);
    const json_t *times = json_object_get(json, "times");
    assert_int_equal(json_object_size(times), 12);
    check_real(times, "prefill_seconds", 0.5);
    check_count(times, "prefill_tokens", 100);
    check_real(times, "decode_seconds", 2);
    check_count(times, "decode_tokens", 16);
    check_count(times, "decode_steps", 8);
    check_real(times, "compute_seconds", 0.8);
    check_real(times, "sync_seconds", 0.016);
    check_real(times, "select_seconds", 0.004);
    check_real(times, "agree_seconds", 0.001);
    check_real(times, "sample_seconds", 0.25);
    check_count(times, "attended_tokens", 2048);
    check_count(times, "cached_tokens", INT64_C(5000000000));
    json_decref(json);
    destroy(&answer);
}

static void logprobs_are_reported(void **state) {
    const int32_t tokens[] = {259, 412, 413};
    struct answer answer = answer_with(state, tokens, 3, 4);
    run(&answer);
    json_t *json = report(&answer);
    const json_t *logprobs = json_object_get(json, "logprobs");
    const struct generation_view view = generation_view(answer.generation);
    assert_int_equal(json_array_size(logprobs), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *token = json_array_get(logprobs, i), *top = json_object_get(token, "top");
        check_real(token, "logprob", (double)view.logprobs[i]);
        assert_int_equal(json_array_size(top), 4);
        for (size_t j = 0; j < 4; j++) {
            const json_t *pair = json_array_get(top, j);
            assert_int_equal(json_array_size(pair), 2);
            assert_int_equal(json_integer_value(json_array_get(pair, 0)), view.top[4 * i + j].token);
            const float logprob = (float)json_real_value(json_array_get(pair, 1));
            assert_true(logprob == view.top[4 * i + j].logprob); /* nine digits are a float, exactly */
        }
        assert_int_equal(json_integer_value(json_array_get(json_array_get(top, 0), 0)), tokens[i]);
    }
    json_decref(json);
    destroy(&answer);
}

static void logprobs_of_nothing_are_an_empty_list(void **state) {
    struct answer answer = answer_with(state, (int32_t[]){259}, 1, 2);
    assert_int_equal(generation_cancel(answer.generation), STATUS_OK);
    json_t *json = report(&answer);
    check_ids(json, "generated_ids", NULL, 0);
    check_text(json, "text", "", 0);
    check_text(json, "finish_reason", "cancelled", 9);
    assert_true(json_is_array(json_object_get(json, "logprobs")));
    assert_int_equal(json_array_size(json_object_get(json, "logprobs")), 0);
    json_decref(json);
    destroy(&answer);
}

static void totals_that_are_no_numbers_are_refused(void **state) {
    struct answer answer = answer_with(state, (int32_t[]){259}, 1, 2);
    struct scheduler_totals broken = totals;
    broken.sample_seconds = (double)NAN;
    struct bytes text = {0};
    assert_int_equal(run_report_json(answer.generation, &broken, &text), STATUS_INTERNAL);
    assert_int_equal(text.size, 0);
    destroy(&answer);
}

static void the_line_says_rates_and_times_of_a_step(void **state) {
    (void)state;
    struct bytes text = {0};
    assert_int_equal(run_report_line(&totals, &text), STATUS_OK);
    assert_string_equal(text.data, "prefill 200.0 tok/s · decode 8.0 tok/s · compute 100.00 ms sync 2.00 ms "
                                   "select 0.50 ms · attended 2048 of 5000000000");
    bytes_clear(&text);
    assert_int_equal(run_report_line(&(struct scheduler_totals){0}, &text), STATUS_OK);
    assert_string_equal(text.data, "prefill 0.0 tok/s · decode 0.0 tok/s · compute 0.00 ms sync 0.00 ms "
                                   "select 0.00 ms · attended 0 of 0");
    bytes_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_reported),
        cmocka_unit_test(the_times_are_reported),
        cmocka_unit_test(logprobs_are_reported),
        cmocka_unit_test(logprobs_of_nothing_are_an_empty_list),
        cmocka_unit_test(totals_that_are_no_numbers_are_refused),
        cmocka_unit_test(the_line_says_rates_and_times_of_a_step),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
