/* DeepSeek-R1-Distill on Qwen and Llama. */
#include "coordinator/chat_format_impl.h"

#include <string.h>

/* The template collects the system prompt first, wherever it stands; the last one counts. */
static const char *system_prompt(const struct chat *chat) {
    const char *prompt = "";
    for (size_t i = 0; i < chat->n; i++)
        if (chat_is_role(chat, i, "system")) prompt = chat->messages[i].content;
    return prompt;
}

static const char *without_reasoning(const char *answer) {
    const char *end;
    while ((end = strstr(answer, "</think>")) != NULL)
        answer = end + strlen("</think>");
    return answer;
}

static enum status append_marked(const char *mark, const char *content, struct bytes *text) {
    TRY(bytes_append_text(text, mark));
    return bytes_append_text(text, content);
}

enum status chat_render_r1_distill(const struct chat *chat, struct bytes *text) {
    TRY(append_marked("<｜begin▁of▁sentence｜>", system_prompt(chat), text));
    for (size_t i = 0; i < chat->n; i++) {
        const char *content = chat->messages[i].content;
        if (chat_is_role(chat, i, "user")) {
            TRY(append_marked("<｜User｜>", content, text));
        } else if (chat_is_role(chat, i, "assistant")) {
            TRY(append_marked("<｜Assistant｜>", without_reasoning(content), text));
            TRY(bytes_append_text(text, "<｜end▁of▁sentence｜>"));
        }
    }
    if (!chat->options.add_generation_prompt) return STATUS_OK;
    return bytes_append_text(text, "<｜Assistant｜><think>\n");
}
