/* coordinator/tokenizer/json_config_impl.h - tokenizer_config.json: which tokens begin and end a text,
 * and the chat template.
 *
 * Memory:  everything is copied into the tokenizer.
 * Threads: one at a time per tokenizer.
 * Ranks:   local. */
#pragma once

#include "coordinator/tokenizer/tokenizer_impl.h"

/* Applies the content of a tokenizer_config.json to a tokenizer read from tokenizer.json. */
NODISCARD enum status tokenizer_configure(struct tokenizer *tokenizer, const char *json, size_t size,
                                          const char *path);
