#include "coordinator/eval_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
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
    const struct eval_journal *journal;
    size_t journal_index; /* where the journal has the sample, … */
    int32_t n_known;      /* … tokens that it had of it in the beginning, … */
    double known_seconds; /* … and what they took */
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

static enum status copy_ids(const struct token_list *from, struct token_list *ids) {
    for (size_t i = 0; i < from->n; i++)
        TRY(token_list_append(ids, from->ids[i]));
    return STATUS_OK;
}

/* The seed tells samples of one problem apart, the prompt a problem from others. */
static uint64_t fingerprint_of(const struct eval_sample *sample, const struct token_list *prompt) {
    const uint64_t seed =
        fingerprint_add(FINGERPRINT_BEGIN, &sample->record.seed, sizeof sample->record.seed);
    return fingerprint_add(seed, prompt->ids, prompt->n * sizeof *prompt->ids);
}

static enum status find_known(struct eval_sample *sample, const struct prompt *prompt,
                              struct known_tokens *known_out) {
    struct journal *journal = sample->journal->journal;
    if (!journal) return STATUS_OK;
    TRY(journal_answer(journal, fingerprint_of(sample, &prompt->ids), &sample->journal_index));
    const struct journal_tokens tokens = journal_tokens(journal, sample->journal_index);
    sample->n_known = tokens.n;
    sample->known_seconds = sample->record.share_seconds = tokens.seconds;
    *known_out = (struct known_tokens){
        .ids = tokens.ids,
        .n = tokens.n,
        .source = sample->journal->path,
        .are_read = true,
        .are_trusted = sample->session->config->numerics != NUMERICS_REPRODUCIBLE,
        .stop_every = EVAL_POINT_TOKENS,
    };
    return STATUS_OK;
}

static enum status begin_generation(struct eval_sample *sample, const struct prompt *prompt) {
    struct generation_options options = run_session_options(sample->session, 0);
    options.sampler.seed = sample->record.seed;
    /* What the others are held to is plain dense attention; its engine does not correct. */
    if (strcmp(sample->record.method.policy, "full") == 0) options.correct_every = 0;
    TRY(find_known(sample, prompt, &options.known));
    struct token_list ids = {0};
    enum status status = copy_ids(&prompt->ids, &ids);
    if (status == STATUS_OK)
        status = generation_create(&options, sample->session->engine, sample->session->tokenizer, &ids, 0,
                                   &sample->generation);
    token_list_free(&ids);
    if (status != STATUS_OK || !eval_sample_finished(sample)) return status;
    return FAIL(STATUS_BAD_INPUT, "%s has a sample's end, which belongs in the results: remove it",
                sample->journal->path);
}

enum status eval_sample_create(const struct run_session *session, const struct eval_method *method,
                               const struct eval_problem *problem, const struct prompt *prompt,
                               struct eval_todo which, const struct eval_journal *journal,
                               struct eval_sample **sample_out) {
    struct eval_sample *sample = calloc(1, sizeof *sample);
    if (!sample) return FAIL(STATUS_NO_MEMORY, "out of memory for a sample");
    *sample = (struct eval_sample){.session = session,
                                   .problem = problem,
                                   .thinking = prompt->thinking,
                                   .journal = journal,
                                   .record = {.method = *method, .n_prompt = (int64_t)prompt->ids.n},
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
    if (sample->generation && sample->journal->journal)
        journal_forget(sample->journal->journal, sample->journal_index);
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
    const int32_t n_read = (int32_t)record->n_prompt + sample->n_known;
    const double seconds = record->share_seconds - sample->share_at_point;
    record->series[record->n_series++] = (struct eval_point){
        .context = sample->n_computed,
        .seconds_per_token = sample->n_at_point >= n_read ? seconds / n_tokens : -1, /* not of what is read */
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

/* Tokens that the steps read which an earlier program made, each all there were; negative: not known. */
static double known_attended(const struct eval_sample *sample) {
    const struct config *config = sample->session->config;
    const struct model_spec *spec = model_file_spec(sample->session->model);
    const double n = sample->n_known;
    if ((config->sliding_window >= 0 ? config->sliding_window : spec->sliding_window) > 0) return -1;
    return n * (double)sample->record.n_prompt + n * (n + 1) / 2;
}

/* Of one query head in one layer. */
static double mean_attended(const struct eval_sample *sample) {
    const struct model_spec *spec = model_file_spec(sample->session->model);
    const double before = sample->n_known > 0 ? known_attended(sample) : 0;
    const double n_steps = (double)sample->slot.n_decoded + sample->n_known;
    if (n_steps == 0 || before < 0) return -1;
    return ((double)sample->slot.attended_tokens / spec->n_layers / spec->n_heads + before) / n_steps;
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

enum status eval_sample_keep(struct eval_sample *sample) {
    const struct generation_view view = generation_view(sample->generation);
    const struct journal_tokens tokens = {view.generated, view.n_generated, sample->record.share_seconds};
    if (!sample->journal->journal) return STATUS_OK;
    return journal_note(sample->journal->journal, sample->journal_index, tokens);
}

enum status eval_sample_record(struct eval_sample *sample, const struct eval_record **record_out) {
    struct eval_record *record = &sample->record;
    const struct generation_view view = generation_view(sample->generation);
    record->n_generated = view.n_generated;
    record->attended = mean_attended(sample);
    record->seconds = sample->known_seconds + timer_seconds() - sample->began;
    TRY(copy_text(finish_reason_name(generation_finish_reason(sample->generation)), &record->finish));
    TRY(judge(sample, &view));
    TRY(keep_recall(record, view.recall, sample->session->config->probe_every));
    if (sample->session->config->text) TRY(copy_text(view.text, &record->text));
    *record_out = record;
    return STATUS_OK;
}
