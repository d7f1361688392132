/* coordinator/run_prompts.h - from what the user gave `caucus run` to prompts in tokens.
 *
 * Memory:  run_prompts owns its lists.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "coordinator/chat_format.h"
#include "coordinator/config.h"
#include "coordinator/tokenizer/tokenizer.h"

struct prompt {
    struct token_list ids;
    bool thinking; /* the prompt ends inside a think block */
};

struct run_prompts {
    struct prompt *prompts; /* [n] */
    size_t n;
};

/* Every -p, else -f, else standard input; in the chat format, or as it is with CHAT_RAW. */
NODISCARD enum status run_prompts_read(const struct config *config, const struct tokenizer *tokenizer,
                                       enum chat_format format, struct run_prompts *prompts_out);
void run_prompts_free(struct run_prompts *prompts);

/* One dialogue in a chat format (not CHAT_RAW), ready for the assistant's turn. */
NODISCARD enum status prompt_from_messages(const struct config *config, const struct tokenizer *tokenizer,
                                           enum chat_format format, const struct chat_message *messages,
                                           size_t n_messages, struct prompt *prompt_out);

/* Text as it stands, to be continued. */
NODISCARD enum status prompt_from_text(const struct tokenizer *tokenizer, const char *text, size_t size,
                                       struct prompt *prompt_out);
