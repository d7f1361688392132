/* coordinator/chat_format.h - a dialogue as the text that a model was trained to continue.
 *
 * Not a Jinja interpreter: the formats that matter are written out, and recognised from the model's own
 * template. What they write equals what transformers renders from that template. The text names special
 * tokens, the beginning of text included where the template has it: tokenize it with parse_special and
 * without add_special.
 *
 * Memory:  text is appended to the caller's bytes.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

enum chat_format {
    CHAT_RAW,            /* no template: the contents one after the other, nothing between them */
    CHAT_CHATML,         /* plain ChatML: no default system prompt */
    CHAT_QWEN2,          /* ChatML with Qwen2's default system prompt; the Qwen base models too */
    CHAT_QWEN2_5,        /* ChatML with Qwen2.5's default system prompt */
    CHAT_QWEN3,          /* ChatML; earlier reasoning dropped; enable_thinking */
    CHAT_QWEN3_THINKING, /* the same, but the generation prompt opens the think block */
    CHAT_LLAMA3,         /* Llama 3.1, 3.2 and 3.3 Instruct, dated 26 Jul 2024 */
    CHAT_R1_DISTILL,     /* DeepSeek-R1-Distill on Qwen and Llama */
};

struct chat_message {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
};

struct chat_options {
    bool add_generation_prompt;
    bool enable_thinking; /* Qwen3: false writes an empty think block */
};

/* By the template's own marks. A template of no known family, or NULL for none: STATUS_BAD_INPUT saying to
 * use --raw or --chat-format. */
NODISCARD enum status chat_format_detect(const char *template_source, enum chat_format *format_out);
NODISCARD enum status chat_format_from_name(const char *name, enum chat_format *format_out);
const char *chat_format_name(enum chat_format format);

/* The special token with which the model ends its turn, "<|im_end|>" for ChatML: generation stops there
 * even where the model's files do not list it among the eos ids. NULL for CHAT_RAW. */
const char *chat_format_end_of_turn(enum chat_format format);

/* No messages, or a role that is none of the three: STATUS_BAD_INPUT. */
NODISCARD enum status chat_format_render(enum chat_format format, const struct chat_message *messages,
                                         size_t n_messages, struct chat_options options, struct bytes *text);
