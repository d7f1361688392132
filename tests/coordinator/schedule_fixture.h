/* tests/coordinator/schedule_fixture.h - a scheduler of a fake engine, with sequences that read a prompt and
 * then follow the likeliest token. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/scheduler.h"
#include "tests/coordinator/fake_engine.h"

enum { READER_TOKENS = 100 };

struct reader {
    struct sequence sequence;
    int32_t tokens[READER_TOKENS]; /* prompt, then answer */
    int32_t n, n_wanted;
    int32_t n_before; /* tokens of the slot that come before these */
    bool cancelled, refuses;
};

struct schedule {
    struct fake_engine *fake;
    struct scheduler *scheduler;
};

/* Never NULL. */
struct schedule *schedule_create(void);
void schedule_destroy(struct schedule *schedule);

/* A test whose *state is a schedule of its own. */
#define schedule_test(test) cmocka_unit_test_setup_teardown(test, schedule_set_up, schedule_tear_down)
int schedule_set_up(void **state);
int schedule_tear_down(void **state);

/* Readers with different `first` tokens get different answers. */
void reader_begin(struct reader *reader, int32_t first, int32_t n_prompt, int32_t n_answer);

void schedule_add(struct schedule *schedule, struct reader *reader);
void schedule_step(struct schedule *schedule);
void schedule_finish(struct schedule *schedule); /* steps until nobody is left */

const struct fake_plan *last_plan(const struct schedule *schedule);
void check_span(const struct fake_plan *plan, int32_t index, int32_t slot, enum span_phase phase,
                int32_t first, int32_t n_tokens, int32_t n_rows);

/* The whole of what a reader should have read: the engine asked without a scheduler. */
void check_answer(const struct schedule *schedule, const struct reader *reader);
