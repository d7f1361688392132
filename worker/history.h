/* worker/history.h - what the slots' sequences were made of, so that they can be made again.
 *
 * Whatever a slot holds, keys, values and what a policy has noted, follows from the spans that it was given,
 * and from nothing else: not from the number of ranks, nor from what else was in their steps. So spans are
 * noted slot by slot, and come again in other steps than they came in first.
 *
 * Memory:  4 bytes a token of the sequences that live, and copies of the last plan and its result.
 * Threads: main thread only.
 * Ranks:   local; rank 0 has one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/step_plan.h"

struct history;

/* reads_all: tokens that were decoded leave the same behind as tokens that are read, as under dense
 * attention; they come again as a prompt. */
NODISCARD enum status history_create(const struct step_limits *limits, bool reads_all,
                                     struct history **history_out);
void history_destroy(struct history *history); /* NULL is allowed */

/* A compute plan is about to be carried out; then it has been, and the result's copy outlives the worker's
 * memory: until the next plan is done. */
NODISCARD enum status history_begin(struct history *history, const struct step_plan *plan);
NODISCARD enum status history_done(struct history *history, const struct step_result *result,
                                   const struct step_result **copy_out);

/* Nothing has to be made again. */
void history_forget(struct history *history);

/* Tokens that have to be made again, from the first. */
int64_t history_rewind(struct history *history);

/* The next plan to make them again by: the last one is the last that was done, as it was, with its rows of
 * logits. Lives until the next call. False: there is none any more. A plan that was begun and not done does
 * not come. */
bool history_next(struct history *history, struct step_plan *plan_out);
