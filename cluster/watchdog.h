/* cluster/watchdog.h - finds out when a rank is missing, says so once, and ends the job.
 *
 * Every rank has a thread that never calls MPI, and so answers and acts while the main thread waits in a
 * collective for somebody who will not come. Within a host these threads see each other's heartbeats in
 * shared memory and notice at once when a process ends; hosts send each other small datagrams, several times
 * within the timeout.
 *
 *   a process has ended            noticed at once on its host, else when mpirun ends the others (SIGTERM)
 *   stopped, or out of reach       its watchdog is silent for the timeout
 *   makes no progress              while it works on something of its own, for the timeout
 *   all wait                       for the timeout, and no rank for what may take its time (KIND_ASIDE)
 *
 * A rank that may be lost (cluster/survivors.h) is left to MPI when it has ended, and ended where it is
 * silent or makes no progress: the others go on without it, and with other watchdogs.
 *
 * The lowest living rank says which rank, host, step, layer and operation, and ends with
 * WATCHDOG_EXIT_STATUS; so do the others, or by SIGTERM where that has come, each by itself, whether or not
 * mpirun can be reached. Who was stopped itself (a debugger, a suspended job) does not hold the time against
 * the others.
 *
 * Memory:  open allocates; afterwards nothing does.
 * Threads: open, close and farewell on the main thread.
 * Ranks:   open and close are collective. */
#pragma once

#include "base/status.h"
#include "cluster/comm.h"

enum { WATCHDOG_EXIT_STATUS = 1, WATCHDOG_SENTENCE_MAX = 640 };

struct watchdog;

/* `timeout_seconds` at least 1. The comm's heartbeat moves to where the others see it. */
NODISCARD enum status watchdog_open(struct comm *comm, double timeout_seconds,
                                    struct watchdog **watchdog_out);
void watchdog_close(struct watchdog *watchdog); /* NULL is allowed */

/* After the loss of a rank (cluster/survivors.h): looks no longer, says of a rank that has ended where it
 * was, as it was last seen, and gives back what it has without the other ranks. In this order; local; NULL is
 * allowed. */
void watchdog_halt(struct watchdog *watchdog);
void watchdog_describe_end(const struct watchdog *watchdog, int rank,
                           char sentence_out[WATCHDOG_SENTENCE_MAX]);
void watchdog_abandon(struct watchdog *watchdog);

/* Local. This rank is about to end on purpose, and has said why: the others do not have to. */
void watchdog_farewell(struct watchdog *watchdog); /* NULL is allowed */
