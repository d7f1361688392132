/* The scheduler: who runs in which step and slot, and what steps add up to. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "tests/coordinator/schedule_fixture.h"

static void decodes_go_first_and_prompts_fill_the_rest(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_tokens = 8;
    struct reader a, b, c;
    reader_begin(&a, 10, 9, 4);
    reader_begin(&b, 20, 10, 4);
    reader_begin(&c, 30, 2, 4);
    b.sequence.n_candidates = 7;

    schedule_add(s, &a);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_spans, 1);
    assert_int_equal(last_plan(s)->n_candidates, 1);
    check_span(last_plan(s), 0, 0, SPAN_PREFILL, 0, 8, 0);
    assert_int_equal(a.n, 9);

    schedule_add(s, &b);
    schedule_step(s); /* the end of a's prompt, the beginning of b's */
    assert_int_equal(last_plan(s)->n_candidates, 7);
    check_span(last_plan(s), 0, 0, SPAN_PREFILL, 8, 1, 1);
    check_span(last_plan(s), 1, 1, SPAN_PREFILL, 0, 7, 0);

    schedule_add(s, &c);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_spans, 3);
    check_span(last_plan(s), 0, 0, SPAN_DECODE, 9, 1, 1);
    check_span(last_plan(s), 1, 1, SPAN_PREFILL, 7, 3, 1);
    check_span(last_plan(s), 2, 2, SPAN_PREFILL, 0, 2, 1);

    schedule_finish(s);
    check_answer(s, &a);
    check_answer(s, &b);
    check_answer(s, &c);
}

static void a_decode_token_passes_a_prompt_in_a_lower_slot(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_tokens = 4;
    struct reader first, decoding, reading;
    reader_begin(&first, 1, 1, 1);
    reader_begin(&decoding, 2, 1, 6);
    reader_begin(&reading, 3, 9, 1);
    schedule_add(s, &first);
    schedule_add(s, &decoding);
    schedule_step(s);
    schedule_add(s, &reading); /* in the slot that `first` left */
    schedule_step(s);
    check_span(last_plan(s), 0, 1, SPAN_DECODE, 1, 1, 1);
    check_span(last_plan(s), 1, 0, SPAN_PREFILL, 0, 3, 0);
}

/* More sequences than the step has tokens, too: they take turns, and none is lost. */
static void answers_do_not_depend_on_the_company(void **state) {
    (void)state;
    for (int32_t max_tokens = 1; max_tokens <= 20; max_tokens++) {
        struct schedule *s = schedule_create();
        s->fake->engine.limits.max_tokens = max_tokens;
        struct reader readers[9];
        for (int32_t n_added = 0; n_added < 9 || scheduler_active(s->scheduler) > 0;) {
            if (n_added < 9 && scheduler_has_room(s->scheduler)) {
                reader_begin(&readers[n_added], 40 * n_added, 1 + 5 * n_added % 17, 1 + 3 * n_added % 7);
                schedule_add(s, &readers[n_added]);
                n_added++;
            } else {
                schedule_step(s);
            }
        }
        for (int32_t i = 0; i < 9; i++)
            check_answer(s, &readers[i]);
        schedule_destroy(s);
    }
}

static void one_token_for_each_of_three_sequences(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_tokens = 3;
    struct reader readers[3];
    for (int32_t i = 0; i < 3; i++) {
        reader_begin(&readers[i], 10 * i, 3, 5);
        schedule_add(s, &readers[i]);
    }
    int32_t n_steps = 0;
    for (; scheduler_active(s->scheduler) > 0; n_steps++)
        schedule_step(s);
    for (int32_t i = 0; i < 3; i++)
        check_answer(s, &readers[i]);
    check_span(&s->fake->plans[0], 0, 0, SPAN_PREFILL, 0, 3, 1);
    check_span(&s->fake->plans[1], 0, 0, SPAN_DECODE, 3, 1, 1);
    check_span(&s->fake->plans[1], 1, 1, SPAN_PREFILL, 0, 2, 0);
    assert_int_equal(n_steps, 9);
}

static void a_freed_slot_is_sent_once_with_the_plan_that_reuses_it(void **state) {
    struct schedule *s = *state;
    struct reader a, b, c;
    reader_begin(&a, 10, 3, 1);
    reader_begin(&b, 20, 3, 9);
    reader_begin(&c, 30, 3, 2);
    schedule_add(s, &a);
    schedule_add(s, &b);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 0);
    assert_int_equal(scheduler_active(s->scheduler), 1);
    schedule_add(s, &c);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 1);
    assert_int_equal(last_plan(s)->freed[0], 0);
    check_span(last_plan(s), 1, 0, SPAN_PREFILL, 0, 3, 1);
    schedule_step(s); /* c ends */
    assert_int_equal(last_plan(s)->n_freed, 0);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 1);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 0);
    check_answer(s, &c);
}

