/* coordinator/cost_file.h - measured costs of a step's phases as a JSON file:
 *
 *   {"threads": 2, "head_dim": 128, "group": 4, "weights": "q8_0", "kv": "f16", "cached_bytes": 16777216,
 *    "phases": {"norm": {"call_seconds": 1e-07, "unit_seconds": 2e-10, "unit": "element"}, …}}
 *
 * cluster/phase_costs.h says what each phase is.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "base/status.h"
#include "cluster/phase_costs.h"

NODISCARD enum status cost_file_write(const char *path, const struct phase_costs *costs);

/* A missing phase, a type that does not exist, a negative time: STATUS_BAD_INPUT. */
NODISCARD enum status cost_file_read(const char *path, struct phase_costs *costs_out);
