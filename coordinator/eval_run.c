#include "coordinator/eval_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/progress.h"
#include "coordinator/answer_settings.h"
#include "coordinator/eval_prompts.h"
#include "coordinator/eval_sample.h"

enum { WORK_PER_SAMPLE = 1000, LABEL_MAX = 128 };

struct eval_job {
    const struct config *config;
    const struct eval_input *input;
    struct eval_method method;
    struct run_session session;
    struct run_prompts prompts; /* of all problems */
    struct eval_writer *writer;
    struct eval_journal journal;

    struct eval_todo *todo; /* [n_todo] */
    size_t n_todo;
    size_t n_begun, n_done;
    struct eval_sample **samples; /* [n_samples] under way; room for as many as there are slots */
    int32_t n_samples;

    int64_t n_generated; /* tokens of the finished samples */
    struct progress progress;
    char label[LABEL_MAX];
};

/* ---- progress ---- */

/* What a sample may be expected to generate: as much as those before it, the first as much as it can. */
static double expected_tokens(const struct eval_job *job) {
    if (job->n_done > 0) return (double)job->n_generated / (double)job->n_done;
    const int32_t most = job->config->max_tokens;
    return most > 0 ? most : (double)job->session.engine->limits.context_length;
}

/* Of samples under way as much as they have of that. */
static uint64_t work_done(const struct eval_job *job) {
    uint64_t done = job->n_done * WORK_PER_SAMPLE;
    for (int32_t i = 0; i < job->n_samples; i++) {
        const double share = eval_sample_generated(job->samples[i]) / (expected_tokens(job) + 1);
        done += (uint64_t)(WORK_PER_SAMPLE * (share < 0.95 ? share : 0.95));
    }
    return done;
}

/* What this engine and those after it have to do, so that the estimate is of all. */
static enum status begin_progress(struct eval_job *job, int32_t index) {
    const int32_t n_engines = eval_plan_engines(job->config);
    size_t n_samples = job->n_todo;
    for (int32_t i = index + 1; i < n_engines; i++) {
        struct eval_method method;
        struct eval_todo *todo;
        size_t n;
        TRY(eval_plan_method(job->config, i, &method));
        TRY(eval_plan_todo(job->config, &method, &job->input->problems, &job->input->results, &todo, &n));
        free(todo);
        n_samples += n;
    }
    char budget[16] = "";
    if (job->method.budget > 0) snprintf(budget, sizeof budget, " %d", job->method.budget);
    snprintf(job->label, sizeof job->label, "%s%s (%d of %d)", job->method.policy, budget, index + 1,
             n_engines);
    progress_begin(&job->progress, job->label, n_samples * WORK_PER_SAMPLE, true);
    return STATUS_OK;
}

/* ---- samples ---- */

static enum status begin_sample(struct eval_job *job) {
    const struct eval_todo which = job->todo[job->n_begun];
    struct eval_sample *sample;
    TRY(eval_sample_create(&job->session, &job->method, &job->input->problems.items[which.problem],
                           &job->prompts.prompts[which.problem], which, &job->journal, &sample));
    scheduler_add(job->session.scheduler, eval_sample_sequence(sample));
    job->samples[job->n_samples++] = sample;
    job->n_begun++;
    return STATUS_OK;
}

static enum status begin_samples(struct eval_job *job) {
    while (job->n_begun < job->n_todo && scheduler_has_room(job->session.scheduler))
        TRY(begin_sample(job));
    return STATUS_OK;
}

static double step_seconds(const struct eval_job *job) {
    const struct scheduler_totals totals = scheduler_totals(job->session.scheduler);
    return totals.prefill_seconds + totals.decode_seconds;
}

