/* modelfile/gguf_config.h - a model's configuration from GGUF metadata (ggml's docs/gguf.md and what
 * llama.cpp reads of it).
 *
 * Where llama.cpp decides by the presence of a tensor (biases, a separate output matrix, frequency
 * divisors), so does this.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "base/status.h"
#include "modelfile/gguf.h"
#include "modelfile/model_spec.h"

/* `path` is for the sentences. */
NODISCARD enum status gguf_config_read(const struct gguf *gguf, const char *path,
                                       struct model_spec *spec_out);
