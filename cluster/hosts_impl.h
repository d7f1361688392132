/* cluster/hosts_impl.h - which ranks share a host's memory.
 *
 * A host's ranks may be any: the lowest of them leads it, and hosts are numbered in the order of their
 * leaders, so host 0 is that of rank 0.
 *
 * One machine can pretend to be several, so that everything between hosts can be tried on it: the variable
 * CAUCUS_TEST_HOSTS has a number for each rank, "0,1,0,1", and ranks with different numbers do not see each
 * other's memory.
 *
 * Memory:  find makes communicators; free gives them back.
 * Threads: main thread only.
 * Ranks:   collective, but for the two that look at text or nothing. */
#pragma once

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cluster/comm.h"

struct hosts {
    int n;            /* 0: not looked for */
    int own;          /* this rank's host */
    int n_ranks;      /* on it */
    int position;     /* of this rank among these, in rank order; 0 leads */
    MPI_Comm ranks;   /* those of this host; a rank's number is its position */
    MPI_Comm leaders; /* a rank's number is its host's; MPI_COMM_NULL where this one does not lead */
    MPI_Comm overlap; /* likewise: a minimum under way never meets another collective */
};

/* pretended [comm_size]: the number of each rank's host; NULL: what the environment says, or as it is. */
NODISCARD enum status hosts_find(struct comm *comm, const int *pretended, struct hosts *hosts_out);
void hosts_free(struct comm *comm, struct hosts *hosts); /* back to {0}; none found is allowed */

/* Has /dev/shm so many bytes left for the ranks of a host? Where it has not, MPI's allocation fails on one
 * rank and the others wait for ever. Collective over `ranks`. */
bool hosts_have_room(const struct comm *comm, MPI_Comm ranks, size_t bytes);

/* Local. One number for each of n_ranks, with commas between them. */
NODISCARD enum status hosts_parse(const char *text, int n_ranks, int *hosts_out);
