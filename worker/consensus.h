/* worker/consensus.h - do all ranks still have the same? (--check every=N)
 *
 * In every N-th step each rank hashes what has to be the same everywhere: the plan, its tokens, and of each
 * layer the set that was agreed on and the hidden state that leaves it. Rank 0 compares the hashes and names
 * the first that differs, and whose it is. A fault of memory, wire or program shows where it happens, not as
 * a strange word a thousand tokens later.
 *
 * Cost: a read of the hidden state a layer and one gather of 16 (layers + 1) bytes, in the steps that are
 * checked.
 *
 * Memory:  made by create.
 * Threads: main thread only.
 * Ranks:   collective: finish; the rest local. NULL is allowed everywhere, and means: not checked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/step_plan.h"

struct consensus;

/* `every` 0: *consensus_out is NULL. */
NODISCARD enum status consensus_create(struct comm *comm, int32_t n_layers, int32_t every,
                                       struct arena *memory, struct consensus **consensus_out);

/* Begins a step; whether it is checked follows from the plan's number. */
void consensus_begin(struct consensus *consensus, const struct step_plan *plan);

/* What the ranks agreed on at a layer, and what leaves it. */
void consensus_set(struct consensus *consensus, int32_t layer, const uint32_t *messages, size_t n_words);
void consensus_hidden(struct consensus *consensus, int32_t layer, const float *x, size_t n);

/* STATUS_INTERNAL on rank 0 where something differs; OK on all others. */
NODISCARD enum status consensus_finish(struct consensus *consensus);

/* The first of n hashes that not all ranks have alike, and the first rank that differs from most of them, or
 * of two from rank 0. hashes [n_ranks, n]. False: all are the same. Local. */
bool consensus_difference(const uint64_t *hashes, int n_ranks, size_t n, size_t *index_out, int *rank_out);
