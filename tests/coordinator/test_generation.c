/* Answers of an engine that says what the test wrote down, or what a hash makes of the tokens before. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"
#include "tests/coordinator/answer_fixture.h"

/* The whole way: a prompt of 3, the scripted tokens, a stop string. */
static void check_scripted(void **state, const char *stop, const int32_t *tokens, int32_t n,
                           int32_t max_tokens, enum finish_reason reason, const char *text,
                           int32_t n_generated) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer_script(&answer, 3, tokens, n);
    answer.options.max_tokens = max_tokens;
    const char *stops[] = {stop};
    if (stop) answer.options.stop = (struct text_list){.items = stops, .n = 1};
    answer_begin(&answer, 3, 0);
    answer_finish(&answer);
    answer_check(&answer, reason, text, n_generated, 3 + n_generated - 1);
    assert_memory_equal(generation_view(answer.generation).generated, tokens,
                        (size_t)n_generated * sizeof *tokens);
    answer_tear_down(&answer);
}

static void a_stop_string_ends_the_answer_across_tokens(void **state) {
    const int32_t tokens[] = {SPACE_S, T, O, N, E, A, END};
    check_scripted(state, "one", tokens, COUNT(tokens), -1, FINISH_STOP, "st", 5);
    check_scripted(state, "s", tokens, COUNT(tokens), -1, FINISH_STOP, "", 1);
    check_scripted(state, "stonea", tokens, COUNT(tokens), -1, FINISH_STOP, "", 6);
    check_scripted(state, "stoneage", tokens, COUNT(tokens), -1, FINISH_STOP, "stonea", 7);
    check_scripted(state, NULL, tokens, COUNT(tokens), -1, FINISH_STOP, "stonea", 7);
}

static void the_end_token_gives_out_what_was_withheld(void **state) {
    const int32_t tokens[] = {SPACE_S, T, O, END};
    check_scripted(state, "tower", tokens, COUNT(tokens), -1, FINISH_STOP, "sto", 4);
    const int32_t only_end[] = {END};
    check_scripted(state, NULL, only_end, 1, -1, FINISH_STOP, "", 1);
    const int32_t other_end[] = {A, 7, A};
    check_scripted(state, NULL, other_end, 3, -1, FINISH_STOP, "a", 2);
}

static void max_tokens_is_a_limit(void **state) {
    const int32_t tokens[] = {SPACE_S, T, O, N, E, END};
    check_scripted(state, NULL, tokens, COUNT(tokens), 1, FINISH_LENGTH, "s", 1);
    check_scripted(state, "tower", tokens, COUNT(tokens), 3, FINISH_LENGTH, "sto", 3);
    check_scripted(state, NULL, tokens, COUNT(tokens), 5, FINISH_LENGTH, "stone", 5);
    check_scripted(state, NULL, tokens, COUNT(tokens), 6, FINISH_STOP, "stone", 6);
    check_scripted(state, "one", tokens, COUNT(tokens), 5, FINISH_STOP, "st", 5);
}

static void broken_characters_come_out_at_the_end(void **state) {
    const int32_t tokens[] = {A, E_ACUTE, BYTE_E2, END};
    check_scripted(state, NULL, tokens, COUNT(tokens), 3, FINISH_LENGTH, "aé\uFFFD", 3);
    check_scripted(state, NULL, tokens, COUNT(tokens), -1, FINISH_STOP, "aé\uFFFD", 4);
}

/* No token completes it, but what the last one leaves behind. */
static void the_end_of_the_text_can_complete_a_stop_string(void **state) {
    const int32_t tokens[] = {A, E_ACUTE, BYTE_E2, END};
    check_scripted(state, "é\uFFFD", tokens, COUNT(tokens), 3, FINISH_STOP, "a", 3);
    check_scripted(state, "\uFFFD", tokens, COUNT(tokens), -1, FINISH_STOP, "aé", 4);
    check_scripted(state, "\uFFFD!", tokens, COUNT(tokens), 3, FINISH_LENGTH, "aé\uFFFD", 3);
}

static void without_end_tokens_the_answer_goes_on(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {A, END, A, 7, A};
    answer_script(&answer, 3, tokens, COUNT(tokens));
    answer.options.n_eos = 0;
    answer.options.max_tokens = COUNT(tokens);
    answer_begin(&answer, 3, 0);
    answer_finish(&answer);
    assert_int_equal(generation_finish_reason(answer.generation), FINISH_LENGTH);
    assert_int_equal(generation_view(answer.generation).n_generated, COUNT(tokens));
    answer_tear_down(&answer);
}

static void the_context_is_a_limit(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {SPACE_S, T, O, N, E};
    answer_script(&answer, 9, tokens, COUNT(tokens));
    answer.fake->engine.limits.context_length = 12;
    answer_begin(&answer, 9, 0);
    answer_finish(&answer);
    answer_check(&answer, FINISH_LENGTH, "sto", 3, 11);
    answer_tear_down(&answer);

    answer_set_up(&answer, state);
    answer_script(&answer, 11, tokens, COUNT(tokens));
    answer.fake->engine.limits.context_length = 12;
    answer_begin(&answer, 11, 0);
    answer_finish(&answer);
    answer_check(&answer, FINISH_LENGTH, "s", 1, 11);
    answer_tear_down(&answer);
}

