/* modelfile/hf_config_impl.h - the pieces of the config.json reader.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "base/status.h"
#include "modelfile/json_fields_impl.h"
#include "modelfile/model_spec.h"

/* Fills spec->rope; the context length must be known (transformers' modeling_rope_utils.py). */
NODISCARD enum status hf_rope_read(const struct json_fields *config, struct model_spec *spec);

/* Fills spec->sliding_window from sliding_window, use_sliding_window, max_window_layers, layer_types. */
NODISCARD enum status hf_window_read(const struct json_fields *config, struct model_spec *spec);

/* Adds the ids of eos_token_id, one or a list. */
NODISCARD enum status hf_eos_read(const struct json_fields *config, struct model_spec *spec);
