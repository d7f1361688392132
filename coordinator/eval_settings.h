/* coordinator/eval_settings.h - all that decides what a sample of eval is, but for problem, policy and
 * budget.
 *
 * Memory:  a new JSON object, the caller's.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>

#include "coordinator/config.h"

/* Strings and integers: the model's fingerprint, chat format, sampling as it comes out of options and the
 * model's own generation_config, limits, number formats. */
NODISCARD enum status eval_settings_create(const struct config *config, json_t **settings_out);

/* The first line of the results: the settings, and for people the names of model and problem files. */
NODISCARD enum status eval_settings_header(const struct config *config, json_t *settings,
                                           json_t **header_out);
