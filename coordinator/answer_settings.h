/* coordinator/answer_settings.h - all that decides what an answer's text is, but for prompt, policy and
 * budget: what files that are gone on with are held to.
 *
 * Memory:  new JSON objects, the caller's.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>

#include "coordinator/chat_format.h"
#include "coordinator/config.h"
#include "coordinator/line_file.h"
#include "modelfile/model_file.h"

/* Strings and integers: the model's fingerprint, chat format, sampling as it comes out of options and the
 * model's own generation_config, limits, number formats. */
NODISCARD enum status answer_settings_create(const struct config *config, json_t **settings_out);

/* The same of a model that is open. */
NODISCARD enum status answer_settings_of(const struct config *config, const struct model_file *model,
                                         enum chat_format format, json_t **settings_out);

/* The first line of a file: the settings, and for people the names of model and problem files. */
NODISCARD enum status answer_settings_header(const struct line_format *format, const struct config *config,
                                             json_t *settings, json_t **header_out);
