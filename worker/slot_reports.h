/* worker/slot_reports.h - what each slot's sequence costs, over all ranks.
 *
 * Memory:  from the arena given to create.
 * Threads: one at a time.
 * Ranks:   local, but for gather. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/batch.h"

struct slot_reports;

NODISCARD enum status slot_reports_create(const struct comm *comm, int32_t n_slots, struct arena *memory,
                                          struct slot_reports **reports_out);

/* The slot was freed. */
void slot_reports_reset(struct slot_reports *reports, int32_t slot);

/* Adds what this rank's heads attended to for the decode tokens of the batch in one layer, whose attention is
 * done; of a list no more than the sliding window (0: none). */
void slot_reports_count(struct slot_reports *reports, const struct kv_policy *policy,
                        const struct batch *batch, int32_t layer, int32_t n_heads_local,
                        int64_t sliding_window);

/* Collective. [n_slots] sums over the ranks on rank 0, valid until the next call; NULL elsewhere. */
const struct slot_report *slot_reports_gather(struct slot_reports *reports, struct comm *comm,
                                              const struct kv_cache *cache);
