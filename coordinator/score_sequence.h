/* coordinator/score_sequence.h - scores a line's tokens: the prompt densely, the rest one by one with the
 * given token forced.
 *
 * Memory:  borrows the line and writes its results into it.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "coordinator/scheduler.h"
#include "coordinator/score_line.h"

struct score_sequence {
    struct sequence sequence; /* what the scheduler gets */
    struct score_line *line;
    const struct score_context *context;
    int32_t n_scored; /* tokens whose row has come back */
    bool broken;      /* the row of the next one is not finite: the sequence ends there */
};

void score_sequence_begin(struct score_sequence *score, struct score_line *line,
                          const struct score_context *context);

/* Of a finished sequence: STATUS_BAD_INPUT where the model's logits were not finite. Asked when the line's
 * turn to be written comes, so that what is written before does not depend on who else was in the batch. */
NODISCARD enum status score_sequence_check(const struct score_sequence *score);
