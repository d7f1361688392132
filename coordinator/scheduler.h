/* coordinator/scheduler.h - which sequences run in which step.
 *
 * Sequences join and leave between steps; each step's plan holds one token of every decoding sequence and,
 * with the room that is left, chunks of the prompts still to be read. What a sequence computes does not
 * depend on who else is in the plan.
 *
 * Memory:  the scheduler borrows sequences from scheduler_add until they finish.
 * Threads: main thread only.
 * Ranks:   rank 0; every step is a collective inside the engine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/engine.h"

/* A sequence as the scheduler sees it; what it generates or scores is its own affair. */
struct sequence {
    void *self;

    /* The next tokens to compute, at most `room` >= 1: everything of the span but its slot, most of it by
     * sequence_next_span. Arrays must live until take returns. */
    void (*plan)(void *self, int32_t room, struct step_span *span_out);

    /* The rows that the span asked for; row i of it can be fetched whole as first_row + i. */
    enum status (*take)(void *self, const struct engine *engine, const struct logits_row *rows,
                        int32_t n_rows, int32_t first_row);

    bool (*finished)(const void *self);

    int32_t n_candidates; /* per row of logits, 1…STEP_MAX_CANDIDATES */
    int32_t n_prompt;     /* tokens read in chunks; those that follow are decoded one by one */
    int32_t n_planned;    /* tokens given to the engine so far, or in the slot from before */

    int32_t correct_every; /* so many tokens that were decoded are computed again as a prompt is; 0: none … */
    int32_t n_corrected;   /* … of those behind the prompt so far, a correction under way included */

    int32_t slot; /* where it lives, from scheduler_add on */

    int64_t n_filled;   /* random keys and values that come before all of these; 0: none … */
    uint64_t fill_seed; /* … and what they are made from */
};

/* What all plans have in common: the next chunk of the prompt, or the one token after those planned. Sets
 * phase, first_position, n_tokens and tokens of the span, and moves n_planned on. */
void sequence_next_span(struct sequence *sequence, const int32_t *tokens, int32_t room,
                        struct step_span *span_out);

struct scheduler_totals {
    double prefill_seconds; /* steps that read prompts, decode tokens beside them included */
    double decode_seconds;  /* steps of decode tokens only, and of corrections */
    int64_t prefill_tokens;
    int64_t decode_steps;
    int64_t decode_tokens;          /* in decode-only steps */
    struct step_times decode_times; /* of decode-only steps */
    double sample_seconds;          /* rank 0 between steps: sampling, text, output */
    int64_t attended_tokens;        /* last decode step: tokens read by a sparse layer … */
    int64_t cached_tokens;          /* … of so many */
};

struct scheduler;

NODISCARD enum status scheduler_create(const struct engine *engine, struct scheduler **scheduler_out);
void scheduler_destroy(struct scheduler *scheduler);

/* Is a slot free? */
bool scheduler_has_room(const struct scheduler *scheduler);

/* Gives the sequence the first free slot, which the next step fills if the sequence wants that; there must be
 * room. */
void scheduler_add(struct scheduler *scheduler, struct sequence *sequence);

/* One step of all sequences, or of as many as limits.max_tokens has room for. Those that have finished
 * afterwards leave: their slots are freed. A failure makes all sequences leave and frees even slots that are
 * kept, since nobody can tell what they hold. */
NODISCARD enum status scheduler_step(struct scheduler *scheduler);

/* Lets sequences go that finished outside a step (an answer that was cancelled). */
void scheduler_retire(struct scheduler *scheduler);

/* Sequences that have not finished. */
int32_t scheduler_active(const struct scheduler *scheduler);

/* Keeps the slot's pages when its sequence finishes, for a later sequence that continues it. */
void scheduler_set_keep_slots(struct scheduler *scheduler, bool keep);

/* Counted since the scheduler was made, or last reset. */
struct scheduler_totals scheduler_totals(const struct scheduler *scheduler);
void scheduler_reset_totals(struct scheduler *scheduler);
