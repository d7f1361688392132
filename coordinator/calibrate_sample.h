/* coordinator/calibrate_sample.h - the text that `caucus calibrate` looks at the model with: lines that were
 * given, or answers that the model writes itself. Either way it is decoded densely, token by token, and
 * probed.
 *
 * Memory:  nothing outlives a call but what is added to the recall.
 * Threads: main thread only.
 * Ranks:   rank 0; every step is a collective inside the engine. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "coordinator/config.h"
#include "coordinator/recall.h"

struct calibrate_sample {
    struct recall recall; /* of all texts, added in their order */
    int64_t n_texts;
};

/* With --input its lines, as for `caucus score`: what is decoded begins behind "prompt_tokens", or without
 * these at the first token at which --budget does not hold all. Else answers to every -p, without one to a
 * prompt of the program's own. */
NODISCARD enum status calibrate_sample_run(const struct config *config, const struct engine *engine,
                                           struct calibrate_sample *sample_out);
void calibrate_sample_free(struct calibrate_sample *sample);

/* Is the text that of --input? */
bool calibrate_sample_is_given(const struct config *config);
