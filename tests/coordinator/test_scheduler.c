/* The scheduler with sequences that read a prompt and then follow the likeliest token. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "coordinator/scheduler.h"
#include "tests/coordinator/fake_engine.h"

enum { MAX_READ = 100 };

struct reader {
    struct sequence sequence;
    int32_t tokens[MAX_READ]; /* prompt, then answer */
    int32_t n, n_wanted;
    int32_t n_before; /* tokens of the slot that come before these */
    bool cancelled, refuses;
};

static void plan(void *self, int32_t room, struct step_span *span_out) {
    struct reader *reader = self;
    sequence_next_span(&reader->sequence, reader->tokens, room, span_out);
    span_out->n_logits_rows = reader->sequence.n_planned == reader->n ? 1 : 0;
}

static enum status take(void *self, const struct engine *engine, const struct logits_row *rows,
                        int32_t n_rows, int32_t first_row) {
    struct reader *reader = self;
    float logits[FAKE_VOCAB];
    if (reader->refuses) return FAIL(STATUS_IO, "this sequence takes nothing");
    if (n_rows == 0) return STATUS_OK;
    assert_int_equal(n_rows, 1);
    const struct candidate best = rows->candidates[0];
    assert_int_equal(rows->position, reader->n_before + reader->n - 1);
    assert_int_equal(engine->fetch_logits(engine->self, first_row, logits), STATUS_OK);
    assert_true(logits[best.token] == best.logit);
    reader->tokens[reader->n++] = best.token;
    return STATUS_OK;
}

static bool finished(const void *self) {
    const struct reader *reader = self;
    return reader->cancelled || reader->n == reader->n_wanted;
}

/* Readers with different `first` tokens get different answers. */
static void begin(struct reader *reader, int32_t first, int32_t n_prompt, int32_t n_answer) {
    *reader = (struct reader){
        .sequence = {.self = reader,
                     .plan = plan,
                     .take = take,
                     .finished = finished,
                     .n_candidates = 1,
                     .n_prompt = n_prompt},
        .n = n_prompt,
        .n_wanted = n_prompt + n_answer,
    };
    for (int32_t i = 0; i < n_prompt; i++)
        reader->tokens[i] = first + i;
}

static struct scheduler *create(struct fake_engine *fake) {
    struct scheduler *scheduler;
    assert_int_equal(scheduler_create(&fake->engine, &scheduler), STATUS_OK);
    return scheduler;
}

static void step(struct scheduler *scheduler) {
    assert_int_equal(scheduler_step(scheduler), STATUS_OK);
}

/* The whole of what a reader should have read: the engine asked without a scheduler. */
static void check_answer(const struct fake_engine *fake, const struct reader *reader) {
    assert_int_equal(reader->n, reader->n_wanted);
    for (int32_t n = reader->sequence.n_prompt; n < reader->n; n++) {
        float logits[FAKE_VOCAB];
        fake_engine_logits(fake, reader->tokens, n, logits);
        int32_t best = 0;
        for (int32_t token = 1; token < FAKE_VOCAB; token++)
            if (logits[token] > logits[best]) best = token;
        assert_int_equal(reader->tokens[n], best);
    }
}

static const struct fake_plan *last_plan(const struct fake_engine *fake) {
    assert_true(fake->n_plans > 0);
    return &fake->plans[fake->n_plans - 1];
}

static void check_span(const struct fake_plan *plan_made, int32_t index, int32_t slot, enum span_phase phase,
                       int32_t first, int32_t n_tokens, int32_t n_rows) {
    assert_in_range(index, 0, plan_made->n_spans - 1);
    const struct step_span *span = &plan_made->spans[index];
    assert_int_equal(span->slot, slot);
    assert_int_equal(span->phase, phase);
    assert_int_equal(span->first_position, first);
    assert_int_equal(span->n_tokens, n_tokens);
    assert_int_equal(span->n_logits_rows, n_rows);
    assert_null(span->targets);
    assert_true(span->inverse_temperature == 1);
}

