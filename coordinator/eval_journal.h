/* coordinator/eval_journal.h - the tokens of eval's samples under way, kept beside its results in
 * RESULTS.journal until all is done: after a kill, a sample goes on where it was.
 *
 * Only under plain dense attention, where tokens can be read like a prompt. Under other policies they would
 * have to be decoded again, which is what making the sample anew comes to.
 *
 * Memory:  an eval_journal owns its file.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>

#include "coordinator/config.h"
#include "coordinator/eval_method.h"
#include "coordinator/journal.h"

struct eval_journal {
    struct journal *journal; /* NULL: none is kept */
    char *path;
    int lock;
};

/* Before a model is loaded: is there none, or one of these settings? */
NODISCARD enum status eval_journal_check(const struct config *config, json_t *settings);

/* Whoever holds the results may call it. */
NODISCARD enum status eval_journal_open(const struct config *config, const struct eval_method *method,
                                        json_t *settings, struct eval_journal *journal_out);
void eval_journal_close(struct eval_journal *journal);

/* When no sample is under way any more. */
NODISCARD enum status eval_journal_remove(const struct config *config);
