#include "coordinator/eval_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "base/timer.h"
#include "coordinator/eval_answer.h"
#include "coordinator/recall.h"

struct eval_sample {
    const struct run_session *session;
    const struct eval_problem *problem;
    bool thinking; /* the prompt ends inside a think block */
    struct generation *generation;
    struct eval_record record;
    size_t series_capacity;
    double began;
    int32_t n_computed; /* tokens that have been computed; a correction does not take them back */
    int32_t n_at_point; /* … when the last point was made */
    double share_at_point;
    struct slot_report slot; /* as it was last said */
};

uint64_t eval_sample_seed(uint64_t seed, int64_t problem, int64_t sample) {
    const uint32_t counter[4] = {(uint32_t)problem, (uint32_t)(problem >> 32), (uint32_t)sample,
                                 (uint32_t)(sample >> 32)};
    uint32_t words[4];
    rng_philox(seed, counter, words);
    return ((uint64_t)words[0] << 32 | words[1]) >> 11;
}

static enum status copy_text(const char *text, char **copy_out) {
    if (!text) return STATUS_OK;
    *copy_out = strdup(text);
    return *copy_out ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a sample");
}

static enum status describe(struct eval_sample *sample, struct eval_todo which) {
    struct eval_record *record = &sample->record;
    record->problem = which.problem;
    record->sample = which.sample;
    record->fingerprint = sample->problem->fingerprint;
    record->steps = sample->problem->steps;
    record->seed = eval_sample_seed(sample->session->config->seed, which.problem, which.sample);
    TRY(copy_text(sample->problem->id_json, &record->id_json));
    return copy_text(sample->problem->answer, &record->expected);
}

static enum status begin_generation(struct eval_sample *sample, const struct prompt *prompt) {
    struct generation_options options = run_session_options(sample->session, 0);
    options.sampler.seed = sample->record.seed;
    /* What the others are held to is plain dense attention; its engine does not correct. */
    if (strcmp(sample->record.method.policy, "full") == 0) options.correct_every = 0;
    struct token_list ids = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < prompt->ids.n && status == STATUS_OK; i++)
        status = token_list_append(&ids, prompt->ids.ids[i]);
    if (status == STATUS_OK)
        status = generation_create(&options, sample->session->engine, sample->session->tokenizer, &ids, 0,
                                   &sample->generation);
    token_list_free(&ids);
    return status;
}

enum status eval_sample_create(const struct run_session *session, const struct eval_method *method,
                               const struct eval_problem *problem, const struct prompt *prompt,
                               struct eval_todo which, struct eval_sample **sample_out) {
    struct eval_sample *sample = calloc(1, sizeof *sample);
    if (!sample) return FAIL(STATUS_NO_MEMORY, "out of memory for a sample");
    *sample = (struct eval_sample){.session = session,
                                   .problem = problem,
                                   .thinking = prompt->thinking,
                                   .record = {.method = *method},
                                   .began = timer_seconds()};
    enum status status = describe(sample, which);
    if (status == STATUS_OK) status = begin_generation(sample, prompt);
    if (status != STATUS_OK) {
        eval_sample_destroy(sample);
        return status;
    }
    *sample_out = sample;
    return STATUS_OK;
}

void eval_sample_destroy(struct eval_sample *sample) {
    if (!sample) return;
    generation_destroy(sample->generation);
    eval_record_free(&sample->record);
    free(sample);
}

struct sequence *eval_sample_sequence(struct eval_sample *sample) {
    return generation_sequence(sample->generation);
}

bool eval_sample_finished(const struct eval_sample *sample) {
    return generation_finish_reason(sample->generation) != FINISH_NONE;
}

int32_t eval_sample_generated(const struct eval_sample *sample) {
    return generation_view(sample->generation).n_generated;
}

int32_t eval_sample_new_tokens(const struct eval_sample *sample) {
    const int32_t n_computed = generation_view(sample->generation).n_computed;
    return n_computed > sample->n_computed ? n_computed - sample->n_computed : 0;
}