static void decodes_go_first_and_prompts_fill_the_rest(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_tokens = 8;
    struct scheduler *scheduler = create(fake);
    struct reader a, b, c;
    begin(&a, 10, 9, 4);
    begin(&b, 20, 10, 4);
    begin(&c, 30, 2, 4);
    b.sequence.n_candidates = 7;

    scheduler_add(scheduler, &a.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_spans, 1);
    assert_int_equal(last_plan(fake)->n_candidates, 1);
    check_span(last_plan(fake), 0, 0, SPAN_PREFILL, 0, 8, 0);
    assert_int_equal(a.n, 9);

    scheduler_add(scheduler, &b.sequence);
    step(scheduler); /* the end of a's prompt, the beginning of b's */
    assert_int_equal(last_plan(fake)->n_candidates, 7);
    check_span(last_plan(fake), 0, 0, SPAN_PREFILL, 8, 1, 1);
    check_span(last_plan(fake), 1, 1, SPAN_PREFILL, 0, 7, 0);

    scheduler_add(scheduler, &c.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_spans, 3);
    check_span(last_plan(fake), 0, 0, SPAN_DECODE, 9, 1, 1);
    check_span(last_plan(fake), 1, 1, SPAN_PREFILL, 7, 3, 1);
    check_span(last_plan(fake), 2, 2, SPAN_PREFILL, 0, 2, 1);

    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    check_answer(fake, &a);
    check_answer(fake, &b);
    check_answer(fake, &c);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void a_decode_token_passes_a_prompt_in_a_lower_slot(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_tokens = 4;
    struct scheduler *scheduler = create(fake);
    struct reader first, decoding, reading;
    begin(&first, 1, 1, 1);
    begin(&decoding, 2, 1, 6);
    begin(&reading, 3, 9, 1);
    scheduler_add(scheduler, &first.sequence);
    scheduler_add(scheduler, &decoding.sequence);
    step(scheduler);
    scheduler_add(scheduler, &reading.sequence); /* in the slot that `first` left */
    step(scheduler);
    check_span(last_plan(fake), 0, 1, SPAN_DECODE, 1, 1, 1);
    check_span(last_plan(fake), 1, 0, SPAN_PREFILL, 0, 3, 0);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

/* More sequences than the step has tokens, too: they take turns, and none is lost. */
static void answers_do_not_depend_on_the_company(void **state) {
    (void)state;
    for (int32_t max_tokens = 1; max_tokens <= 20; max_tokens++) {
        struct fake_engine *fake = fake_engine_create();
        fake->engine.limits.max_tokens = max_tokens;
        struct scheduler *scheduler = create(fake);
        struct reader readers[9];
        for (int32_t n_added = 0; n_added < 9 || scheduler_active(scheduler) > 0;) {
            if (n_added < 9 && scheduler_has_room(scheduler)) {
                begin(&readers[n_added], 40 * n_added, 1 + 5 * n_added % 17, 1 + 3 * n_added % 7);
                scheduler_add(scheduler, &readers[n_added].sequence);
                n_added++;
            } else {
                step(scheduler);
            }
        }
        for (int32_t i = 0; i < 9; i++)
            check_answer(fake, &readers[i]);
        scheduler_destroy(scheduler);
        fake_engine_destroy(fake);
    }
}

static void one_token_for_each_of_three_sequences(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_tokens = 3;
    struct scheduler *scheduler = create(fake);
    struct reader readers[3];
    for (int32_t i = 0; i < 3; i++) {
        begin(&readers[i], 10 * i, 3, 5);
        scheduler_add(scheduler, &readers[i].sequence);
    }
    int32_t n_steps = 0;
    for (; scheduler_active(scheduler) > 0; n_steps++)
        step(scheduler);
    for (int32_t i = 0; i < 3; i++)
        check_answer(fake, &readers[i]);
    check_span(&fake->plans[0], 0, 0, SPAN_PREFILL, 0, 3, 1);
    check_span(&fake->plans[1], 0, 0, SPAN_DECODE, 3, 1, 1);
    check_span(&fake->plans[1], 1, 1, SPAN_PREFILL, 0, 2, 0);
    assert_int_equal(n_steps, 9);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void a_freed_slot_is_sent_once_with_the_plan_that_reuses_it(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader a, b, c;
    begin(&a, 10, 3, 1);
    begin(&b, 20, 3, 9);
    begin(&c, 30, 3, 2);
    scheduler_add(scheduler, &a.sequence);
    scheduler_add(scheduler, &b.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 0);
    assert_int_equal(scheduler_active(scheduler), 1);
    scheduler_add(scheduler, &c.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 1);
    assert_int_equal(last_plan(fake)->freed[0], 0);
    check_span(last_plan(fake), 1, 0, SPAN_PREFILL, 0, 3, 1);
    step(scheduler); /* c ends */
    assert_int_equal(last_plan(fake)->n_freed, 0);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 1);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 0);
    check_answer(fake, &c);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void there_is_room_for_as_many_as_slots(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader readers[FAKE_SLOTS];
    for (int32_t i = 0; i < FAKE_SLOTS; i++) {
        assert_true(scheduler_has_room(scheduler));
        assert_int_equal(scheduler_active(scheduler), i);
        begin(&readers[i], i, 1, 1 + i);
        scheduler_add(scheduler, &readers[i].sequence);
    }
    assert_false(scheduler_has_room(scheduler));
    step(scheduler);
    assert_true(scheduler_has_room(scheduler));
    assert_int_equal(scheduler_active(scheduler), FAKE_SLOTS - 1);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void a_kept_slot_is_continued(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    scheduler_set_keep_slots(scheduler, true);
    struct reader a, b;
    begin(&a, 10, 6, 3);
    scheduler_add(scheduler, &a.sequence);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    assert_int_equal(a.sequence.n_planned, a.n - 1);
    assert_int_equal(fake->n_tokens[0], a.n - 1);

    begin(&b, 10, 9, 3); /* begins as a's prompt does, goes on otherwise than a's answer */
    b.sequence.n_planned = 6;
    scheduler_add(scheduler, &b.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 0);
    check_span(last_plan(fake), 0, 0, SPAN_PREFILL, 6, 3, 1);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    check_answer(fake, &b);
    for (int32_t i = 0; i < fake->n_plans; i++)
        assert_int_equal(fake->plans[i].n_freed, 0);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

/* Each behind its own fill, the second of a slot too, whose first owner must not be freed over it. */
static void sequences_begin_behind_what_they_are_filled_with(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_slots = 2;
    fake->engine.limits.max_tokens = 5;
    struct scheduler *scheduler = create(fake);
    struct reader readers[3];
    for (int32_t i = 0; i < 3; i++) {
        begin(&readers[i], 10 * i, 4, 2 + i);
        readers[i].n_before = 100 * i;
        readers[i].sequence.n_filled = readers[i].n_before;
        readers[i].sequence.fill_seed = (uint64_t)(7 + i);
    }
    scheduler_add(scheduler, &readers[0].sequence);
    scheduler_add(scheduler, &readers[1].sequence);
    step(scheduler);
    check_span(last_plan(fake), 0, 0, SPAN_PREFILL, 0, 4, 1);
    check_span(last_plan(fake), 1, 1, SPAN_PREFILL, 100, 1, 0);
    while (!scheduler_has_room(scheduler))
        step(scheduler);
    scheduler_add(scheduler, &readers[2].sequence);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);

    assert_int_equal(fake->n_fills, 2);
    const struct step_fill expected[] = {{1, 100, 8}, {0, 200, 9}};
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(fake->fills[i].slot, expected[i].slot);
        assert_int_equal(fake->fills[i].n_tokens, expected[i].n_tokens);
        assert_int_equal(fake->fills[i].seed, expected[i].seed);
    }
    for (int32_t i = 0; i < fake->n_plans; i++)
        for (int32_t j = 0; j < fake->plans[i].n_freed; j++)
            assert_int_equal(fake->plans[i].freed[j], 1); /* slot 0 was filled anew, which frees it */
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(readers[i].n, readers[i].n_wanted);
    assert_int_equal(fake->n_tokens[0], 200 + readers[2].n - 1);
    assert_int_equal(scheduler_totals(scheduler).cached_tokens, 200 + readers[2].n - 1);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

/* The answer is that of the tokens, whatever was computed twice: a span that repeats others changes nothing
 * but where the fake engine stands. */
static void tokens_are_corrected_when_enough_were_decoded(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader reader;
    begin(&reader, 10, 5, 12);
    reader.sequence.correct_every = 4;
    scheduler_add(scheduler, &reader.sequence);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    static const struct {
        enum span_phase phase;
        int32_t first, n_tokens;
    } expected[] = {{SPAN_PREFILL, 0, 5}, {SPAN_DECODE, 5, 1},  {SPAN_DECODE, 6, 1},  {SPAN_DECODE, 7, 1},
                    {SPAN_PREFILL, 5, 4}, {SPAN_DECODE, 9, 1},  {SPAN_DECODE, 10, 1}, {SPAN_DECODE, 11, 1},
                    {SPAN_PREFILL, 9, 4}, {SPAN_DECODE, 13, 1}, {SPAN_DECODE, 14, 1}, {SPAN_DECODE, 15, 1}};
    assert_int_equal(fake->n_plans, 12); /* one for each token: none is lost to corrections */
    for (int32_t i = 0; i < 12; i++)
        check_span(&fake->plans[i], 0, 0, expected[i].phase, expected[i].first, expected[i].n_tokens, 1);
    check_answer(fake, &reader);
    const struct scheduler_totals totals = scheduler_totals(scheduler);
    assert_int_equal(totals.prefill_tokens, 5);
    assert_int_equal(totals.decode_tokens, 11);
    assert_int_equal(totals.decode_steps, 11);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

/* As many chunks as the step's room makes of it; the last one gives the row. */
static void a_correction_makes_room_for_others(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_tokens = 3;
    struct scheduler *scheduler = create(fake);
    struct reader corrected, other;
    begin(&corrected, 10, 1, 9);
    corrected.sequence.correct_every = 5;
    begin(&other, 30, 1, 20);
    scheduler_add(scheduler, &corrected.sequence);
    scheduler_add(scheduler, &other.sequence);
    for (int i = 0; i < 5; i++) /* the prompts, four tokens of each */
        step(scheduler);
    for (int32_t chunk = 0; chunk < 3; chunk++) {
        const int32_t n_tokens = chunk < 2 ? 2 : 1;
        step(scheduler);
        check_span(last_plan(fake), 0, 1, SPAN_DECODE, 5 + chunk, 1, 1);
        check_span(last_plan(fake), 1, 0, SPAN_PREFILL, 1 + 2 * chunk, n_tokens, chunk == 2 ? 1 : 0);
    }
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    check_answer(fake, &corrected);
    check_answer(fake, &other);
    assert_int_equal(scheduler_totals(scheduler).prefill_tokens, 2);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void every_token_may_be_read_instead_of_decoded(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader reader;
    begin(&reader, 10, 5, 12);
    reader.sequence.correct_every = 1;
    reader.n_before = 100;
    reader.sequence.n_filled = 100;
    scheduler_add(scheduler, &reader.sequence);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    for (int32_t i = 1; i < fake->n_plans; i++)
        check_span(&fake->plans[i], 0, 0, SPAN_PREFILL, 100 + 4 + i, 1, 1);
    assert_int_equal(fake->n_plans, 12);
    assert_int_equal(scheduler_totals(scheduler).decode_tokens, 11);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void a_failed_step_leaves_freed_slots_for_the_next(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader a, b, c;
    begin(&a, 10, 3, 1);
    begin(&b, 20, 3, 9);
    begin(&c, 30, 3, 2);
    scheduler_add(scheduler, &a.sequence);
    step(scheduler);
    scheduler_add(scheduler, &b.sequence);
    fake->fail_next = true;
    assert_int_equal(scheduler_step(scheduler), STATUS_INTERNAL);
    assert_string_equal(status_message(), "the plan was not sent");
    assert_int_equal(scheduler_active(scheduler), 0);
    scheduler_add(scheduler, &c.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 1);
    assert_int_equal(last_plan(fake)->freed[0], 0);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 0);
    check_answer(fake, &c);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void a_sequence_that_takes_nothing_fails_the_step(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    scheduler_set_keep_slots(scheduler, true);
    struct reader a, b, c;
    begin(&a, 10, 3, 1);
    begin(&b, 20, 3, 1);
    a.refuses = true;
    scheduler_add(scheduler, &a.sequence);
    scheduler_add(scheduler, &b.sequence);
    assert_int_equal(scheduler_step(scheduler), STATUS_IO);
    assert_string_equal(status_message(), "this sequence takes nothing");

    /* All have left, kept slots or not: a caller may give them back and go on with others. */
    assert_int_equal(scheduler_active(scheduler), 0);
    memset(&a, 0xAA, sizeof a);
    memset(&b, 0xAA, sizeof b);
    begin(&c, 30, 3, 2);
    scheduler_add(scheduler, &c.sequence);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_freed, 2);
    step(scheduler);
    check_answer(fake, &c);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void cancelled_sequences_leave_when_retired(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader a, b;
    begin(&a, 10, 3, 9);
    begin(&b, 20, 3, 3);
    scheduler_add(scheduler, &a.sequence);
    scheduler_add(scheduler, &b.sequence);
    step(scheduler);
    a.cancelled = true;
    assert_int_equal(scheduler_active(scheduler), 2);
    scheduler_retire(scheduler);
    scheduler_retire(scheduler);
    assert_int_equal(scheduler_active(scheduler), 1);
    step(scheduler);
    assert_int_equal(last_plan(fake)->n_spans, 1);
    assert_int_equal(last_plan(fake)->n_freed, 1);
    step(scheduler);
    check_answer(fake, &b);
    assert_int_equal(a.n, 4);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

/* Cancelled before any step, over and over: one slot, to be freed once. */
static void a_slot_that_falls_free_again_is_sent_once(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    struct scheduler *scheduler = create(fake);
    struct reader readers[2 * FAKE_SLOTS], last;
    for (int32_t i = 0; i < 2 * FAKE_SLOTS; i++) {
        begin(&readers[i], i, 3, 3);
        scheduler_add(scheduler, &readers[i].sequence);
        readers[i].cancelled = true;
        scheduler_retire(scheduler);
    }
    begin(&last, 100, 3, 3);
    scheduler_add(scheduler, &last.sequence);
    while (scheduler_active(scheduler) > 0)
        step(scheduler);
    assert_int_equal(fake->plans[0].n_freed, 1);
    assert_int_equal(fake->plans[1].n_freed, 0);
    check_answer(fake, &last);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

static void totals_tell_prefill_from_decode(void **state) {
    (void)state;
    struct fake_engine *fake = fake_engine_create();
    fake->engine.limits.max_tokens = 8;
    struct scheduler *scheduler = create(fake);
    struct reader a, b;
    begin(&a, 10, 10, 6);
    begin(&b, 20, 5, 3);
    scheduler_add(scheduler, &a.sequence);
    step(scheduler); /* 8 of a's */
    step(scheduler); /* 2 of a's */
    step(scheduler); /* decode */
    scheduler_add(scheduler, &b.sequence);
    step(scheduler); /* decode beside 5 of b's: a step that reads a prompt */
    struct scheduler_totals totals = scheduler_totals(scheduler);
    assert_int_equal(totals.prefill_tokens, 15);
    assert_int_equal(totals.decode_steps, 1);
    assert_int_equal(totals.decode_tokens, 1);
    step(scheduler); /* both decode; the last span is b's, at 6 tokens */
    totals = scheduler_totals(scheduler);
    assert_int_equal(totals.prefill_tokens, 15);
    assert_int_equal(totals.decode_steps, 2);
    assert_int_equal(totals.decode_tokens, 3);
    assert_true(totals.decode_times.compute == 2 && totals.decode_times.sync == 4 &&
                totals.decode_times.select == 8);
    assert_int_equal(totals.cached_tokens, 6);
    assert_int_equal(totals.attended_tokens, 3);
    assert_true(totals.prefill_seconds > 0 && totals.decode_seconds > 0 && totals.sample_seconds > 0);

    scheduler_reset_totals(scheduler);
    totals = scheduler_totals(scheduler);
    assert_memory_equal(&totals, &(struct scheduler_totals){0}, sizeof totals);
    scheduler_destroy(scheduler);
    fake_engine_destroy(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_go_first_and_prompts_fill_the_rest),
        cmocka_unit_test(a_decode_token_passes_a_prompt_in_a_lower_slot),
        cmocka_unit_test(answers_do_not_depend_on_the_company),
        cmocka_unit_test(one_token_for_each_of_three_sequences),
        cmocka_unit_test(a_freed_slot_is_sent_once_with_the_plan_that_reuses_it),
        cmocka_unit_test(there_is_room_for_as_many_as_slots),
        cmocka_unit_test(a_kept_slot_is_continued),
        cmocka_unit_test(sequences_begin_behind_what_they_are_filled_with),
        cmocka_unit_test(tokens_are_corrected_when_enough_were_decoded),
        cmocka_unit_test(a_correction_makes_room_for_others),
        cmocka_unit_test(every_token_may_be_read_instead_of_decoded),
        cmocka_unit_test(a_failed_step_leaves_freed_slots_for_the_next),
        cmocka_unit_test(a_sequence_that_takes_nothing_fails_the_step),
        cmocka_unit_test(cancelled_sequences_leave_when_retired),
        cmocka_unit_test(a_slot_that_falls_free_again_is_sent_once),
        cmocka_unit_test(totals_tell_prefill_from_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
