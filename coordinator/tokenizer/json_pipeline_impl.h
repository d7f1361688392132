/* coordinator/tokenizer/json_pipeline_impl.h - normalizer, pre_tokenizer, decoder and post_processor of
 * tokenizer.json. What is not supported is refused by its name.
 *
 * Memory:  everything is copied into the tokenizer.
 * Threads: one at a time per tokenizer.
 * Ranks:   local. */
#pragma once

#include <jansson.h>

#include "coordinator/tokenizer/json_part_impl.h"
#include "coordinator/tokenizer/tokenizer_impl.h"

NODISCARD enum status json_normalizer_read(const json_t *root, const char *path, struct tokenizer *tokenizer);

/* Also says whether the model is byte-level. */
NODISCARD enum status json_pre_tokenizer_read(const json_t *root, const char *path,
                                              struct tokenizer *tokenizer);

NODISCARD enum status json_decoder_read(const json_t *root, const char *path, struct tokenizer *tokenizer);

/* Needs the vocabulary. */
NODISCARD enum status json_post_processor_read(const json_t *root, const char *path,
                                               struct tokenizer *tokenizer);

/* "pattern": {"String": …} or {"Regex": …}. The caller owns the pattern. */
NODISCARD enum status json_pattern_read(const struct json_part *step, struct pattern **pattern_out);

/* A copy of the text field in the tokenizer's arena; at most PIPELINE_MAX_CONTENT bytes. */
NODISCARD enum status json_content_read(const struct json_part *step, const char *field,
                                        struct tokenizer *tokenizer, const char **content_out,
                                        size_t *size_out);

/* The sentence for a step that cannot be carried out. */
NODISCARD enum status json_step_refuse(const struct json_part *step, const char *reason);
