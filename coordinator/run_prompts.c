#include "coordinator/run_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "coordinator/thinking_filter.h"

static const size_t MAX_PROMPT_BYTES = (size_t)64 << 20;

static enum status encode(const struct tokenizer *tokenizer, const char *text, size_t size, bool add_special,
                          struct prompt *prompt_out) {
    const struct tokenizer_encode_options options = {.add_special = add_special, .parse_special = true};
    struct prompt prompt = {.thinking = thinking_prompt_opens(text, size)};
    const enum status status = tokenizer_encode(tokenizer, text, size, options, &prompt.ids);
    if (status != STATUS_OK) {
        token_list_free(&prompt.ids);
        return status;
    }
    *prompt_out = prompt;
    return STATUS_OK;
}

enum status prompt_from_text(const struct tokenizer *tokenizer, const char *text, size_t size,
                             struct prompt *prompt_out) {
    return encode(tokenizer, text, size, true, prompt_out);
}

enum status prompt_from_messages(const struct config *config, const struct tokenizer *tokenizer,
                                 enum chat_format format, const struct chat_message *messages,
                                 size_t n_messages, struct prompt *prompt_out) {
    const struct chat_options options = {.add_generation_prompt = true, .enable_thinking = config->thinking};
    struct bytes text = {0};
    enum status status = chat_format_render(format, messages, n_messages, options, &text);
    /* The format writes the special tokens, BOS included. */
    if (status == STATUS_OK) status = encode(tokenizer, text.data, text.size, false, prompt_out);
    bytes_free(&text);
    return status;
}

static enum status make_prompt(const struct config *config, const struct tokenizer *tokenizer,
                               enum chat_format format, const char *text, size_t size,
                               struct prompt *prompt_out) {
    if (format == CHAT_RAW) return prompt_from_text(tokenizer, text, size, prompt_out);
    if (memchr(text, '\0', size)) return FAIL(STATUS_BAD_INPUT, "the prompt holds a NUL byte");
    struct chat_message messages[2];
    size_t n = 0;
    if (config->system_prompt) messages[n++] = (struct chat_message){"system", config->system_prompt};
    messages[n++] = (struct chat_message){"user", text};
    return prompt_from_messages(config, tokenizer, format, messages, n, prompt_out);
}

static enum status read_listed(const struct config *config, const struct tokenizer *tokenizer,
                               enum chat_format format, struct run_prompts *prompts) {
    for (size_t i = 0; i < config->prompts.n; i++) {
        const char *text = config->prompts.items[i];
        TRY(make_prompt(config, tokenizer, format, text, strlen(text), &prompts->prompts[i]));
        prompts->n++;
    }
    return STATUS_OK;
}

static enum status read_file(const struct config *config, const struct tokenizer *tokenizer,
                             enum chat_format format, struct run_prompts *prompts) {
    struct bytes text = {0};
    TRY(file_read_all(config->prompt_file ? config->prompt_file : "-", MAX_PROMPT_BYTES, &text));
    /* A file's last newline belongs to the file, not to the prompt. */
    if (text.size > 0 && text.data[text.size - 1] == '\n') text.data[--text.size] = '\0';
    const enum status status =
        make_prompt(config, tokenizer, format, text.data, text.size, &prompts->prompts[0]);
    if (status == STATUS_OK) prompts->n = 1;
    bytes_free(&text);
    return status;
}

enum status run_prompts_read(const struct config *config, const struct tokenizer *tokenizer,
                             enum chat_format format, struct run_prompts *prompts_out) {
    const bool listed = config->prompts.n > 0;
    struct run_prompts prompts = {.prompts = calloc(listed ? config->prompts.n : 1, sizeof *prompts.prompts)};
    if (!prompts.prompts) return FAIL(STATUS_NO_MEMORY, "out of memory for the prompts");
    const enum status status = listed ? read_listed(config, tokenizer, format, &prompts)
                                      : read_file(config, tokenizer, format, &prompts);
    if (status != STATUS_OK) {
        run_prompts_free(&prompts);
        return status;
    }
    *prompts_out = prompts;
    return STATUS_OK;
}

void run_prompts_free(struct run_prompts *prompts) {
    for (size_t i = 0; i < prompts->n; i++)
        token_list_free(&prompts->prompts[i].ids);
    free(prompts->prompts);
    *prompts = (struct run_prompts){0};
}
