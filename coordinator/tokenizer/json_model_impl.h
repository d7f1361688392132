/* coordinator/tokenizer/json_model_impl.h - vocabulary, merges and added tokens of tokenizer.json.
 *
 * Memory:  everything is copied into the tokenizer.
 * Threads: one at a time per tokenizer.
 * Ranks:   local. */
#pragma once

#include <jansson.h>

#include "coordinator/tokenizer/tokenizer_impl.h"

/* Needs tokenizer->bpe.byte_level, which the pre-tokenizer says. */
NODISCARD enum status json_model_read(const json_t *root, const char *path, struct tokenizer *tokenizer);

/* Needs the vocabulary and the normalizer. */
NODISCARD enum status json_added_tokens_read(const json_t *root, const char *path,
                                             struct tokenizer *tokenizer);
