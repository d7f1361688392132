/* coordinator/scale_launch.h - one run of `bench` on a number of ranks, started by mpirun or its like.
 *
 * Memory:  nothing outlives a call.
 * Threads: main thread only.
 * Ranks:   of the process that starts them, which is none: MPI must not have begun in it. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/scale_study.h"

/* Runs each test once on so many ranks, and adds what comes out. */
NODISCARD enum status scale_launch(const struct config *config, int32_t n_ranks, struct scale_study *study);
