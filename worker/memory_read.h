/* worker/memory_read.h - how fast all threads of all ranks together read memory: what a decode step is held
 * against.
 *
 * Each host reads 512 MiB, its ranks and their threads a contiguous part each, front to back in one stream,
 * several times over. The time of a pass runs from one barrier to the next; the median pass counts.
 *
 * Memory:  mapped, in huge pages where the system gives them, and given back.
 * Threads: main thread; OpenMP inside.
 * Ranks:   collective. */
#pragma once

#include "base/status.h"
#include "cluster/comm.h"

/* The bytes of all ranks over rank 0's clock, which alone counts. */
NODISCARD enum status memory_read_measure(struct comm *comm, double *bytes_per_second_out);