/* A step's time is shared by its tokens. */
static enum status note_step(struct eval_job *job, double seconds) {
    int64_t n_tokens = 0;
    bool wanted[CONFIG_MAX_PARALLEL], any = false;
    for (int32_t i = 0; i < job->n_samples; i++)
        n_tokens += eval_sample_new_tokens(job->samples[i]);
    for (int32_t i = 0; i < job->n_samples; i++) {
        const double share = n_tokens > 0 /* else a correction is under way */
                                 ? (double)eval_sample_new_tokens(job->samples[i]) / (double)n_tokens
                                 : 1.0 / job->n_samples;
        wanted[i] = eval_sample_note_step(job->samples[i], seconds * share);
        any = any || wanted[i];
    }
    if (!any) return STATUS_OK;
    const struct engine *engine = job->session.engine;
    const struct slot_report *slots;
    TRY(engine->report_slots(engine->self, &slots));
    for (int32_t i = 0; i < job->n_samples; i++)
        if (wanted[i])
            TRY(eval_sample_note_slot(job->samples[i], &slots[eval_sample_sequence(job->samples[i])->slot]));
    return STATUS_OK;
}

static enum status write_sample(struct eval_job *job, struct eval_sample *sample) {
    const struct eval_record *record;
    TRY(eval_sample_record(sample, &record));
    TRY(eval_writer_append(job->writer, record));
    job->n_generated += record->n_generated;
    job->n_done++;
    return STATUS_OK;
}

static enum status end_finished_samples(struct eval_job *job) {
    for (int32_t i = 0; i < job->n_samples;) {
        if (!eval_sample_finished(job->samples[i])) {
            i++;
            continue;
        }
        TRY(write_sample(job, job->samples[i]));
        eval_sample_destroy(job->samples[i]);
        job->n_samples--;
        for (int32_t j = i; j < job->n_samples; j++) /* in the order in which they began */
            job->samples[j] = job->samples[j + 1];
    }
    return STATUS_OK;
}

static enum status keep_samples(struct eval_job *job) {
    for (int32_t i = 0; i < job->n_samples; i++)
        TRY(eval_sample_keep(job->samples[i]));
    return STATUS_OK;
}

static enum status run_samples(struct eval_job *job) {
    for (;;) {
        TRY(begin_samples(job));
        if (job->n_samples == 0) return STATUS_OK;
        const double before = step_seconds(job);
        TRY(scheduler_step(job->session.scheduler));
        TRY(note_step(job, step_seconds(job) - before));
        TRY(end_finished_samples(job));
        TRY(keep_samples(job));
        progress_update(&job->progress, work_done(job));
    }
}

/* ---- set-up ---- */

static enum status open_writer(struct eval_job *job) {
    json_t *header;
    TRY(answer_settings_header(&eval_results_format, job->config, job->input->settings, &header));
    const enum status status = eval_writer_open(job->config->results, header, &job->writer);
    json_decref(header);
    return status;
}

static enum status run_job(struct eval_job *job, int32_t index, const struct engine *engine) {
    const struct eval_problems *problems = &job->input->problems;
    TRY(eval_plan_method(job->config, index, &job->method));
    TRY(eval_plan_todo(job->config, &job->method, problems, &job->input->results, &job->todo, &job->n_todo));
    TRY(run_session_open(job->config, engine, &job->session));
    TRY(eval_prompts_make(&job->session, problems, &job->prompts));
    job->samples = calloc((size_t)engine->limits.max_slots, sizeof(struct eval_sample *));
    if (!job->samples) return FAIL(STATUS_NO_MEMORY, "out of memory for the samples");
    TRY(open_writer(job));
    TRY(eval_journal_open(job->config, &job->method, job->input->settings, &job->journal));
    TRY(begin_progress(job, index));
    const enum status status = run_samples(job);
    progress_end(&job->progress);
    return status;
}

enum status eval_run(const struct config *config, int32_t index, const struct engine *engine,
                     const struct eval_input *input) {
    struct eval_job job = {.config = config, .input = input, .journal = {.lock = -1}};
    const enum status status = run_job(&job, index, engine);
    eval_journal_close(&job.journal); /* first: samples that are left are made to go on */
    for (int32_t i = 0; i < job.n_samples; i++)
        eval_sample_destroy(job.samples[i]);
    free(job.samples);
    free(job.todo);
    eval_writer_close(job.writer);
    run_prompts_free(&job.prompts);
    run_session_close(&job.session);
    return status;
}
