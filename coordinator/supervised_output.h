/* coordinator/supervised_output.h - what a command that is run again and again prints, passed on once.
 *
 * Each attempt is expected to print what the one before has printed, from its beginning: that much is held
 * against what was passed on already, and only what comes behind it is passed on. Where an attempt prints
 * something else, that is said, and all that it prints is passed on, from its beginning.
 *
 * Memory:  keeps what was passed on, up to 64 MiB.
 * Threads: one at a time.
 * Ranks:   none. */
#pragma once

#include <poll.h>
#include <stdbool.h>

#include "base/status.h"

struct supervised_output;

/* *output_out is NULL where standard output is a terminal, which the command gets itself: a person sees what
 * was begun anew. The other functions take a NULL and do nothing. */
NODISCARD enum status supervised_output_create(struct supervised_output **output_out);
void supervised_output_destroy(struct supervised_output *output);

/* Another attempt, which is to write to *end_out, the caller's. -1: to standard output. */
NODISCARD enum status supervised_output_begin(struct supervised_output *output, int *end_out);

/* What to wait for with poll(2), and what to do then. */
enum { SUPERVISED_OUTPUT_POLLS = 2 };
void supervised_output_prepare(const struct supervised_output *output,
                               struct pollfd polled[SUPERVISED_OUTPUT_POLLS]);
void supervised_output_advance(struct supervised_output *output,
                               const struct pollfd polled[SUPERVISED_OUTPUT_POLLS]);

/* Has the attempt's end been reached, and all been passed on? */
bool supervised_output_is_done(const struct supervised_output *output);

/* Could all be written? */
NODISCARD enum status supervised_output_check(const struct supervised_output *output);
