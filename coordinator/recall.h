/* coordinator/recall.h - what --probe recall saw of one sequence, or of several together.
 *
 * Memory:  zero-initialise with {0}; owned once something was added, recall_free gives it back.
 * Threads: one at a time.
 * Ranks:   rank 0; recall_take is a collective inside the engine. */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "cluster/engine.h"

struct recall {
    struct step_probe seen; /* n_steps 0: nothing */
    double *memory;         /* its arrays; NULL: nothing was added */
};

/* Adds a probe's sums, those of another recall included. All have the same shape. */
NODISCARD enum status recall_add(struct recall *recall, const struct step_probe *seen);

/* Adds what the engine's probe has seen of a slot, where there is one. */
NODISCARD enum status recall_take(struct recall *recall, const struct engine *engine, int32_t slot);
void recall_free(struct recall *recall);

/* Means over the decode tokens of PROBE_RECALL; NaN where there are none. */
double recall_of_layer(const struct recall *recall, int32_t layer);
double recall_of_all_layers(const struct recall *recall);
double recall_of_sets(const struct recall *recall); /* only where a layer read less than all tokens … */
double recall_peak_of_sets(const struct recall *recall); /* … and the peaks there (worker/probe.h) */

/* As a JSON object: "steps"; recalls as "layers": [n_layers], "mean" of them, "sets"; peaks as "peaks":
 * [n_layers] and "peak", the mean of sets; null for NaN. */
struct json_t *recall_json(const struct recall *recall); /* NULL: out of memory */

/* For a person, without a newline. */
NODISCARD enum status recall_line(const struct recall *recall, struct bytes *text);
