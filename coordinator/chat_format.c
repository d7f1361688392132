#include "coordinator/chat_format.h"

#include <string.h>

#include "base/check.h"
#include "coordinator/chat_format_impl.h"

static const struct {
    const char *name;
    const char *end_of_turn;
} formats[] = {
    [CHAT_RAW] = {"raw", NULL},
    [CHAT_CHATML] = {"chatml", "<|im_end|>"},
    [CHAT_QWEN2] = {"qwen2", "<|im_end|>"},
    [CHAT_QWEN2_5] = {"qwen2.5", "<|im_end|>"},
    [CHAT_QWEN3] = {"qwen3", "<|im_end|>"},
    [CHAT_QWEN3_THINKING] = {"qwen3-thinking", "<|im_end|>"},
    [CHAT_LLAMA3] = {"llama3", "<|eot_id|>"},
    [CHAT_R1_DISTILL] = {"r1-distill", "<｜end▁of▁sentence｜>"},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

#define FORMAT_NAMES "raw, chatml, qwen2, qwen2.5, qwen3, qwen3-thinking, llama3, r1-distill"

const char *chat_format_name(enum chat_format format) {
    CHECK((size_t)format < N_FORMATS);
    return formats[format].name;
}

const char *chat_format_end_of_turn(enum chat_format format) {
    CHECK((size_t)format < N_FORMATS);
    return formats[format].end_of_turn;
}

enum status chat_format_from_name(const char *name, enum chat_format *format_out) {
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(name, formats[i].name) != 0) continue;
        *format_out = (enum chat_format)i;
        return STATUS_OK;
    }
    return FAIL(STATUS_BAD_INPUT, "chat-format is '%s'; it must be one of " FORMAT_NAMES, name);
}

enum status chat_format_detect(const char *template_source, enum chat_format *format_out) {
    if (!template_source)
        return FAIL(STATUS_BAD_INPUT, "the model has no chat template; use --raw, or --chat-format with one "
                                      "of " FORMAT_NAMES);
    return chat_detect(template_source, format_out);
}

bool chat_is_role(const struct chat *chat, size_t message, const char *role) {
    return strcmp(chat->messages[message].role, role) == 0;
}

static enum status check_messages(const struct chat *chat) {
    if (chat->n == 0) return FAIL(STATUS_BAD_INPUT, "a chat needs at least one message");
    for (size_t i = 0; i < chat->n; i++) {
        if (chat_is_role(chat, i, "system") || chat_is_role(chat, i, "user") ||
            chat_is_role(chat, i, "assistant"))
            continue;
        return FAIL(STATUS_BAD_INPUT, "message %zu has role '%s'; it must be system, user or assistant",
                    i + 1, chat->messages[i].role);
    }
    return STATUS_OK;
}

static enum status render_raw(const struct chat *chat, struct bytes *text) {
    for (size_t i = 0; i < chat->n; i++)
        TRY(bytes_append_text(text, chat->messages[i].content));
    return STATUS_OK;
}

enum status chat_format_render(enum chat_format format, const struct chat_message *messages,
                               size_t n_messages, struct chat_options options, struct bytes *text) {
    const struct chat chat = {messages, n_messages, options};
    TRY(check_messages(&chat));
    switch (format) {
    case CHAT_RAW:
        return render_raw(&chat, text);
    case CHAT_CHATML:
        return chat_render_chatml(&chat, NULL, text);
    case CHAT_QWEN2:
        return chat_render_chatml(&chat, "You are a helpful assistant.", text);
    case CHAT_QWEN2_5:
        return chat_render_chatml(
            &chat, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", text);
    case CHAT_QWEN3:
        return chat_render_qwen3(&chat, false, text);
    case CHAT_QWEN3_THINKING:
        return chat_render_qwen3(&chat, true, text);
    case CHAT_LLAMA3:
        return chat_render_llama3(&chat, text);
    case CHAT_R1_DISTILL:
        return chat_render_r1_distill(&chat, text);
    }
    return FAIL(STATUS_INTERNAL, "chat format %d is unknown", (int)format);
}
