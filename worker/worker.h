/* worker/worker.h - one rank's part of the model: loads its shard and executes step plans.
 *
 * Memory:  everything a step touches is made by create; afterwards only KV pages grow.
 * Threads: main thread only; OpenMP threads inside.
 * Ranks:   create, serve and destroy are collective. Rank 0 drives through worker_engine(); all others
 *          sit in worker_serve() until rank 0 calls worker_stop(). */
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/engine.h"

struct worker;

/* Local. What can be seen to be wrong before a model is loaded: a policy that does not exist, its options,
 * its budget; one that evicts, with corrections. */
NODISCARD enum status worker_check(const struct engine_config *config);

/* Local. Do ranks that share a KV head leave all its cached rows to the first of them? */
NODISCARD enum status worker_leaves_rows(const char *policy, bool *leaves_out);

/* Opens the model, deals it, loads this rank's share. `config` is the same on all ranks (broadcast it
 * first). Any rank's failure is everybody's, with the same sentence. */
NODISCARD enum status worker_create(struct comm *comm, const struct engine_config *config,
                                    struct worker **worker_out);
void worker_destroy(struct worker *worker); /* NULL is allowed */

/* Ranks other than 0: executes plans until told to stop. */
NODISCARD enum status worker_serve(struct worker *worker);

/* Rank 0: the handle that the coordinator drives, and the end of the others' serving. */
struct engine worker_engine(struct worker *worker);
NODISCARD enum status worker_stop(struct worker *worker);
