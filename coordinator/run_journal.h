/* coordinator/run_journal.h - `run --journal FILE`: the answers' tokens made durable as they come, and what
 * is done with those that are there already.
 *
 * With dense attention they are read like a prompt, which gives the same keys and values; under any other
 * policy they are decoded again, since what a step leaves behind depends on what it attended to.
 *
 * Memory:  a run_journal owns the journal and borrows the session.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/generation.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"

struct run_journal;

/* Before the model is loaded. Nothing to check without --journal. */
NODISCARD enum status run_journal_check(const struct config *config);
NODISCARD enum status run_journal_lock(const struct config *config, int *lock_out);

/* *journal_out is NULL without --journal; the others then do nothing. One of other prompts: STATUS_BAD_INPUT.
 */
NODISCARD enum status run_journal_open(const struct run_session *session, const struct run_prompts *prompts,
                                       struct run_journal **journal_out);
void run_journal_close(struct run_journal *journal);

/* What there is of the `index`-th answer; valid until it is noted. */
struct known_tokens run_journal_known(const struct run_journal *journal, size_t index);

NODISCARD enum status run_journal_note(struct run_journal *journal, size_t index,
                                       const struct generation *generation);
NODISCARD enum status run_journal_flush(struct run_journal *journal);
