/* worker/set_notes.h - which tokens the last decode token of a step attends to, noted layer by layer: a
 * policy need not remember a layer's lists when the next one is computed.
 *
 * Memory:  lists that grow, and none until the first gather: steps are not to pay for what nobody asks.
 * Threads: main thread only.
 * Ranks:   gather is collective; the rest is local. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_policy.h"
#include "worker/batch.h"
#include "worker/model_shard.h"

struct set_notes;

NODISCARD enum status set_notes_create(struct comm *comm, const struct model_shard *shard,
                                       int32_t sliding_window, struct set_notes **notes_out);
void set_notes_destroy(struct set_notes *notes); /* NULL is allowed */

/* Begins a step: forgets the last one. */
void set_notes_clear(struct set_notes *notes);

/* After the layer's attention; layers come in order. Nothing before the first gather. */
NODISCARD enum status set_notes_layer(struct set_notes *notes, const struct kv_policy *policy,
                                      const struct batch *batch, int32_t layer);

/* All ranks' notes, on rank 0 (zero elsewhere); valid until the next gather. */
NODISCARD enum status set_notes_gather(struct set_notes *notes, struct step_trace *trace_out);
