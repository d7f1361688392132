/* `caucus trace`: records which tokens each decode step attends to, and draws it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "coordinator/answer_printer.h"
#include "coordinator/commands.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"
#include "coordinator/trace_html.h"
#include "coordinator/trace_record.h"
#include "coordinator/trace_svg.h"

static const size_t MAX_TRACE_BYTES = (size_t)4 << 30;

static enum status check_model(const struct config *config) {
    struct model_file *model;
    TRY(model_file_open(config->model, &model));
    const enum status status = trace_record_check(model_file_spec(model));
    model_file_close(model);
    return status;
}

enum status command_trace_check(const struct config *config) {
    if (config->svg) TRY(file_check_writable(config->svg));
    if (config->html) TRY(file_check_writable(config->html));
    if (config->draw) return STATUS_OK;
    if (config->prompt_file) TRY(file_check_readable(config->prompt_file));
    TRY(file_check_writable(config->output));
    return check_model(config);
}

static enum status draw_svg(const struct config *config, const struct bytes *trace,
                            const struct trace_header *header, const char *name) {
    struct trace_map map;
    struct bytes svg = {0};
    TRY(trace_map_create(trace->data, trace->size, name, config->layer, config->kv_head, &map));
    enum status status = trace_svg_draw(header, &map, config->shade, &svg);
    if (status == STATUS_OK) status = file_write(config->svg, &svg);
    trace_map_free(&map);
    bytes_free(&svg);
    return status;
}

static enum status draw_html(const struct config *config, const struct bytes *trace, const char *name) {
    struct bytes html = {0};
    enum status status = trace_html_draw(trace->data, trace->size, name, config->layer, config->kv_head,
                                         TRACE_HTML_MOST, &html);
    if (status == STATUS_OK) status = file_write(config->html, &html);
    bytes_free(&html);
    return status;
}

/* Reads all of it once, so that a torn tail is told of once. */
static enum status warn_if_torn(struct trace_reader *reader, const char *name) {
    const struct trace_step *step;
    do
        TRY(trace_reader_next(reader, &step));
    while (step);
    if (trace_reader_torn_bytes(reader) > 0)
        log_warn("%s ends within a record: its last %zu bytes are left out", name,
                 trace_reader_torn_bytes(reader));
    return STATUS_OK;
}

static enum status draw(const struct config *config, const char *path) {
    struct bytes trace = {0};
    struct trace_reader *reader = NULL;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    enum status status = file_read_all(path, MAX_TRACE_BYTES, &trace);
    if (status == STATUS_OK) status = trace_reader_create(trace.data, trace.size, name, &reader);
    if (status == STATUS_OK) status = warn_if_torn(reader, name);
    if (status == STATUS_OK && config->svg)
        status = draw_svg(config, &trace, trace_reader_header(reader), name);
    if (status == STATUS_OK && config->html) status = draw_html(config, &trace, name);
    trace_reader_destroy(reader);
    bytes_free(&trace);
    return status;
}

enum status command_trace_draw(const struct config *config) {
    return draw(config, config->draw);
}

/* One answer, whose steps are written down. */
static enum status run_answer(struct run_session *session, struct generation *generation,
                              struct trace_recorder *recorder) {
    const struct sequence *sequence = generation_sequence(generation);
    bool cancelled = false;
    scheduler_add(session->scheduler, generation_sequence(generation));
    while (!cancelled && scheduler_active(session->scheduler) > 0) {
        const int32_t n_generated_computed = sequence->n_planned - sequence->n_prompt;
        TRY(run_session_step(session, &generation, 1, &cancelled));
        if (n_generated_computed < 0) continue;
        const struct generation_view view = generation_view(generation);
        TRY(trace_recorder_step(recorder, view.generated[n_generated_computed]));
    }
    return STATUS_OK;
}

static enum status record_answer(struct run_session *session, struct prompt *prompt,
                                 struct answer_printer *printer) {
    const struct trace_source source = {session->config, session->engine, session->model, session->tokenizer};
    struct trace_recorder *recorder = NULL;
    struct generation *generation = NULL;
    struct generation_options options = run_session_options(session, 0);
    options.sink = answer_printer_sink(printer);
    enum status status;
    TRY_GOTO(trace_recorder_create(&source, prompt->ids.ids, prompt->ids.n, &recorder), done);
    TRY_GOTO(generation_create(&options, session->engine, session->tokenizer, &prompt->ids, 0, &generation),
             done);
    TRY_GOTO(console_open(&session->console), done);
    TRY_GOTO(run_answer(session, generation, recorder), done);
    console_close(session->console);
    session->console = NULL;
    TRY_GOTO(answer_printer_finish(printer), done);
    if (fflush(stdout) != 0) status = FAIL(STATUS_IO, "cannot write the answer: %s", strerror(errno));
done:
    generation_destroy(generation);
    if (status != STATUS_OK) {
        trace_recorder_destroy(recorder);
        return status;
    }
    return trace_recorder_close(recorder);
}

static enum status record(struct run_session *session) {
    struct run_prompts prompts;
    struct answer_printer *printer = NULL;
    TRY(run_prompts_read(session->config, session->tokenizer, session->format, &prompts));
    CHECK(prompts.n == 1);
    enum status status = answer_printer_create(session->config, prompts.prompts[0].thinking, &printer);
    if (status == STATUS_OK) status = record_answer(session, &prompts.prompts[0], printer);
    answer_printer_destroy(printer);
    run_prompts_free(&prompts);
    return status == STATUS_OK ? run_session_report(session) : status;
}

enum status command_trace_record(const struct config *config, const struct engine *engine) {
    struct run_session session;
    TRY(run_session_open(config, engine, &session));
    const enum status status = record(&session);
    run_session_close(&session);
    TRY(status);
    return config->svg || config->html ? draw(config, config->output) : STATUS_OK;
}
