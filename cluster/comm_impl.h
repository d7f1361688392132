/* cluster/comm_impl.h - the inside of a comm, for this folder and its tests.
 *
 * Memory:  see comm.h.
 * Threads: main thread only.
 * Ranks:   local, but for what the MPI calls handed to COMM_MUST do. */
#pragma once

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/comm.h"
#include "cluster/heartbeat.h"
#include "cluster/hosts_impl.h"

struct begun_sums;
struct leaders;
struct shared_window;
struct survivors;
struct watchdog;

/* Messages are told apart by size where the fastest way to sum them is chosen. */
enum { ALLREDUCE_SIZE_CLASSES = 6 };

enum { COMM_PARTS_MAX = 8 };

struct comm {
    MPI_Comm world;                   /* our duplicate of MPI_COMM_WORLD */
    MPI_Comm overlap;                 /* a second one: a minimum under way never meets another collective */
    MPI_Comm partial[COMM_PARTS_MAX]; /* of some of the ranks (comm_adopt); MPI_COMM_NULL: none */
    bool alone; /* started without a launcher: MPI is not initialised, and never called */
    int rank;
    int size;
    int ranks_on_this_host;
    size_t max_count;   /* elements of one MPI call: INT_MAX; tests lower it to see chunks */
    int *counts;        /* [size] for comm_gather */
    int *displacements; /* [size] likewise */

    struct heartbeat *heartbeat; /* own_heartbeat, or where a watchdog has it seen */
    struct heartbeat own_heartbeat;
    struct watchdog *watchdog;   /* NULL: none */
    double watch_seconds;        /* comm_watch's */
    struct survivors *survivors; /* NULL: no rank can be lost */

    /* Of all-reduces (cluster/allreduce.c). Not set up: all zero, and MPI carries everything. */
    struct hosts hosts;
    struct shared_window *window;                /* NULL: this rank shares memory with no other */
    struct leaders *leaders;                     /* NULL: there is one host, or this rank does not lead one */
    int exact_algorithm[ALLREDUCE_SIZE_CLASSES]; /* of integer sums, by message size; 0 is MPI */
    int float_algorithm[ALLREDUCE_SIZE_CLASSES];
    bool floats_as_bf16;      /* between hosts */
    bool begins_narrow;       /* integers of sums that are begun early */
    struct begun_sums *begun; /* NULL: none were reserved */
    const void **parts;       /* [size] where the ranks' parts of a shared reduction lie */
    struct {
        MPI_Request request; /* where MPI carries it */
        uint32_t *values;
        size_t n; /* 0: none under way */
    } minimum;
};

/* Every MPI call goes through here: one that fails is printed with rank, operation and MPI's reason, and
 * ends the job, because no rank can go on alone; or, where the reason is a rank that is lost and may be,
 * leaves the task under way (cluster/survivors.h). */
#define COMM_MUST(comm, call) comm_must((comm), (call), #call)
void comm_must(const struct comm *comm, int code, const char *call);

/* Local. A communicator of some of the ranks that lives longer than a call: when a rank is lost, those who
 * wait in it are to learn of it, too. comm_release frees it. */
void comm_adopt(struct comm *comm, MPI_Comm partial);
void comm_release(struct comm *comm, MPI_Comm *partial);

/* Once world is there: what follows from it. Collective. */
void comm_settle(struct comm *comm);

/* How many of the `n_left` elements the next MPI call may take: the one place where size_t becomes int. */
int comm_chunk(const struct comm *comm, size_t n_left);