static void a_filled_slot_takes_from_the_context(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer.options.n_eos = 0;
    answer.options.n_filled = 100;
    answer.options.sampler.seed = 5;
    answer.fake->engine.limits.context_length = 112;
    answer_begin(&answer, 9, 0);
    answer_finish(&answer);
    assert_int_equal(generation_finish_reason(answer.generation), FINISH_LENGTH);
    assert_int_equal(generation_view(answer.generation).n_generated, 3);
    assert_int_equal(answer.fake->n_tokens[0], 111);
    assert_int_equal(answer.fake->n_fills, 1);
    assert_int_equal(answer.fake->fills[0].n_tokens, 100);
    assert_int_equal(answer.fake->fills[0].seed, 5);
    answer_tear_down(&answer);

    answer_set_up(&answer, state);
    answer.options.n_filled = 100;
    answer.fake->engine.limits.context_length = 112;
    assert_int_equal(answer_create(&answer, 12, 0), STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "the prompt has 12 tokens, which behind 100 of --fill-kv leaves no room in the "
                        "context of 112");
    answer_tear_down(&answer);
}

static void a_prompt_can_be_cancelled(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer.fake->engine.limits.max_tokens = 4;
    answer_begin(&answer, 10, 0);
    answer_check(&answer, FINISH_NONE, "", 0, 0);
    answer_step(&answer);
    answer_check(&answer, FINISH_NONE, "", 0, 4);
    answer_cancel(&answer);
    answer_check(&answer, FINISH_CANCELLED, "", 0, 4);
    answer_tear_down(&answer);
}

static void an_answer_can_be_cancelled(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {SPACE_S, T, BYTE_E2, A};
    const char *stops[] = {"tower", "t\uFFFDa"};
    answer_script(&answer, 3, tokens, COUNT(tokens));
    answer.options.stop = (struct text_list){.items = stops, .n = 2};
    answer_begin(&answer, 3, 0);
    for (int i = 0; i < 3; i++)
        answer_step(&answer);
    answer_check(&answer, FINISH_NONE, "s", 3, 5);
    answer_cancel(&answer);
    answer_check(&answer, FINISH_CANCELLED, "st\uFFFD", 3, 5);
    answer_cancel(&answer); /* again: nothing more comes */
    answer_check(&answer, FINISH_CANCELLED, "st\uFFFD", 3, 5);
    answer_tear_down(&answer);
}

static void a_finished_answer_cannot_be_cancelled(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {A, END};
    answer_script(&answer, 3, tokens, COUNT(tokens));
    answer_begin(&answer, 3, 0);
    answer_finish(&answer);
    answer_cancel(&answer);
    answer_check(&answer, FINISH_STOP, "a", 2, 4);
    answer_tear_down(&answer);
}

static void a_cached_beginning_is_not_computed_again(void **state) {
    struct answer answer, again;
    answer_set_up(&answer, state);
    scheduler_set_keep_slots(answer.scheduler, true);
    answer.options.max_tokens = 20;
    answer_begin(&answer, 10, 0);
    answer_finish(&answer);

    again = answer; /* the same engine and scheduler; the slot holds the prompt and most of the answer */
    again.options.sink.self = &again;
    again.said = (struct bytes){0};
    const int32_t n_before = answer.fake->n_plans;
    answer_begin(&again, 10, 9);
    answer_finish(&again);
    const struct step_span *span = &again.fake->plans[n_before].spans[0];
    assert_int_equal(span->phase, SPAN_PREFILL);
    assert_int_equal(span->first_position, 9);
    assert_int_equal(span->n_tokens, 1);
    const struct generation_view view = generation_view(answer.generation);
    answer_check(&again, FINISH_LENGTH, view.text, 20, 29);
    assert_memory_equal(generation_view(again.generation).generated, view.generated,
                        20 * sizeof *view.generated);
    bytes_free(&again.said);
    generation_destroy(again.generation);
    answer_tear_down(&answer);
}

/* The same engine's answer with and without: only what is computed changes. */
static void a_corrected_answer_is_computed_again_in_parts(void **state) {
    struct answer plain, corrected;
    answer_set_up(&plain, state);
    answer_set_up(&corrected, state);
    plain.options.max_tokens = corrected.options.max_tokens = 20;
    corrected.options.correct_every = 6;
    answer_begin(&plain, 10, 0);
    answer_finish(&plain);
    answer_begin(&corrected, 10, 0);
    answer_finish(&corrected);
    assert_int_equal(corrected.fake->n_plans, plain.fake->n_plans);
    const struct step_span *span = &corrected.fake->plans[6].spans[0];
    assert_int_equal(span->phase, SPAN_PREFILL);
    assert_int_equal(span->first_position, 10);
    assert_int_equal(span->n_tokens, 6);
    const struct generation_view a = generation_view(plain.generation),
                                 b = generation_view(corrected.generation);
    assert_int_equal(a.n_generated, b.n_generated);
    assert_int_equal(a.n_computed, b.n_computed);
    assert_memory_equal(a.generated, b.generated, (size_t)a.n_generated * sizeof *a.generated);
    answer_tear_down(&plain);
    answer_tear_down(&corrected);
}

