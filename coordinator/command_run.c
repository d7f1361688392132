/* `caucus run`: answers prompts, or chats. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/terminal.h"
#include "coordinator/answer_printer.h"
#include "coordinator/commands.h"
#include "coordinator/run_journal.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_report.h"
#include "coordinator/run_session.h"

/* The answers of one call, in the order of their prompts. */
struct answers {
    struct generation **generations;  /* [n] */
    struct answer_printer **printers; /* [n]; NULL: not text */
    size_t n;
    struct run_journal *journal; /* NULL: none is kept */
};

/* Text is streamed where there is one answer; several would mix, so each is printed when all are done. */
static bool streams(const struct config *config, const struct answers *answers) {
    return answers->n == 1 && !config->json;
}

static enum status create_answer(struct run_session *session, struct answers *answers, size_t i,
                                 struct prompt *prompt) {
    struct generation_options options = run_session_options(session, i);
    options.known = run_journal_known(answers->journal, i);
    if (!session->config->json) {
        TRY(answer_printer_create(session->config, prompt->thinking, &answers->printers[i]));
        if (streams(session->config, answers)) options.sink = answer_printer_sink(answers->printers[i]);
    }
    return generation_create(&options, session->engine, session->tokenizer, &prompt->ids, 0,
                             &answers->generations[i]);
}

/* Gives slots to answers that wait; what the journal has whole needs none. */
static void begin_answers(struct run_session *session, const struct answers *answers, size_t *n_begun) {
    while (*n_begun < answers->n && scheduler_has_room(session->scheduler)) {
        struct generation *generation = answers->generations[(*n_begun)++];
        if (generation_finish_reason(generation) != FINISH_NONE) continue;
        scheduler_add(session->scheduler, generation_sequence(generation));
    }
}

static enum status note_answers(const struct answers *answers, size_t n_begun) {
    for (size_t i = 0; i < n_begun; i++)
        TRY(run_journal_note(answers->journal, i, answers->generations[i]));
    return STATUS_OK;
}

/* Runs all answers, as many side by side as there are slots, until done or cancelled. */
static enum status run_all(struct run_session *session, const struct answers *answers) {
    size_t n_begun = 0;
    bool cancelled = false;
    begin_answers(session, answers, &n_begun);
    while (!cancelled && scheduler_active(session->scheduler) > 0) {
        TRY(run_session_step(session, answers->generations, answers->n, &cancelled));
        TRY(note_answers(answers, n_begun));
        begin_answers(session, answers, &n_begun);
    }
    return STATUS_OK;
}

static enum status print_answer(const struct config *config, const struct answers *answers, size_t i,
                                const struct scheduler_totals *totals) {
    const struct generation_view view = generation_view(answers->generations[i]);
    if (config->json) {
        struct bytes text = {0};
        enum status status = run_report_json(answers->generations[i], totals, &text);
        if (status == STATUS_OK && fwrite(text.data, 1, text.size, stdout) != text.size)
            status = FAIL(STATUS_IO, "cannot write the answer: %s", strerror(errno));
        bytes_free(&text);
        return status;
    }
    if (!streams(config, answers)) {
        printf("%s--- answer %zu of %zu\n", i > 0 ? "\n" : "", i + 1, answers->n);
        const struct text_sink sink = answer_printer_sink(answers->printers[i]);
        TRY(sink.write(sink.self, view.text, view.text_size));
    }
    TRY(answer_printer_finish(answers->printers[i]));
    const bool cancelled = generation_finish_reason(answers->generations[i]) == FINISH_CANCELLED;
    if (cancelled && !streams(config, answers)) puts("(cancelled)");
    return STATUS_OK;
}

/* Of all answers together. */
static enum status show_recall(const struct run_session *session, const struct answers *answers) {
    if (!session->engine->probe || session->config->json) return STATUS_OK;
    struct recall recall = {0};
    struct bytes line = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < answers->n && status == STATUS_OK; i++) {
        const struct generation_view view = generation_view(answers->generations[i]);
        if (view.recall) status = recall_add(&recall, &view.recall->seen);
    }
    if (status == STATUS_OK) status = recall_line(&recall, &line);
    if (status == STATUS_OK) fprintf(stderr, "%s\n", line.data);
    bytes_free(&line);
    recall_free(&recall);
    return status;
}

static enum status answer_prompts(struct run_session *session, struct run_prompts *prompts,
                                  struct answers *answers) {
    TRY(run_journal_open(session, prompts, &answers->journal));
    for (size_t i = 0; i < answers->n; i++)
        TRY(create_answer(session, answers, i, &prompts->prompts[i]));
    TRY(console_open(&session->console));
    TRY(run_all(session, answers));
    TRY(run_journal_flush(answers->journal));
    /* From here on Ctrl-C ends the program: it may wait for a reader that never comes. */
    console_close(session->console);
    session->console = NULL;
    const struct scheduler_totals totals = scheduler_totals(session->scheduler);
    for (size_t i = 0; i < answers->n; i++)
        TRY(print_answer(session->config, answers, i, &totals));
    if (fflush(stdout) != 0) return FAIL(STATUS_IO, "cannot write the answer: %s", strerror(errno));
    TRY(show_recall(session, answers));
    return run_session_report(session);
}

static void free_answers(struct answers *answers) {
    run_journal_close(answers->journal);
    for (size_t i = 0; i < answers->n; i++) {
        if (answers->generations) generation_destroy(answers->generations[i]);
        if (answers->printers) answer_printer_destroy(answers->printers[i]);
    }
    free(answers->generations);
    free(answers->printers);
}

static enum status run_prompts(struct run_session *session) {
    struct run_prompts prompts;
    TRY(run_prompts_read(session->config, session->tokenizer, session->format, &prompts));
    struct answers answers = {
        .generations = calloc(prompts.n, sizeof *answers.generations),
        .printers = calloc(prompts.n, sizeof *answers.printers),
        .n = prompts.n,
    };
    const enum status status = answers.generations && answers.printers
                                   ? answer_prompts(session, &prompts, &answers)
                                   : FAIL(STATUS_NO_MEMORY, "out of memory for %zu answers", prompts.n);
    free_answers(&answers);
    run_prompts_free(&prompts);
    return status;
}

static bool is_chat(const struct config *config) {
    const bool given = config->prompts.n > 0 || config->prompt_file;
    return config->interactive || (!given && terminal_is_terminal(0));
}

enum status command_run_check(const struct config *config) {
    const char *misplaced = NULL;
    if (config->json) misplaced = "--json";
    if (config->fill_kv > 0) misplaced = "--fill-kv";
    if (config->probe != PROBE_NONE) misplaced = "--probe";
    if (config->journal) misplaced = "--journal";
    if (misplaced && is_chat(config))
        return FAIL(STATUS_BAD_INPUT, "%s has no place in a chat; give the prompt with -p or -f", misplaced);
    TRY(run_journal_check(config));
    return config->prompt_file ? file_check_readable(config->prompt_file) : STATUS_OK;
}

enum status command_run(const struct config *config, const struct engine *engine) {
    struct run_session session;
    TRY(run_session_open(config, engine, &session));
    const enum status status = is_chat(config) ? run_session_chat(&session) : run_prompts(&session);
    run_session_close(&session);
    return status;
}
