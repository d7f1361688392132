#include "coordinator/eval_prompts.h"

#include <stdlib.h>
#include <string.h>

/* The last message with the suffix below it. */
static enum status last_content(const struct run_session *session, const struct eval_problem *problem,
                                struct bytes *content) {
    TRY(bytes_append_text(content, problem->messages[problem->n_messages - 1].content));
    const char *suffix = session->config->prompt_suffix;
    return suffix ? bytes_printf(content, "\n%s", suffix) : STATUS_OK;
}

/* Without a chat format the contents stand one below the other. */
static enum status make_raw(const struct run_session *session, const struct chat_message *messages, size_t n,
                            struct prompt *prompt_out) {
    struct bytes text = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = bytes_printf(&text, "%s%s", i > 0 ? "\n" : "", messages[i].content);
    if (status == STATUS_OK) status = prompt_from_text(session->tokenizer, text.data, text.size, prompt_out);
    bytes_free(&text);
    return status;
}

static enum status make_from(const struct run_session *session, const struct chat_message *messages, size_t n,
                             struct prompt *prompt_out) {
    if (session->format == CHAT_RAW) return make_raw(session, messages, n, prompt_out);
    return prompt_from_messages(session->config, session->tokenizer, session->format, messages, n,
                                prompt_out);
}

static enum status make(const struct run_session *session, const struct eval_problem *problem,
                        struct prompt *prompt_out) {
    const size_t n = problem->n_messages;
    struct chat_message *messages = calloc(n + 1, sizeof *messages);
    struct bytes content = {0};
    enum status status =
        messages ? last_content(session, problem, &content) : FAIL(STATUS_NO_MEMORY, "out of memory");
    if (status == STATUS_OK) {
        const char *system = session->config->system_prompt;
        const bool adds_system = system && strcmp(problem->messages[0].role, "system") != 0;
        if (adds_system) messages[0] = (struct chat_message){"system", system};
        memcpy(messages + adds_system, problem->messages, n * sizeof *messages);
        messages[adds_system + n - 1].content = content.data;
        status = make_from(session, messages, adds_system + n, prompt_out);
    }
    bytes_free(&content);
    free(messages);
    return status;
}

static enum status check_room(const struct run_session *session, const struct eval_problem *problem,
                              const struct prompt *prompt) {
    const long long context = session->engine->limits.context_length;
    if ((long long)prompt->ids.n < context) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "%s:%lld: the prompt has %zu tokens, which leaves no room in the context of %lld",
                problem->file, (long long)problem->line, prompt->ids.n, context);
}

enum status eval_prompts_make(const struct run_session *session, const struct eval_problems *problems,
                              struct run_prompts *prompts_out) {
    struct run_prompts prompts = {.prompts = calloc(problems->n, sizeof *prompts.prompts), .n = problems->n};
    if (!prompts.prompts) return FAIL(STATUS_NO_MEMORY, "out of memory for the prompts");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < problems->n && status == STATUS_OK; i++) {
        status = make(session, &problems->items[i], &prompts.prompts[i]);
        if (status == STATUS_OK) status = check_room(session, &problems->items[i], &prompts.prompts[i]);
    }
    if (status != STATUS_OK) {
        run_prompts_free(&prompts);
        return status;
    }
    *prompts_out = prompts;
    return STATUS_OK;
}
