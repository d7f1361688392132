/* worker/phase_measure_impl.h - what phase_measure.c and phase_measure_attention.c share. */
#pragma once

#include "base/arena.h"
#include "kernels/kernels.h"
#include "worker/phase_measure.h"

/* Median seconds of one call with so many units. */
typedef void phase_operation(void *rig, int64_t units);
double phase_time(phase_operation *operation, void *rig, int64_t units);

/* What two sizes of a phase's work took. */
struct phase_times {
    int64_t few, many; /* units */
    double seconds_few, seconds_many;
};

/* The line through the two; no part is below zero. More work that takes no longer, as on a machine that does
 * other things: STATUS_INTERNAL, and a second measurement may do better, up to so many. */
enum { PHASE_MEASUREMENTS = 5 };
NODISCARD enum status phase_line(enum phase phase, const struct phase_times *times,
                                 struct phase_cost *cost_out);

/* Of attention and of the policies. `q` [2 * group * head_dim] random. */
NODISCARD enum status phase_measure_attention(const struct kernels *kernels, const float *q,
                                              struct phase_costs *costs);
