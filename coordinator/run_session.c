#include "coordinator/run_session.h"

#include <stdio.h>

#include "base/log.h"
#include "base/terminal.h"
#include "coordinator/generation_defaults.h"
#include "coordinator/model_text.h"
#include "coordinator/run_report.h"

static void collect_eos_ids(struct run_session *session) {
    if (session->config->ignore_eos) return;
    const struct model_spec *spec = model_file_spec(session->model);
    for (int32_t i = 0; i < spec->n_eos; i++)
        session->eos_ids[session->n_eos++] = spec->eos_ids[i];
    const char *end_of_turn = chat_format_end_of_turn(session->format);
    const int32_t id = end_of_turn ? tokenizer_find(session->tokenizer, end_of_turn) : -1;
    if (id >= 0) session->eos_ids[session->n_eos++] = id;
}

struct generation_options run_session_options(const struct run_session *session, uint64_t stream) {
    struct generation_options options =
        generation_options_from(session->config, &model_file_spec(session->model)->generation, stream);
    options.n_eos = session->n_eos;
    options.eos_ids = session->eos_ids;
    return options;
}

static enum status check_system_prompt(const struct run_session *session) {
    if (!session->config->system_prompt || session->format != CHAT_RAW) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--system needs a chat format, but this prompt is raw text");
}

enum status run_session_open(const struct config *config, const struct engine *engine,
                             struct run_session *session_out) {
    struct run_session session = {.config = config, .engine = engine};
    enum status status;
    TRY_GOTO(model_file_open(config->model, &session.model), fail);
    TRY_GOTO(model_text_open(config->model, &session.tokenizer), fail);
    TRY_GOTO(model_text_chat_format(config, session.tokenizer, &session.format), fail);
    TRY_GOTO(check_system_prompt(&session), fail);
    collect_eos_ids(&session);
    TRY_GOTO(scheduler_create(engine, &session.scheduler), fail);
    *session_out = session;
    return STATUS_OK;
fail:
    run_session_close(&session);
    return status;
}

void run_session_close(struct run_session *session) {
    console_close(session->console);
    scheduler_destroy(session->scheduler);
    tokenizer_close(session->tokenizer);
    model_file_close(session->model);
    *session = (struct run_session){0};
}

enum status run_session_step(struct run_session *session, struct generation *const *generations, size_t n,
                             bool *cancelled_out) {
    TRY(scheduler_step(session->scheduler));
    *cancelled_out = console_interrupted(session->console);
    if (!*cancelled_out) return STATUS_OK;
    for (size_t i = 0; i < n; i++)
        TRY(generation_cancel(generations[i]));
    scheduler_retire(session->scheduler);
    return STATUS_OK;
}

enum status run_session_report(const struct run_session *session) {
    if (!terminal_is_terminal(2) && !log_enabled(1)) return STATUS_OK;
    const struct scheduler_totals totals = scheduler_totals(session->scheduler);
    struct bytes line = {0};
    const enum status status = run_report_line(&totals, &line);
    if (status == STATUS_OK) fprintf(console_stream(), "%s\n", line.data);
    bytes_free(&line);
    return status;
}
