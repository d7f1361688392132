/* coordinator/model_text.h - the text side of a model: its tokenizer and chat format, wherever they are kept.
 *
 * Memory:  the caller closes the tokenizer.
 * Threads: any.
 * Ranks:   local; rank 0 only. */
#pragma once

#include "base/status.h"
#include "coordinator/chat_format.h"
#include "coordinator/config.h"
#include "coordinator/tokenizer/tokenizer.h"

/* From a Hugging Face folder or a GGUF file. Reads no weights. */
NODISCARD enum status model_text_open(const char *path, struct tokenizer **tokenizer_out);

/* --raw, --chat-format, or what the model's template is recognised as; no template at all is raw. */
NODISCARD enum status model_text_chat_format(const struct config *config, const struct tokenizer *tokenizer,
                                             enum chat_format *format_out);
