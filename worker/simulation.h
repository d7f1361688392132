/* worker/simulation.h - steps without a model: every collective of a real step, in the same order and size
 * and by the same functions of cluster/, and between them as much time as the phases were measured to take.
 *
 * Runs under SimGrid's SMPI only (docs/scaling.md), where time is made and not spent. The policy is the real
 * one as far as it decides what a layer does and how long its message is; whom it chooses does not matter.
 *
 * Memory:  per rank a hidden state, and where ranks agree a word per token.
 * Threads: main thread only.
 * Ranks:   collective. */
#pragma once

#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/simulation.h"

/* Rank 0: runs one setup on all ranks, which serve. What cannot be simulated: STATUS_BAD_INPUT. */
struct simulator simulation_open(struct comm *comm);
void simulation_stop(struct comm *comm);

/* The other ranks, until rank 0 stops. */
NODISCARD enum status simulation_serve(struct comm *comm);