bool eval_sample_note_step(struct eval_sample *sample, double share_seconds) {
    const struct generation_view view = generation_view(sample->generation);
    const bool moved = view.n_computed > sample->n_computed;
    if (moved) sample->n_computed = view.n_computed;
    sample->record.share_seconds += share_seconds;
    if (!moved || view.n_computed < view.n_prompt) return false;
    return view.n_computed == view.n_prompt || view.n_computed % EVAL_POINT_TOKENS == 0 ||
           eval_sample_finished(sample);
}

static enum status add_point(struct eval_sample *sample, int64_t kv_bytes) {
    struct eval_record *record = &sample->record;
    if (record->n_series == sample->series_capacity) {
        const size_t capacity = larger_i64(2 * (int64_t)sample->series_capacity, 16);
        struct eval_point *series = realloc(record->series, capacity * sizeof *series);
        if (!series) return FAIL(STATUS_NO_MEMORY, "out of memory for a sample's series");
        record->series = series;
        sample->series_capacity = capacity;
    }
    const int32_t n_tokens = sample->n_computed - sample->n_at_point;
    const double seconds = record->share_seconds - sample->share_at_point;
    record->series[record->n_series++] = (struct eval_point){
        .context = sample->n_computed,
        .seconds_per_token = sample->n_at_point > 0 ? seconds / n_tokens : -1, /* not the prompt's */
        .kv_bytes = kv_bytes,
    };
    sample->n_at_point = sample->n_computed;
    sample->share_at_point = record->share_seconds;
    return STATUS_OK;
}

enum status eval_sample_note_slot(struct eval_sample *sample, const struct slot_report *slot) {
    struct eval_record *record = &sample->record;
    record->kv_bytes = larger_i64(record->kv_bytes, slot->kv_bytes);
    sample->slot = *slot;
    const bool first = record->n_series == 0;
    return first || sample->n_computed % EVAL_POINT_TOKENS == 0 ? add_point(sample, slot->kv_bytes)
                                                                : STATUS_OK;
}

/* Of one query head in one layer. */
static double mean_attended(const struct eval_sample *sample) {
    const struct model_spec *spec = model_file_spec(sample->session->model);
    if (sample->slot.n_decoded == 0) return -1;
    return (double)sample->slot.attended_tokens / (double)sample->slot.n_decoded / spec->n_layers /
           spec->n_heads;
}

static enum status judge(struct eval_sample *sample, const struct generation_view *view) {
    struct eval_record *record = &sample->record;
    const struct eval_answer answer = eval_answer_find(view->text, view->text_size, sample->thinking);
    TRY(eval_answer_check(answer, record->expected, &record->correct));
    if (!answer.text) return STATUS_OK;
    record->answer = strndup(answer.text, answer.size);
    return record->answer ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for an answer");
}

/* By layer, where it was probed. */
static enum status keep_recall(struct eval_record *record, const struct recall *recall, int32_t every) {
    if (!recall) return STATUS_OK;
    const int32_t n = recall->seen.n_layers;
    record->recall = calloc((size_t)n + 1, sizeof *record->recall);
    if (!record->recall) return FAIL(STATUS_NO_MEMORY, "out of memory for a sample's recall");
    record->n_recall = (size_t)n;
    record->probe_every = every;
    for (int32_t layer = 0; layer < n; layer++) {
        const double share = recall_of_layer(recall, layer);
        record->recall[layer] = isnan(share) ? -1 : share;
    }
    return STATUS_OK;
}

enum status eval_sample_record(struct eval_sample *sample, const struct eval_record **record_out) {
    struct eval_record *record = &sample->record;
    const struct generation_view view = generation_view(sample->generation);
    record->n_prompt = view.n_prompt;
    record->n_generated = view.n_generated;
    record->attended = mean_attended(sample);
    record->seconds = timer_seconds() - sample->began;
    TRY(copy_text(finish_reason_name(generation_finish_reason(sample->generation)), &record->finish));
    TRY(judge(sample, &view));
    TRY(keep_recall(record, view.recall, sample->session->config->probe_every));
    if (sample->session->config->text) TRY(copy_text(view.text, &record->text));
    *record_out = record;
    return STATUS_OK;
}
