/* cluster/survivors.h - going on with the ranks that are left when one of them ends.
 *
 * Where MPI can tell (cluster/ulfm_impl.h), a rank that ends does not end the job: the others leave what they
 * are at, wherever in a collective they wait, find each other, are numbered anew and begin again. What all of
 * them held together, with the lost rank's share of it, is the caller's to make once more. Rank 0, which
 * alone knows what is asked and what was answered, cannot be lost.
 *
 * A task is left by longjmp, out of COMM_MUST: what it allocated must be reachable from elsewhere, and none
 * of what it was changing may be relied on but to be given back.
 *
 * Memory:  none; a window that was shared with the lost rank, some MiB, stays mapped until the process ends.
 * Threads: main thread only, and outside of parallel regions.
 * Ranks:   allow and regroup are collective, attempt as the task is. */
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/shares.h"

/* From here on so many ranks, at least 1, may be lost. STATUS_BAD_INPUT where MPI does not offer it. */
NODISCARD enum status survivors_allow(struct comm *comm, int most);

/* Local. Was it allowed? */
bool survivors_allowed(const struct comm *comm);

/* Local. Has a rank been lost since the ranks last regrouped? Then nothing but regroup may be called, and
 * what gives back memory. */
bool survivors_lost_one(const struct comm *comm);

typedef enum status survivors_task(void *argument);

/* Runs the task. True: it ended by itself, with *status_out. False: a rank was lost, and all others will
 * learn of it in their next collective. */
bool survivors_attempt(struct comm *comm, survivors_task *task, void *argument, enum status *status_out);

/* Inside an attempt, after a loss: says who was lost, and makes the comm one of those that are left. A
 * failure where that was rank 0, or one too many. */
NODISCARD enum status survivors_regroup(struct comm *comm);

/* Local. Of shares that were asked for by hand, those of the ranks that are left. */
void survivors_keep_shares(const struct comm *comm, struct shares *shares);