static void there_is_room_for_as_many_as_slots(void **state) {
    struct schedule *s = *state;
    struct reader readers[FAKE_SLOTS];
    for (int32_t i = 0; i < FAKE_SLOTS; i++) {
        assert_true(scheduler_has_room(s->scheduler));
        assert_int_equal(scheduler_active(s->scheduler), i);
        reader_begin(&readers[i], i, 1, 1 + i);
        schedule_add(s, &readers[i]);
    }
    assert_false(scheduler_has_room(s->scheduler));
    schedule_step(s);
    assert_true(scheduler_has_room(s->scheduler));
    assert_int_equal(scheduler_active(s->scheduler), FAKE_SLOTS - 1);
}

static void a_kept_slot_is_continued(void **state) {
    struct schedule *s = *state;
    scheduler_set_keep_slots(s->scheduler, true);
    struct reader a, b;
    reader_begin(&a, 10, 6, 3);
    schedule_add(s, &a);
    schedule_finish(s);
    assert_int_equal(a.sequence.n_planned, a.n - 1);
    assert_int_equal(s->fake->n_tokens[0], a.n - 1);

    reader_begin(&b, 10, 9, 3); /* begins as a's prompt does, goes on otherwise than a's answer */
    b.sequence.n_planned = 6;
    schedule_add(s, &b);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 0);
    check_span(last_plan(s), 0, 0, SPAN_PREFILL, 6, 3, 1);
    schedule_finish(s);
    check_answer(s, &b);
    for (int32_t i = 0; i < s->fake->n_plans; i++)
        assert_int_equal(s->fake->plans[i].n_freed, 0);
}

/* Each behind its own fill, the second of a slot too, whose first owner must not be freed over it. */
static void sequences_begin_behind_what_they_are_filled_with(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_slots = 2;
    s->fake->engine.limits.max_tokens = 5;
    struct reader readers[3];
    for (int32_t i = 0; i < 3; i++) {
        reader_begin(&readers[i], 10 * i, 4, 2 + i);
        readers[i].n_before = 100 * i;
        readers[i].sequence.n_filled = readers[i].n_before;
        readers[i].sequence.fill_seed = (uint64_t)(7 + i);
    }
    schedule_add(s, &readers[0]);
    schedule_add(s, &readers[1]);
    schedule_step(s);
    check_span(last_plan(s), 0, 0, SPAN_PREFILL, 0, 4, 1);
    check_span(last_plan(s), 1, 1, SPAN_PREFILL, 100, 1, 0);
    while (!scheduler_has_room(s->scheduler))
        schedule_step(s);
    schedule_add(s, &readers[2]);
    schedule_finish(s);

    assert_int_equal(s->fake->n_fills, 2);
    const struct step_fill expected[] = {{1, 100, 8}, {0, 200, 9}};
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(s->fake->fills[i].slot, expected[i].slot);
        assert_int_equal(s->fake->fills[i].n_tokens, expected[i].n_tokens);
        assert_int_equal(s->fake->fills[i].seed, expected[i].seed);
    }
    for (int32_t i = 0; i < s->fake->n_plans; i++)
        for (int32_t j = 0; j < s->fake->plans[i].n_freed; j++)
            assert_int_equal(s->fake->plans[i].freed[j], 1); /* slot 0 was filled anew, which frees it */
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(readers[i].n, readers[i].n_wanted);
    assert_int_equal(s->fake->n_tokens[0], 200 + readers[2].n - 1);
    assert_int_equal(scheduler_totals(s->scheduler).cached_tokens, 200 + readers[2].n - 1);
}

static void a_failed_step_leaves_freed_slots_for_the_next(void **state) {
    struct schedule *s = *state;
    struct reader a, b, c;
    reader_begin(&a, 10, 3, 1);
    reader_begin(&b, 20, 3, 9);
    reader_begin(&c, 30, 3, 2);
    schedule_add(s, &a);
    schedule_step(s);
    schedule_add(s, &b);
    s->fake->fail_next = true;
    assert_int_equal(scheduler_step(s->scheduler), STATUS_INTERNAL);
    assert_string_equal(status_message(), "the plan was not sent");
    assert_int_equal(scheduler_active(s->scheduler), 0);
    schedule_add(s, &c);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 1);
    assert_int_equal(last_plan(s)->freed[0], 0);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 0);
    check_answer(s, &c);
}

