/* worker/memory_read.h - how fast all threads of all ranks together read memory: what a decode step is held
 * against.
 *
 * They read the weights themselves, each thread its contiguous part of every matrix, front to back and
 * without a stop: what a step would take that did nothing else. (Where in the machine memory lies can change
 * its speed by a factor of two, so other memory would not do.) Weights that caches could hold are too few to
 * tell; then it is a buffer of 512 MiB per host. A pass runs from one barrier to the next; the median of
 * several counts.
 *
 * Memory:  the buffer is mapped, in huge pages where the system gives them, and given back.
 * Threads: main thread; OpenMP inside.
 * Ranks:   collective. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/comm.h"

struct memory_region {
    const void *data; /* at a multiple of 8 */
    size_t bytes;
};

/* The bytes of all ranks over rank 0's clock, which alone counts. */
NODISCARD enum status memory_read_measure(struct comm *comm, const struct memory_region *weights,
                                          int64_t n_weights, double *bytes_per_second_out);

/* What each rank's threads read while those of all ranks do, rates_out [comm_size] the same on all ranks,
 * from a buffer of its own, so before the weights are loaded. Takes a good half second. */
NODISCARD enum status memory_read_rates(struct comm *comm, double *rates_out);
