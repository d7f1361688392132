#include "coordinator/chat_format_impl.h"

#include <ctype.h>

/* A family is known by what its template must say and must not say. The marks are the statements that
 * decide what is rendered, so that a template which differs only in layout or in its handling of tools is
 * still recognised, and one that trims, keeps reasoning or brings its own system prompt is not. Blanks,
 * line ends (also those written \n) and the kind of quote do not count. */
enum { MAX_MARKS = 9 };

struct family {
    enum chat_format format;
    const char *required[MAX_MARKS];
    const char *forbidden[MAX_MARKS];
};

#define QWEN3_HISTORY                                                                                        \
    "loop.index0 > ns.last_query_index", "split('</think>')", "'\\n<think>\\n' + reasoning_content.strip",   \
        "'\\n</think>\\n\\n' + content"

static const struct family families[] = {
    {CHAT_R1_DISTILL,
     {"bos_token", "'<｜User｜>'", "'<｜Assistant｜><think>\\n'", "'<｜end▁of▁sentence｜>'",
      "split('</think>')", "system_prompt=''"},
     {"is_first_sp", "is_last_user", "enable_thinking", "raise_exception", "trim", "<|im_start|>"}},
    {CHAT_LLAMA3,
     {"bos_token", "<|start_header_id|>system<|end_header_id|>", "set system_message = ''",
      "'Cutting Knowledge Date: December 2023\\n'", "'Today Date: ' + date_string", "'26 Jul 2024'",
      "message['content'] | trim + '<|eot_id|>'", "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"},
     {"think"}},
    {CHAT_QWEN3,
     {QWEN3_HISTORY, "'<|im_start|>assistant\\n' }}", "enable_thinking is false",
      "'<think>\\n\\n</think>\\n\\n' }}"},
     {"'<think>\\n' }}", "<|im_start|>assistant\\n<think>", "preserve_thinking", "trim", "system\\nYou",
      "raise_exception"}},
    {CHAT_QWEN3_THINKING,
     {QWEN3_HISTORY, "'<|im_start|>assistant\\n<think>\\n' }}"},
     {"enable_thinking", "preserve_thinking", "trim", "system\\nYou", "raise_exception"}},
    {CHAT_QWEN2_5,
     {"'<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>",
      "'<|im_start|>assistant\\n' }}"},
     {"think", "trim", "strip", "raise_exception", "bos_token"}},
    {CHAT_QWEN2,
     {"'<|im_start|>system\\nYou are a helpful assistant.<|im_end|>", "'<|im_start|>assistant\\n' }}"},
     {"think", "trim", "strip", "raise_exception", "bos_token"}},
    {CHAT_CHATML,
     {"<|im_start|>", "<|im_end|>", "<|im_start|>assistant\\n' }}"},
     {"think", "trim", "strip", "raise_exception", "bos_token", "eos_token", "set system", "<|im_sep|>"}},
};

static const char *skip_layout(const char *text) {
    for (;;) {
        if (isspace((unsigned char)*text))
            text++;
        else if (text[0] == '\\' && text[1] == 'n')
            text += 2;
        else
            return text;
    }
}

static char fold_quote(char c) {
    return c == '"' ? '\'' : c;
}

/* What follows `mark` at `text`; NULL where something else stands there. */
static const char *match_mark(const char *text, const char *mark) {
    for (mark = skip_layout(mark); *mark; mark = skip_layout(mark + 1)) {
        text = skip_layout(text);
        if (fold_quote(*text) != fold_quote(*mark)) return NULL;
        text++;
    }
    return text;
}

/* What follows the first `mark` in `text`; NULL without one. */
static const char *find_mark(const char *text, const char *mark) {
    for (; *text; text++) {
        const char *end = match_mark(text, mark);
        if (end) return end;
    }
    return NULL;
}

/* Does the template bring text of its own for a dialogue without a system message? */
static bool has_default_system(const char *template_source) {
    const char *end = template_source;
    while ((end = find_mark(end, "<|im_start|>system")) != NULL)
        if (fold_quote(*skip_layout(end)) != '\'') return true;
    return false;
}

static bool is_of_family(const char *template_source, const struct family *family) {
    for (size_t i = 0; i < MAX_MARKS && family->required[i]; i++)
        if (!find_mark(template_source, family->required[i])) return false;
    for (size_t i = 0; i < MAX_MARKS && family->forbidden[i]; i++)
        if (find_mark(template_source, family->forbidden[i])) return false;
    return family->format != CHAT_CHATML || !has_default_system(template_source);
}

enum status chat_detect(const char *template_source, enum chat_format *format_out) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (!is_of_family(template_source, &families[i])) continue;
        *format_out = families[i].format;
        return STATUS_OK;
    }
    return FAIL(STATUS_BAD_INPUT, "the model's chat template is of no known family; name one with "
                                  "--chat-format, or use --raw to give the prompt as it stands");
}
