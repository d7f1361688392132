/* worker/phase_measure_impl.h - what phase_measure.c and phase_measure_attention.c share. */
#pragma once

#include "base/arena.h"
#include "kernels/kernels.h"
#include "worker/phase_measure.h"

/* Median seconds of one call with so many units. */
typedef void phase_operation(void *rig, int64_t units);
double phase_time(phase_operation *operation, void *rig, int64_t units);

/* The line through two points; neither part is below zero. */
struct phase_cost phase_line(int64_t few, double seconds_few, int64_t many, double seconds_many);

/* Of attention and of the policies. `q` [2 * group * head_dim] random. */
NODISCARD enum status phase_measure_attention(const struct kernels *kernels, const float *q,
                                              struct phase_costs *costs);
