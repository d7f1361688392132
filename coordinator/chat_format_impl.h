/* coordinator/chat_format_impl.h - the families of chat formats, one renderer each.
 *
 * Memory:  text is appended to the caller's bytes.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "coordinator/chat_format.h"

struct chat {                            /* at least one message; roles checked */
    const struct chat_message *messages; /* [n] */
    size_t n;
    struct chat_options options;
};

bool chat_is_role(const struct chat *chat, size_t message, const char *role);

/* `default_system` is written where the dialogue does not begin with a system message; NULL: nothing is. */
NODISCARD enum status chat_render_chatml(const struct chat *chat, const char *default_system,
                                         struct bytes *text);
/* `opens_thinking`: the generation prompt ends in "<think>\n". */
NODISCARD enum status chat_render_qwen3(const struct chat *chat, bool opens_thinking, struct bytes *text);
NODISCARD enum status chat_render_llama3(const struct chat *chat, struct bytes *text);
NODISCARD enum status chat_render_r1_distill(const struct chat *chat, struct bytes *text);

NODISCARD enum status chat_detect(const char *template_source, enum chat_format *format_out);
