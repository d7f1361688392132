/* Answers that begin with tokens which an earlier program made. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "tests/coordinator/answer_fixture.h"

/* The same answer with its first n tokens known. */
static void go_on(struct answer *answer, const struct answer *whole, int32_t n, bool are_read) {
    *answer = *whole;
    answer->options.sink.self = answer;
    answer->said = (struct bytes){0};
    answer->options.known = (struct known_tokens){.ids = generation_view(whole->generation).generated,
                                                  .n = n,
                                                  .source = "journal",
                                                  .are_read = are_read};
}

/* An engine's logits say which tokens were in the slot, in whatever way they got there. */
static void a_known_beginning_gives_the_same_answer(void **state) {
    struct answer whole, again;
    answer_set_up(&whole, state);
    whole.options.max_tokens = 100;
    whole.options.n_eos = 0;
    whole.options.sampler =
        (struct sampler_config){.temperature = 1, .top_p = 0.9, .repetition_penalty = 1.2};
    whole.options.n_logprobs = 2;
    answer_begin(&whole, 5, 0);
    answer_finish(&whole);
    const struct generation_view first = generation_view(whole.generation);
    for (int32_t n = 0; n <= 99; n += 9) {
        for (int32_t are_read = 0; are_read < 2; are_read++) {
            go_on(&again, &whole, n, are_read);
            const int32_t n_steps_before = again.fake->n_plans;
            answer_begin(&again, 5, 0);
            answer_finish(&again);
            const struct generation_view view = generation_view(again.generation);
            answer_check(&again, FINISH_LENGTH, first.text, 100, 104);
            assert_memory_equal(view.generated, first.generated, 100 * sizeof *view.generated);
            assert_memory_equal(view.logprobs, first.logprobs, 100 * sizeof *view.logprobs);
            const int32_t n_read = are_read ? 5 + n : 5;
            assert_int_equal(again.fake->n_plans - n_steps_before,
                             (n_read + FAKE_TOKENS - 1) / FAKE_TOKENS + 104 - n_read);
            bytes_free(&again.said);
            generation_destroy(again.generation);
        }
    }
    answer_tear_down(&whole);
}

static void a_known_answer_may_be_whole(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t tokens[] = {SPACE_S, T, O, END};
    answer.options.known =
        (struct known_tokens){.ids = tokens, .n = 4, .source = "journal", .are_read = true};
    assert_int_equal(answer_create(&answer, 3, 0), STATUS_OK);
    assert_int_equal(generation_finish_reason(answer.generation), FINISH_STOP);
    assert_string_equal(generation_view(answer.generation).text, "sto");
    assert_int_equal(answer.said.size, 3);
    answer_tear_down(&answer);
}

static void known_tokens_that_cannot_be_are_refused(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    const int32_t behind_the_end[] = {A, END, A}, unknown[] = {A, FAKE_VOCAB}, negative[] = {-1};
    answer.options.known = (struct known_tokens){.ids = behind_the_end, .n = 3, .source = "journal"};
    answer_refuse(&answer, 3, "journal: token 2 of the answer stands behind its end");
    answer.options.known = (struct known_tokens){.ids = unknown, .n = 2, .source = "journal"};
    answer_refuse(&answer, 3, "journal: token 1 of the answer is not in the vocabulary");
    answer.options.known = (struct known_tokens){.ids = negative, .n = 1, .source = "journal"};
    answer_refuse(&answer, 3, "journal: token 0 of the answer is not in the vocabulary");
    answer_tear_down(&answer);
}

/* Others than are drawn: an error, unless they are trusted. */
static void known_tokens_are_held_against_what_is_drawn(void **state) {
    const int32_t script_tokens[] = {SPACE_S, T, O, N, END}, known[] = {SPACE_S, T, A};
    for (int32_t way = 0; way < 4; way++) {
        struct answer answer;
        answer_set_up(&answer, state);
        answer_script(&answer, 3, script_tokens, COUNT(script_tokens));
        answer.options.max_tokens = 5;
        answer.options.known = (struct known_tokens){
            .ids = known, .n = 3, .source = "journal", .are_read = way & 1, .are_trusted = way & 2};
        answer_begin(&answer, 3, 0);
        enum status status = STATUS_OK;
        while (status == STATUS_OK && scheduler_active(answer.scheduler) > 0)
            status = scheduler_step(answer.scheduler);
        assert_int_equal(status, way & 2 ? STATUS_OK : STATUS_BAD_INPUT);
        if (status != STATUS_OK)
            assert_string_equal(status_message(),
                                "journal: token 2 of the answer is 412, but 414 is drawn there: the file is "
                                "damaged, or comes from another build");
        answer_tear_down(&answer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_beginning_gives_the_same_answer),
        cmocka_unit_test(a_known_answer_may_be_whole),
        cmocka_unit_test(known_tokens_that_cannot_be_are_refused),
        cmocka_unit_test(known_tokens_are_held_against_what_is_drawn),
    };
    return cmocka_run_group_tests(tests, answer_open_tokenizer, answer_close_tokenizer);
}
