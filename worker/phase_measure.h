/* worker/phase_measure.h - measures what the phases of a decode step cost on this machine.
 *
 * Each phase runs as in a step, by the same functions, with made-up numbers: few units and many, and the line
 * through the two medians is its cost. Weights and caches are larger than the processor's caches where a
 * model's would be. Takes some ten seconds.
 *
 * Memory:  about 0.8 GiB while it runs.
 * Threads: main thread; OpenMP inside.
 * Ranks:   local; one rank alone on its machine, or the others take their share of it. */
#pragma once

#include "base/status.h"
#include "cluster/phase_costs.h"

/* conditions->n_threads 0: all cores. What was measured with is in costs_out. More query heads to a KV head
 * than there is room for: STATUS_BAD_INPUT. */
NODISCARD enum status phase_measure(const struct phase_conditions *conditions, struct phase_costs *costs_out);
