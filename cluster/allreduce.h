/* cluster/allreduce.h - sums and minima over all ranks, in place.
 *
 * Ranks of one host pass their parts through memory that they share. Of several hosts each adds up its own
 * ranks' first; then one rank of each, its leader, adds with those of the others; then the hosts pass the sum
 * on to their ranks. Cost: exchange_impl.h and allreduce_impl.h.
 *
 * Memory:  what it takes is made by allreduce_set_up and lives until its next call or comm_close.
 * Threads: main thread only.
 * Ranks:   collective. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/comm.h"

enum allreduce_choice {
    ALLREDUCE_AUTO,     /* what is measured to be fastest */
    ALLREDUCE_MPI,      /* MPI_Allreduce of all ranks, always */
    ALLREDUCE_SHARED,   /* through shared memory always */
    ALLREDUCE_LEADERS,  /* between hosts, always: MPI_Allreduce of their leaders; inside a host as AUTO */
    ALLREDUCE_DOUBLING, /* … recursive doubling */
    ALLREDUCE_RING,
    ALLREDUCE_DIRECT,  /* … everybody sends everything to everybody */
    ALLREDUCE_SCATTER, /* … everybody adds up a share and sends it to everybody */
};

/* How floats travel between hosts, in the `fast` mode. */
enum allreduce_wire { ALLREDUCE_WIRE_F32, ALLREDUCE_WIRE_BF16 };

struct allreduce_config {
    enum allreduce_choice choice;
    enum allreduce_wire wire;
    bool crowded;     /* this rank's threads have not a core each, so that one who waits should give way at
                       * once; may differ between ranks */
    const int *hosts; /* [comm_size] for tests: ranks with different numbers pretend to be on different hosts;
                       * NULL: as the environment's CAUCUS_TEST_HOSTS says ("0,1,0,1"), or as it is */
};

/* Chooses the algorithms, anew with each call; without one MPI does everything. One rank alone: nothing
 * happens. Takes some ms for measuring, more where ranks exceed cores or the network is slow; -v shows the
 * figures. ALLREDUCE_SHARED where not all ranks share memory: STATUS_BAD_INPUT. */
NODISCARD enum status allreduce_set_up(struct comm *comm, const struct allreduce_config *config);

/* Exact: integer sums do not depend on order or rank count. */
void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n);

/* The `fast` mode. All ranks receive the same bits, and the next run too, whatever was measured and whatever
 * n is: a host's ranks are added in their order, the hosts as a tree (docs/numerics.md). MPI chooses an order
 * of its own where it was asked to add (ALLREDUCE_MPI), or ranks of a host share no memory. */
void allreduce_sum_f32(struct comm *comm, float *values, size_t n);

/* The same sums, begun now and finished later, the oldest first: between hosts they go on meanwhile, whenever
 * allreduce_progress or another function of this header is called. `values` must not be touched until finish.
 * At most ALLREDUCE_BEGUN_MAX may be under way, each of at most the bytes reserved. Where there is one host
 * alone, or MPI adds, finish does everything. */
enum { ALLREDUCE_BEGUN_MAX = 3 };
NODISCARD enum status allreduce_reserve(struct comm *comm, size_t bytes); /* anew with each call and set-up */
void allreduce_sum_i64_begin(struct comm *comm, int64_t *values, size_t n);
void allreduce_sum_f32_begin(struct comm *comm, float *values, size_t n);
void allreduce_sum_finish(struct comm *comm);
void allreduce_progress(struct comm *comm); /* local; takes a microsecond */

/* Local; the same on all ranks: is anything gained by beginning sums early? */
bool allreduce_overlaps(const struct comm *comm);

/* Minimum, begun now and finished later, so that it overlaps with what lies between. At most one is
 * under way per comm; `values` must not be touched until finish. On one host, begin passes what a slot holds
 * (131,072 words, fewer with many ranks) and finish the rest; between hosts, and through MPI, the
 * collectives between the two drive it on. n == 0 is allowed. */
void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n);
void allreduce_min_u32_finish(struct comm *comm);
