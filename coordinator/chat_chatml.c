/* ChatML, and Qwen3's form of it. */
#include "coordinator/chat_format_impl.h"

#include <string.h>

struct slice { /* part of a message */
    const char *data;
    size_t size;
};

static enum status append_turn(const struct chat_message *message, struct bytes *text) {
    TRY(bytes_append_text(text, "<|im_start|>"));
    TRY(bytes_append_text(text, message->role));
    TRY(bytes_append_text(text, "\n"));
    TRY(bytes_append_text(text, message->content));
    return bytes_append_text(text, "<|im_end|>\n");
}

enum status chat_render_chatml(const struct chat *chat, const char *default_system, struct bytes *text) {
    if (default_system && !chat_is_role(chat, 0, "system"))
        TRY(append_turn(&(struct chat_message){"system", default_system}, text));
    for (size_t i = 0; i < chat->n; i++)
        TRY(append_turn(&chat->messages[i], text));
    if (!chat->options.add_generation_prompt) return STATUS_OK;
    return bytes_append_text(text, "<|im_start|>assistant\n");
}

static struct slice strip_leading_newlines(struct slice text) {
    while (text.size && text.data[0] == '\n') {
        text.data++;
        text.size--;
    }
    return text;
}

static struct slice strip_newlines(struct slice text) {
    while (text.size && text.data[text.size - 1] == '\n')
        text.size--;
    return strip_leading_newlines(text);
}

/* What stands after the last `mark`; all of it without one. */
static struct slice after_last(struct slice text, const char *mark) {
    const char *found;
    while ((found = memmem(text.data, text.size, mark, strlen(mark))) != NULL) {
        found += strlen(mark);
        text = (struct slice){found, text.size - (size_t)(found - text.data)};
    }
    return text;
}

/* Splits an answer as Qwen3's template does: the reasoning is what stands before the first </think>, the
 * content what stands after the last. */
static void split_reasoning(const char *answer, struct slice *reasoning_out, struct slice *content_out) {
    const char *end = strstr(answer, "</think>");
    *reasoning_out = (struct slice){answer, 0};
    *content_out = (struct slice){answer, strlen(answer)};
    if (!end) return;
    const struct slice head = {answer, (size_t)(end - answer)};
    *reasoning_out = strip_newlines(after_last(head, "<think>"));
    *content_out = strip_leading_newlines(after_last(*content_out, "</think>"));
}

static bool is_tool_response(const char *content) {
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    const size_t size = strlen(content), close_size = sizeof close - 1;
    return strncmp(content, open, sizeof open - 1) == 0 && size >= close_size &&
           memcmp(content + size - close_size, close, close_size) == 0;
}

/* The user's last question; answers before it are rendered without their reasoning. */
static size_t last_query(const struct chat *chat) {
    for (size_t i = chat->n; i-- > 0;)
        if (chat_is_role(chat, i, "user") && !is_tool_response(chat->messages[i].content)) return i;
    return chat->n - 1;
}

static enum status append_answer(const struct chat *chat, size_t message, size_t query, struct bytes *text) {
    struct slice reasoning, content;
    split_reasoning(chat->messages[message].content, &reasoning, &content);
    const bool is_last = message + 1 == chat->n;
    TRY(bytes_append_text(text, "<|im_start|>assistant\n"));
    if (message > query && (is_last || reasoning.size)) {
        TRY(bytes_append_text(text, "<think>\n"));
        TRY(bytes_append(text, reasoning.data, reasoning.size));
        TRY(bytes_append_text(text, "\n</think>\n\n"));
        content = strip_leading_newlines(content);
    }
    TRY(bytes_append(text, content.data, content.size));
    return bytes_append_text(text, "<|im_end|>\n");
}

enum status chat_render_qwen3(const struct chat *chat, bool opens_thinking, struct bytes *text) {
    const size_t query = last_query(chat);
    for (size_t i = 0; i < chat->n; i++) {
        if (chat_is_role(chat, i, "assistant"))
            TRY(append_answer(chat, i, query, text));
        else
            TRY(append_turn(&chat->messages[i], text));
    }
    if (!chat->options.add_generation_prompt) return STATUS_OK;
    TRY(bytes_append_text(text, "<|im_start|>assistant\n"));
    if (opens_thinking) return bytes_append_text(text, "<think>\n");
    return chat->options.enable_thinking ? STATUS_OK : bytes_append_text(text, "<think>\n\n</think>\n\n");
}
