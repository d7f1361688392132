/* worker/outlive.h - a worker that goes on when another rank is lost (cluster/survivors.h).
 *
 * Those that are left deal the model anew among them and load what each has now; rank 0 has all sequences
 * made again (worker/history.h); then what was interrupted begins again. As results do not depend on the
 * number of ranks, nobody above sees anything of it but the time that it takes, and counters that begin anew.
 *
 * Memory:  what set-up takes, anew; the old is given back before.
 * Threads: main thread only.
 * Ranks:   collective, as the tasks are. */
#pragma once

#include "base/status.h"

struct worker;

typedef enum status worker_task(struct worker *worker, void *argument);

/* Runs the task on a worker that is set up, as often as it takes. */
NODISCARD enum status outlive(struct worker *worker, worker_task *task, void *argument);
