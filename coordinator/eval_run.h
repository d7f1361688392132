/* coordinator/eval_run.h - all samples that one engine still has to make, many side by side.
 *
 * Memory:  nothing outlives the call.
 * Threads: main thread only.
 * Ranks:   rank 0; every step is a collective inside the engine. */
#pragma once

#include "coordinator/eval_plan.h"

/* Appends each sample to the results as it finishes. `input` is as it was read just now. */
NODISCARD enum status eval_run(const struct config *config, int32_t index, const struct engine *engine,
                               const struct eval_input *input);
