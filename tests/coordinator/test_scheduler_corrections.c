/* Decoded tokens that the scheduler has computed again as a prompt. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/coordinator/schedule_fixture.h"

/* The answer is that of the tokens, whatever was computed twice: a span that repeats others changes nothing
 * but where the fake engine stands. */
static void tokens_are_corrected_when_enough_were_decoded(void **state) {
    struct schedule *s = *state;
    struct reader reader;
    reader_begin(&reader, 10, 5, 12);
    reader.sequence.correct_every = 4;
    schedule_add(s, &reader);
    schedule_finish(s);
    static const struct {
        enum span_phase phase;
        int32_t first, n_tokens;
    } expected[] = {{SPAN_PREFILL, 0, 5}, {SPAN_DECODE, 5, 1},  {SPAN_DECODE, 6, 1},  {SPAN_DECODE, 7, 1},
                    {SPAN_PREFILL, 5, 4}, {SPAN_DECODE, 9, 1},  {SPAN_DECODE, 10, 1}, {SPAN_DECODE, 11, 1},
                    {SPAN_PREFILL, 9, 4}, {SPAN_DECODE, 13, 1}, {SPAN_DECODE, 14, 1}, {SPAN_DECODE, 15, 1}};
    assert_int_equal(s->fake->n_plans, 12); /* one for each token: none is lost to corrections */
    for (int32_t i = 0; i < 12; i++)
        check_span(&s->fake->plans[i], 0, 0, expected[i].phase, expected[i].first, expected[i].n_tokens, 1);
    check_answer(s, &reader);
    const struct scheduler_totals totals = scheduler_totals(s->scheduler);
    assert_int_equal(totals.prefill_tokens, 5);
    assert_int_equal(totals.decode_tokens, 11);
    assert_int_equal(totals.decode_steps, 11);
}

/* As many chunks as the step's room makes of it; the last one gives the row. */
static void a_correction_makes_room_for_others(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_tokens = 3;
    struct reader corrected, other;
    reader_begin(&corrected, 10, 1, 9);
    corrected.sequence.correct_every = 5;
    reader_begin(&other, 30, 1, 20);
    schedule_add(s, &corrected);
    schedule_add(s, &other);
    for (int i = 0; i < 5; i++) /* the prompts, four tokens of each */
        schedule_step(s);
    for (int32_t chunk = 0; chunk < 3; chunk++) {
        const int32_t n_tokens = chunk < 2 ? 2 : 1;
        schedule_step(s);
        check_span(last_plan(s), 0, 1, SPAN_DECODE, 5 + chunk, 1, 1);
        check_span(last_plan(s), 1, 0, SPAN_PREFILL, 1 + 2 * chunk, n_tokens, chunk == 2 ? 1 : 0);
    }
    schedule_finish(s);
    check_answer(s, &corrected);
    check_answer(s, &other);
    assert_int_equal(scheduler_totals(s->scheduler).prefill_tokens, 2);
}

static void every_token_may_be_read_instead_of_decoded(void **state) {
    struct schedule *s = *state;
    struct reader reader;
    reader_begin(&reader, 10, 5, 12);
    reader.sequence.correct_every = 1;
    reader.n_before = 100;
    reader.sequence.n_filled = 100;
    schedule_add(s, &reader);
    schedule_finish(s);
    for (int32_t i = 1; i < s->fake->n_plans; i++)
        check_span(&s->fake->plans[i], 0, 0, SPAN_PREFILL, 100 + 4 + i, 1, 1);
    assert_int_equal(s->fake->n_plans, 12);
    assert_int_equal(scheduler_totals(s->scheduler).decode_tokens, 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        schedule_test(tokens_are_corrected_when_enough_were_decoded),
        schedule_test(a_correction_makes_room_for_others),
        schedule_test(every_token_may_be_read_instead_of_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
