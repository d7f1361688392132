#include "tests/coordinator/schedule_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

struct schedule *schedule_create(void) {
    struct schedule *schedule = malloc(sizeof *schedule);
    assert_non_null(schedule);
    schedule->fake = fake_engine_create();
    assert_int_equal(scheduler_create(&schedule->fake->engine, &schedule->scheduler), STATUS_OK);
    return schedule;
}

void schedule_destroy(struct schedule *schedule) {
    scheduler_destroy(schedule->scheduler);
    fake_engine_destroy(schedule->fake);
    free(schedule);
}

int schedule_set_up(void **state) {
    *state = schedule_create();
    return 0;
}

int schedule_tear_down(void **state) {
    schedule_destroy(*state);
    return 0;
}

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

void reader_begin(struct reader *reader, int32_t first, int32_t n_prompt, int32_t n_answer) {
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

void schedule_add(struct schedule *schedule, struct reader *reader) {
    scheduler_add(schedule->scheduler, &reader->sequence);
}

void schedule_step(struct schedule *schedule) {
    assert_int_equal(scheduler_step(schedule->scheduler), STATUS_OK);
}

void schedule_finish(struct schedule *schedule) {
    while (scheduler_active(schedule->scheduler) > 0)
        schedule_step(schedule);
}

const struct fake_plan *last_plan(const struct schedule *schedule) {
    const struct fake_engine *fake = schedule->fake;
    assert_true(fake->n_plans > 0);
    return &fake->plans[fake->n_plans - 1];
}

void check_span(const struct fake_plan *plan_made, int32_t index, int32_t slot, enum span_phase phase,
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

void check_answer(const struct schedule *schedule, const struct reader *reader) {
    assert_int_equal(reader->n, reader->n_wanted);
    for (int32_t n = reader->sequence.n_prompt; n < reader->n; n++) {
        float logits[FAKE_VOCAB];
        fake_engine_logits(schedule->fake, reader->tokens, n, logits);
        int32_t best = 0;
        for (int32_t token = 1; token < FAKE_VOCAB; token++)
            if (logits[token] > logits[best]) best = token;
        assert_int_equal(reader->tokens[n], best);
    }
}
