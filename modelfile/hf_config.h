/* modelfile/hf_config.h - config.json and generation_config.json of a Hugging Face folder.
 *
 * Reads the older spelling (rope_theta, rope_scaling, num_experts) and that of transformers 5
 * (rope_parameters, num_local_experts). Whatever would change the arithmetic and is not implemented is
 * refused by field and value; fields that only concern training are ignored.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "modelfile/model_spec.h"

/* `text` is the content of config.json; `path` is for the sentences. */
NODISCARD enum status hf_config_parse(const char *text, size_t size, const char *path,
                                      struct model_spec *spec_out);

/* config.json itself, or the folder that it is in. */
NODISCARD enum status hf_config_read(const char *path, struct model_spec *spec_out);

/* Adds what generation_config.json says (end-of-sequence ids, sampling defaults) to a parsed spec. */
NODISCARD enum status hf_generation_parse(const char *text, size_t size, const char *path,
                                          struct model_spec *spec);