static bool contains(const char *text, size_t size, const char *words) {
    const size_t n = strlen(words);
    for (size_t i = 0; i + n <= size; i++)
        if (memcmp(text + i, words, n) == 0) return true;
    return false;
}

/* Random tokens, bytes that are no text among them; now and then a stop string of one or two characters. */
static void the_sink_gets_exactly_the_text(void **state) {
    const char *stops[] = {"th", "w.", "\uFFFD\uFFFD\uFFFD", "é"};
    int32_t n_stopped = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct answer answer;
        answer_set_up(&answer, state);
        answer.options.stop = (struct text_list){.items = stops, .n = COUNT(stops)};
        answer.options.max_tokens = 120;
        answer.options.n_eos = 0;
        answer.options.sampler.temperature = 1;
        answer.options.sampler.seed = seed;
        answer_begin(&answer, 3, 0);
        answer_finish(&answer);
        const struct generation_view view = generation_view(answer.generation);
        answer_check_delivered(&answer, 3 + view.n_generated - 1);
        assert_true(utf8_is_valid(view.text, view.text_size));
        for (int32_t i = 0; i < COUNT(stops); i++)
            assert_false(contains(view.text, view.text_size, stops[i]));
        n_stopped += generation_finish_reason(answer.generation) == FINISH_STOP;
        answer_tear_down(&answer);
    }
    assert_in_range(n_stopped, 5, 39); /* both ends were seen */
}

static void a_sink_that_fails_fails_the_step(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {SPACE_S, T, O, N, E};
    answer_script(&answer, 3, tokens, COUNT(tokens));
    answer.n_writes_left = 2;
    answer_begin(&answer, 3, 0);
    answer_step(&answer);
    answer_step(&answer);
    assert_int_equal(scheduler_step(answer.scheduler), STATUS_IO);
    assert_string_equal(status_message(), "the pipe is closed");
    assert_string_equal(answer.said.data, "st");
    assert_int_equal(scheduler_active(answer.scheduler), 0);
    answer_tear_down(&answer);
}

static void what_cannot_be_answered_is_refused(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer_refuse(&answer, 0, "the prompt is empty");
    answer.fake->engine.limits.context_length = 10;
    answer_refuse(&answer, 10, "the prompt has 10 tokens");
    answer.fake->engine.limits.vocab_size = 302;
    answer_refuse(&answer, 5, "token 302");
    answer.fake->engine.limits.vocab_size = FAKE_VOCAB;
    answer.options.max_tokens = 0;
    answer_refuse(&answer, 5, "max-tokens is 0");
    answer.options.max_tokens = 1;
    answer.options.sampler.top_p = 2;
    answer_refuse(&answer, 5, "top-p is 2");
    answer.options.sampler.top_p = 1;
    const char *stops[] = {""};
    answer.options.stop = (struct text_list){.items = stops, .n = 1};
    answer_refuse(&answer, 5, "stop string 1 is empty");
    answer_tear_down(&answer);
}

static void reasons_have_names(void **state) {
    (void)state;
    assert_string_equal(finish_reason_name(FINISH_NONE), "none");
    assert_string_equal(finish_reason_name(FINISH_STOP), "stop");
    assert_string_equal(finish_reason_name(FINISH_LENGTH), "length");
    assert_string_equal(finish_reason_name(FINISH_CANCELLED), "cancelled");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_string_ends_the_answer_across_tokens),
        cmocka_unit_test(the_end_token_gives_out_what_was_withheld),
        cmocka_unit_test(max_tokens_is_a_limit),
        cmocka_unit_test(broken_characters_come_out_at_the_end),
        cmocka_unit_test(the_end_of_the_text_can_complete_a_stop_string),
        cmocka_unit_test(without_end_tokens_the_answer_goes_on),
        cmocka_unit_test(the_context_is_a_limit),
        cmocka_unit_test(a_filled_slot_takes_from_the_context),
        cmocka_unit_test(a_prompt_can_be_cancelled),
        cmocka_unit_test(an_answer_can_be_cancelled),
        cmocka_unit_test(a_finished_answer_cannot_be_cancelled),
        cmocka_unit_test(a_cached_beginning_is_not_computed_again),
        cmocka_unit_test(a_corrected_answer_is_computed_again_in_parts),
        cmocka_unit_test(the_sink_gets_exactly_the_text),
        cmocka_unit_test(a_sink_that_fails_fails_the_step),
        cmocka_unit_test(what_cannot_be_answered_is_refused),
        cmocka_unit_test(reasons_have_names),
    };
    return cmocka_run_group_tests(tests, answer_open_tokenizer, answer_close_tokenizer);
}