static void a_sequence_that_takes_nothing_fails_the_step(void **state) {
    struct schedule *s = *state;
    scheduler_set_keep_slots(s->scheduler, true);
    struct reader a, b, c;
    reader_begin(&a, 10, 3, 1);
    reader_begin(&b, 20, 3, 1);
    a.refuses = true;
    schedule_add(s, &a);
    schedule_add(s, &b);
    assert_int_equal(scheduler_step(s->scheduler), STATUS_IO);
    assert_string_equal(status_message(), "this sequence takes nothing");

    /* All have left, kept slots or not: a caller may give them back and go on with others. */
    assert_int_equal(scheduler_active(s->scheduler), 0);
    memset(&a, 0xAA, sizeof a);
    memset(&b, 0xAA, sizeof b);
    reader_begin(&c, 30, 3, 2);
    schedule_add(s, &c);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_freed, 2);
    schedule_step(s);
    check_answer(s, &c);
}

static void cancelled_sequences_leave_when_retired(void **state) {
    struct schedule *s = *state;
    struct reader a, b;
    reader_begin(&a, 10, 3, 9);
    reader_begin(&b, 20, 3, 3);
    schedule_add(s, &a);
    schedule_add(s, &b);
    schedule_step(s);
    a.cancelled = true;
    assert_int_equal(scheduler_active(s->scheduler), 2);
    scheduler_retire(s->scheduler);
    scheduler_retire(s->scheduler);
    assert_int_equal(scheduler_active(s->scheduler), 1);
    schedule_step(s);
    assert_int_equal(last_plan(s)->n_spans, 1);
    assert_int_equal(last_plan(s)->n_freed, 1);
    schedule_step(s);
    check_answer(s, &b);
    assert_int_equal(a.n, 4);
}

/* Cancelled before any step, over and over: one slot, to be freed once. */
static void a_slot_that_falls_free_again_is_sent_once(void **state) {
    struct schedule *s = *state;
    struct reader readers[2 * FAKE_SLOTS], last;
    for (int32_t i = 0; i < 2 * FAKE_SLOTS; i++) {
        reader_begin(&readers[i], i, 3, 3);
        schedule_add(s, &readers[i]);
        readers[i].cancelled = true;
        scheduler_retire(s->scheduler);
    }
    reader_begin(&last, 100, 3, 3);
    schedule_add(s, &last);
    schedule_finish(s);
    assert_int_equal(s->fake->plans[0].n_freed, 1);
    assert_int_equal(s->fake->plans[1].n_freed, 0);
    check_answer(s, &last);
}

static void totals_tell_prefill_from_decode(void **state) {
    struct schedule *s = *state;
    s->fake->engine.limits.max_tokens = 8;
    struct reader a, b;
    reader_begin(&a, 10, 10, 6);
    reader_begin(&b, 20, 5, 3);
    schedule_add(s, &a);
    schedule_step(s); /* 8 of a's */
    schedule_step(s); /* 2 of a's */
    schedule_step(s); /* decode */
    schedule_add(s, &b);
    schedule_step(s); /* decode beside 5 of b's: a step that reads a prompt */
    struct scheduler_totals totals = scheduler_totals(s->scheduler);
    assert_int_equal(totals.prefill_tokens, 15);
    assert_int_equal(totals.decode_steps, 1);
    assert_int_equal(totals.decode_tokens, 1);
    schedule_step(s); /* both decode; the last span is b's, at 6 tokens */
    totals = scheduler_totals(s->scheduler);
    assert_int_equal(totals.prefill_tokens, 15);
    assert_int_equal(totals.decode_steps, 2);
    assert_int_equal(totals.decode_tokens, 3);
    assert_true(totals.decode_times.compute == 2 && totals.decode_times.sync == 4 &&
                totals.decode_times.select == 8);
    assert_int_equal(totals.cached_tokens, 6);
    assert_int_equal(totals.attended_tokens, 3);
    assert_true(totals.prefill_seconds > 0 && totals.decode_seconds > 0 && totals.sample_seconds > 0);

    scheduler_reset_totals(s->scheduler);
    totals = scheduler_totals(s->scheduler);
    assert_memory_equal(&totals, &(struct scheduler_totals){0}, sizeof totals);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        schedule_test(decodes_go_first_and_prompts_fill_the_rest),
        schedule_test(a_decode_token_passes_a_prompt_in_a_lower_slot),
        cmocka_unit_test(answers_do_not_depend_on_the_company),
        schedule_test(one_token_for_each_of_three_sequences),
        schedule_test(a_freed_slot_is_sent_once_with_the_plan_that_reuses_it),
        schedule_test(there_is_room_for_as_many_as_slots),
        schedule_test(a_kept_slot_is_continued),
        schedule_test(sequences_begin_behind_what_they_are_filled_with),
        schedule_test(a_failed_step_leaves_freed_slots_for_the_next),
        schedule_test(a_sequence_that_takes_nothing_fails_the_step),
        schedule_test(cancelled_sequences_leave_when_retired),
        schedule_test(a_slot_that_falls_free_again_is_sent_once),
        schedule_test(totals_tell_prefill_from_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
