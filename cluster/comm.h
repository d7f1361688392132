/* cluster/comm.h - the group of ranks that hold one model.
 *
 * Wraps MPI: each object duplicates its communicator, every MPI return code is checked, every count
 * goes through one checked conversion. A failing MPI call is not survivable: it names rank and
 * operation and aborts the job.
 *
 * Memory:  comm_open allocates the object; comm_close frees it.
 * Threads: MPI is asked for FUNNELED and refuses to start with less: only the main thread calls here.
 * Ranks:   every function is collective over the comm unless it says "Local". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct comm;
struct heartbeat;

/* Initialises MPI (once per process) and duplicates MPI_COMM_WORLD. From then until comm_close a failed
 * CHECK ends the whole job. Works without mpirun too, as one rank. */
NODISCARD enum status comm_open(int *argc, char ***argv, struct comm **comm_out);
void comm_close(struct comm *comm); /* and finalises MPI; NULL is allowed */

/* Local. */
int comm_rank(const struct comm *comm);
int comm_size(const struct comm *comm);
int comm_ranks_on_this_host(const struct comm *comm);

/* From here on a rank that is missing for so many seconds, at least 1, is named, and the job ended
 * (cluster/watchdog.h). 0, one rank alone, a simulator, and where
 * the system refuses what it takes: nothing happens. Once a comm. */
NODISCARD enum status comm_watch(struct comm *comm, double timeout_seconds);

/* Local. Where this rank notes what it does (cluster/heartbeat.h); collectives note themselves. Not to be
 * kept: comm_watch moves it. */
struct heartbeat *comm_heartbeat(const struct comm *comm);

/* Local. Flushes all streams and ends the whole job with this exit status. Does not return. */
_Noreturn void comm_abort(struct comm *comm, int exit_status);

/* All ranks fail if any does: returns OK everywhere or, everywhere, the status of the lowest failing
 * rank; status_message() then gives that rank's sentence on every rank, behind "rank R: " where R is not 0.
 * Cost: one all-reduce of an int; on failure a broadcast of 1 KiB. */
NODISCARD enum status comm_agree(struct comm *comm, enum status status);

/* Rank 0's bytes for everybody. `size` is the same on all ranks. */
void comm_broadcast(struct comm *comm, void *data, size_t size);

/* As comm_broadcast, for at most 2 GiB, but a rank that has waited 20 ms sleeps 0.5 ms between looks, after a
 * second 5 ms: for what may be a person's next question away. */
void comm_broadcast_patient(struct comm *comm, void *data, size_t size);

/* All ranks hold the same 64-bit value? If not: STATUS_BAD_INPUT everywhere, naming `what` ("the model
 * manifest") and the first rank that differs from rank 0. */
NODISCARD enum status comm_same(struct comm *comm, uint64_t value, const char *what);

/* How many ranks of this host bring the same key, and how many of them come before this one. Keys are told
 * apart by 31 bits of theirs. */
void comm_alike_on_this_host(struct comm *comm, uint64_t key, int *n_out, int *position_out);

/* Variable-size blocks to rank 0, in rank order. sizes [comm_size] bytes per rank, the same on all ranks;
 * `gathered` has room for their sum, and is read on rank 0 only (NULL elsewhere). */
void comm_gather(struct comm *comm, const void *data, const size_t *sizes, void *gathered);

/* As many bytes of every rank, in rank order, for all ranks: gathered [comm_size, size]. size < 2^31. */
void comm_all_gather(struct comm *comm, const void *data, size_t size, void *gathered);

void comm_barrier(struct comm *comm);
