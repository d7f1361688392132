/* cluster/allreduce_impl.h - the ways of summing over ranks, for this folder and its tests.
 *
 * An algorithm is one struct of functions in the table of allreduce.c. One that works in two levels, inside
 * the hosts and then between them, would be one more.
 *
 * Memory:  see each.
 * Threads: main thread only.
 * Ranks:   everything is collective. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/comm_impl.h"

struct allreduce_algorithm {
    const char *name;
    bool shared; /* goes through the comm's shared window, and adds floats in the order of ranks */
    void (*sum_i64)(struct comm *comm, int64_t *values, size_t n);
    void (*sum_f32)(struct comm *comm, float *values, size_t n);
};

/* log2(P) alpha + 2 n beta, by whatever MPI thinks best. */
extern const struct allreduce_algorithm allreduce_mpi;

/* One exchange: every rank adds all parts. alpha + P n beta. */
extern const struct allreduce_algorithm allreduce_one_shot;

/* Two exchanges: every rank adds one P-th of all parts and passes it on. 2 alpha + 3 n beta. */
extern const struct allreduce_algorithm allreduce_split;

enum { ALLREDUCE_ALGORITHMS = 3 };
const struct allreduce_algorithm *allreduce_algorithm(int index); /* 0 is allreduce_mpi */

/* Sizes that are measured apart. Local. */
int allreduce_size_class(size_t bytes);

/* Sets the comm's algorithm for each size class to the fastest, or the fastest through the window. */
NODISCARD enum status allreduce_measure(struct comm *comm, bool only_shared);

/* Begins comm->minimum.request. One request and no chunks: n, the message of all decode
 * tokens of a step, is checked against MPI's limit. */
void allreduce_mpi_min_begin(struct comm *comm, uint32_t *values, size_t n);

/* The minimum through the window: publish the part's beginning, later take all of it. */
void allreduce_shared_min_begin(struct comm *comm, const uint32_t *values, size_t n);
void allreduce_shared_min_finish(struct comm *comm, uint32_t *values, size_t n);
