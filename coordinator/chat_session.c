/* The interactive side of `caucus run`: a dialogue at the terminal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/answer_printer.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"

/* A dialogue grows by two messages a turn. */
struct dialogue {
    struct chat_message *messages; /* [n] */
    char **contents;               /* [n] those of the messages, owned */
    size_t n, capacity;
    struct token_list cached; /* tokens whose keys and values slot 0 holds */
    uint64_t n_answers;
};

static enum status grow_dialogue(struct dialogue *dialogue) {
    const size_t capacity = dialogue->capacity ? 2 * dialogue->capacity : 16;
    struct chat_message *messages = realloc(dialogue->messages, capacity * sizeof *messages);
    if (messages) dialogue->messages = messages;
    char **contents = realloc(dialogue->contents, capacity * sizeof *contents);
    if (contents) dialogue->contents = contents;
    if (!messages || !contents) return FAIL(STATUS_NO_MEMORY, "out of memory for the dialogue");
    dialogue->capacity = capacity;
    return STATUS_OK;
}

/* A NUL, which a model may well write, would cut the message short in the next prompt: it becomes a space. */
static enum status add_message(struct dialogue *dialogue, const char *role, const char *content,
                               size_t size) {
    if (dialogue->n == dialogue->capacity) TRY(grow_dialogue(dialogue));
    char *copy = malloc(size + 1);
    if (!copy) return FAIL(STATUS_NO_MEMORY, "out of memory for the dialogue");
    for (size_t i = 0; i < size; i++)
        copy[i] = content[i] ? content[i] : ' ';
    copy[size] = '\0';
    dialogue->contents[dialogue->n] = copy;
    dialogue->messages[dialogue->n++] = (struct chat_message){role, copy};
    return STATUS_OK;
}

/* Forgets what was said after the first n messages. */
static void truncate_dialogue(struct dialogue *dialogue, size_t n) {
    while (dialogue->n > n)
        free(dialogue->contents[--dialogue->n]);
}

static void free_dialogue(struct dialogue *dialogue) {
    truncate_dialogue(dialogue, 0);
    free(dialogue->messages);
    free(dialogue->contents);
    token_list_free(&dialogue->cached);
}

/* A model without a chat format just continues what is typed. */
static enum status next_prompt(struct run_session *session, const struct dialogue *dialogue,
                               struct prompt *prompt) {
    if (session->format != CHAT_RAW)
        return prompt_from_messages(session->config, session->tokenizer, session->format, dialogue->messages,
                                    dialogue->n, prompt);
    const char *text = dialogue->contents[dialogue->n - 1];
    return prompt_from_text(session->tokenizer, text, strlen(text), prompt);
}

/* The tokens at the start of the prompt that need not be computed again; at least one always is. */
static int32_t reusable_tokens(const struct dialogue *dialogue, const struct token_list *prompt) {
    size_t n = 0;
    while (n < dialogue->cached.n && n + 1 < prompt->n && dialogue->cached.ids[n] == prompt->ids[n])
        n++;
    return (int32_t)n;
}

static enum status remember_cached(struct dialogue *dialogue, const struct generation *generation) {
    const struct generation_view view = generation_view(generation);
    token_list_free(&dialogue->cached);
    for (int32_t i = 0; i < view.n_computed; i++)
        TRY(token_list_append(&dialogue->cached, view.prompt[i])); /* the generated ids follow the prompt's */
    return STATUS_OK;
}

/* Steps until the answer is whole, or cancelled. */
static enum status finish(struct run_session *session, struct generation *generation) {
    bool cancelled;
    while (scheduler_active(session->scheduler) > 0)
        TRY(run_session_step(session, &generation, 1, &cancelled));
    return STATUS_OK;
}

static enum status answer(struct run_session *session, struct dialogue *dialogue, struct prompt *prompt,
                          struct answer_printer *printer) {
    struct generation_options options = run_session_options(session, dialogue->n_answers++);
    options.sink = answer_printer_sink(printer);
    const int32_t n_cached = reusable_tokens(dialogue, &prompt->ids);
    struct generation *generation;
    TRY(generation_create(&options, session->engine, session->tokenizer, &prompt->ids, n_cached,
                          &generation));
    scheduler_add(session->scheduler, generation_sequence(generation));
    enum status status = finish(session, generation);
    if (status == STATUS_OK) status = answer_printer_finish(printer);
    if (status == STATUS_OK) status = remember_cached(dialogue, generation);
    const struct generation_view view = generation_view(generation);
    if (status == STATUS_OK) status = add_message(dialogue, "assistant", view.text, view.text_size);
    if (status != STATUS_OK) token_list_free(&dialogue->cached); /* a failed step frees the slot */
    generation_destroy(generation);
    return status;
}

static enum status take_turn(struct run_session *session, struct dialogue *dialogue,
                             const struct bytes *line) {
    if (memchr(line->data, '\0', line->size)) return FAIL(STATUS_BAD_INPUT, "this line holds a NUL byte");
    scheduler_reset_totals(session->scheduler);
    TRY(add_message(dialogue, "user", line->data, line->size));
    struct prompt prompt;
    TRY(next_prompt(session, dialogue, &prompt));
    struct answer_printer *printer = NULL;
    enum status status = answer_printer_create(session->config, prompt.thinking, &printer);
    if (status == STATUS_OK) status = answer(session, dialogue, &prompt, printer);
    if (status == STATUS_OK) status = run_session_report(session);
    answer_printer_destroy(printer);
    token_list_free(&prompt.ids);
    return status;
}

/* A turn that is refused (too long for the context, say) is taken back, and the chat goes on. */
static enum status try_turn(struct run_session *session, struct dialogue *dialogue,
                            const struct bytes *line) {
    const size_t n_before = dialogue->n;
    const enum status status = take_turn(session, dialogue, line);
    if (status != STATUS_BAD_INPUT) return status;
    truncate_dialogue(dialogue, n_before);
    fprintf(console_stream(), "%s\n", status_message());
    return STATUS_OK;
}

static enum status converse(struct run_session *session, struct dialogue *dialogue, struct bytes *line) {
    const char *system_prompt = session->config->system_prompt;
    if (system_prompt) TRY(add_message(dialogue, "system", system_prompt, strlen(system_prompt)));
    if (session->format == CHAT_RAW)
        fprintf(console_stream(), "This model has no chat format: it goes on from each line by itself.\n");
    fprintf(console_stream(), "Ctrl-C stops an answer; Ctrl-D, or Ctrl-C at the prompt, ends the chat.\n");
    for (bool end = false;;) {
        TRY(console_read_line(session->console, "> ", line, &end));
        if (end) return STATUS_OK;
        if (line->size > 0) TRY(try_turn(session, dialogue, line));
    }
}

enum status run_session_chat(struct run_session *session) {
    struct dialogue dialogue = {0};
    struct bytes line = {0};
    scheduler_set_keep_slots(session->scheduler, true);
    TRY(console_open(&session->console));
    const enum status status = converse(session, &dialogue, &line);
    bytes_free(&line);
    free_dialogue(&dialogue);
    return status;
}
