/* cluster/allreduce_impl.h - the ways of summing over ranks, for this folder and its tests.
 *
 * An algorithm is one line of the table in allreduce.c.
 *
 * Memory:  see each.
 * Threads: main thread only.
 * Ranks:   everything is collective but what says "Local". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/allreduce.h"
#include "cluster/comm_impl.h"
#include "cluster/element_impl.h"
#include "cluster/exchange_impl.h"
#include "cluster/shared_window_impl.h"

struct allreduce_algorithm {
    const char *name;
    enum allreduce_choice choice;    /* by which it is asked for */
    const struct exchange *exchange; /* between hosts; NULL: for one host, or for MPI */
    bool narrow;                     /* integers travel between hosts in as few bytes as they need */
    void (*sum)(struct comm *comm, const struct allreduce_algorithm *algorithm, const struct element *element,
                void *values, size_t n);
};

/* log2(P) alpha + 2 n beta, by whatever MPI thinks best. */
void allreduce_mpi_sum(struct comm *comm, const struct allreduce_algorithm *algorithm,
                       const struct element *element, void *values, size_t n);

/* One exchange: every rank of the host adds all parts. alpha + P n beta. */
void allreduce_one_shot(struct comm *comm, const struct allreduce_algorithm *algorithm,
                        const struct element *element, void *values, size_t n);

/* Two exchanges: every rank adds one P-th of all parts and passes it on. 2 alpha + 3 n beta. */
void allreduce_split(struct comm *comm, const struct allreduce_algorithm *algorithm,
                     const struct element *element, void *values, size_t n);

/* Within the host, between hosts, within the host: 2 (alpha + n beta) of memory and the exchange's cost. */
void allreduce_over_hosts(struct comm *comm, const struct allreduce_algorithm *algorithm,
                          const struct element *element, void *values, size_t n);

enum { ALLREDUCE_ALGORITHMS = 12 };
const struct allreduce_algorithm *allreduce_algorithm(int index); /* 0 is MPI. Local. */

/* Local, and the same on all ranks: can it be taken here at all; does it add floats in the documented order,
 * and may they be rounded on the way? */
bool allreduce_fits(const struct comm *comm, const struct allreduce_algorithm *algorithm);
bool allreduce_fits_floats(const struct comm *comm, const struct allreduce_algorithm *algorithm);

/* What the algorithm adds integers as; floats. Local. */
const struct element *allreduce_integers(const struct allreduce_algorithm *algorithm);
const struct element *allreduce_floats(const struct comm *comm);

/* Sizes that are measured apart. Local. */
int allreduce_size_class(size_t bytes);

/* Sets the comm's algorithms for each size class to the fastest that fit, and were asked for. */
NODISCARD enum status allreduce_measure(struct comm *comm, enum allreduce_choice choice);

/* Begins a minimum of the communicator's ranks. One request and no chunks: n, the message of all decode
 * tokens of a step, is checked against MPI's limit. */
void allreduce_mpi_min_begin(struct comm *comm, MPI_Comm ranks, uint32_t *values, size_t n,
                             MPI_Request *request_out);

/* The minimum through the window of one host: publish the part's beginning, later take all of it. */
void allreduce_shared_min_begin(struct comm *comm, const uint32_t *values, size_t n);
void allreduce_shared_min_finish(struct comm *comm, uint32_t *values, size_t n);

/* The minimum of several hosts: it is the leaders' that is under way. */
void allreduce_hosts_min_begin(struct comm *comm, uint32_t *values, size_t n);
void allreduce_hosts_min_finish(struct comm *comm, uint32_t *values, size_t n);

/* The two halves of a sum inside a host: to the leader's values, and from there to all ranks'. */
void allreduce_shared_reduce(struct comm *comm, enum shared_lane lane, const struct element *element,
                             void *values, size_t n);
void allreduce_shared_pass(struct comm *comm, enum shared_lane lane, const struct element *element,
                           void *values, size_t n);

/* After the loss of a rank: what was under way is not any more. Local. */
void allreduce_abandon(struct comm *comm);

/* Gives back what allreduce_reserve made; nothing is under way. */
void allreduce_release(struct comm *comm);
void allreduce_abandon_begun(struct comm *comm);

/* Gives back what allreduce_set_up made. */
void allreduce_tear_down(struct comm *comm);
