/* coordinator/generation_defaults.h - the options of an answer: what the user said, else what the model's
 * generation_config.json advises, else greedy.
 *
 * Memory:  the options borrow the config's texts and the spec's ids.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/generation.h"
#include "modelfile/model_spec.h"

/* `stream` numbers the answer under one seed; the sink and the end-of-sequence ids are left empty. */
struct generation_options generation_options_from(const struct config *config,
                                                  const struct generation_defaults *model, uint64_t stream);
