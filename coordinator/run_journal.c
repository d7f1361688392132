#include "coordinator/run_journal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "coordinator/answer_settings.h"
#include "coordinator/bench_plan.h"
#include "coordinator/eval_method.h"
#include "coordinator/journal.h"
#include "coordinator/json_build.h"

static const struct line_format format = {
    .key = JOURNAL_KEY,
    .version = JOURNAL_VERSION,
    .noun = "journal of caucus",
    .cure = "choose another --journal",
    .writer = "caucus run",
};

struct run_journal {
    const struct config *config;
    struct journal *journal;
    size_t *indices; /* [n answers] in the journal */
};

/* ---- what an answer depends on ---- */

/* To the answers' settings (taken) those of attention, which eval keeps apart. */
static enum status add_attention(const struct config *config, json_t **settings) {
    struct bytes options = {0};
    const int32_t budget = bench_plan_has_budget(config->policy) ? config->budget : 0;
    enum status status = bytes_append_text(&options, "");
    if (status == STATUS_OK) status = eval_method_print_options(config, NULL, &options);
    *settings = json_with(*settings, "policy", json_string(config->policy));
    *settings = json_with(*settings, "budget", json_integer(budget));
    *settings = json_with(*settings, "options", json_lossy_text(options.data, options.size));
    *settings = json_with(*settings, "fill-kv", json_integer(config->fill_kv));
    bytes_free(&options);
    if (status != STATUS_OK || *settings) return status;
    return FAIL(STATUS_NO_MEMORY, "out of memory for the settings");
}

/* Of one answer under the same settings: by its prompt, and its place among several that may be alike. */
static uint64_t fingerprint_of(const struct token_list *prompt, size_t index) {
    const uint64_t place = index;
    const uint64_t fingerprint = fingerprint_add(FINGERPRINT_BEGIN, &place, sizeof place);
    return fingerprint_add(fingerprint, prompt->ids, prompt->n * sizeof *prompt->ids);
}

static json_t *prompts_json(const struct run_prompts *prompts) {
    uint64_t fingerprint = FINGERPRINT_BEGIN;
    for (size_t i = 0; i < prompts->n; i++) {
        const uint64_t one = fingerprint_of(&prompts->prompts[i].ids, i);
        fingerprint = fingerprint_add(fingerprint, &one, sizeof one);
    }
    return json_sprintf("%016" PRIx64, fingerprint);
}

/* ---- before the model is loaded ---- */

static enum status check_settings(const struct config *config) {
    json_t *settings;
    TRY(answer_settings_create(config, &settings));
    enum status status = add_attention(config, &settings);
    if (status == STATUS_OK) status = journal_check(&format, config->journal, settings);
    json_decref(settings);
    return status;
}

enum status run_journal_check(const struct config *config) {
    if (!config->journal) return STATUS_OK;
    if (strcmp(config->journal, "-") == 0)
        return FAIL(STATUS_BAD_INPUT, "--journal must be a file: it is what run goes on from");
    TRY(file_check_writable(config->journal));
    return check_settings(config);
}

enum status run_journal_lock(const struct config *config, int *lock_out) {
    return config->journal ? line_file_lock(&format, config->journal, lock_out) : STATUS_OK;
}

/* ---- answers ---- */

static enum status make_header(const struct run_session *session, const struct run_prompts *prompts,
                               json_t **header_out) {
    const struct config *config = session->config;
    json_t *settings;
    TRY(answer_settings_of(config, session->model, session->format, &settings));
    enum status status = add_attention(config, &settings);
    settings = json_with(settings, "prompts", prompts_json(prompts));
    if (status == STATUS_OK) status = answer_settings_header(&format, config, settings, header_out);
    json_decref(settings);
    return status;
}

static enum status find_answers(struct run_journal *journal, const struct run_prompts *prompts) {
    journal->indices = calloc(prompts->n, sizeof *journal->indices);
    if (!journal->indices) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu answers", prompts->n);
    for (size_t i = 0; i < prompts->n; i++)
        TRY(journal_answer(journal->journal, fingerprint_of(&prompts->prompts[i].ids, i),
                           &journal->indices[i]));
    return STATUS_OK;
}

static enum status open_journal(struct run_journal *journal, const struct run_session *session,
                                const struct run_prompts *prompts) {
    json_t *header;
    TRY(make_header(session, prompts, &header));
    const enum status status = journal_open(&format, session->config->journal, header, &journal->journal);
    json_decref(header);
    return status == STATUS_OK ? find_answers(journal, prompts) : status;
}

enum status run_journal_open(const struct run_session *session, const struct run_prompts *prompts,
                             struct run_journal **journal_out) {
    *journal_out = NULL;
    if (!session->config->journal) return STATUS_OK;
    struct run_journal *journal = calloc(1, sizeof *journal);
    if (!journal) return FAIL(STATUS_NO_MEMORY, "out of memory for the journal");
    journal->config = session->config;
    const enum status status = open_journal(journal, session, prompts);
    if (status != STATUS_OK) {
        run_journal_close(journal);
        return status;
    }
    *journal_out = journal;
    return STATUS_OK;
}

void run_journal_close(struct run_journal *journal) {
    if (!journal) return;
    journal_close(journal->journal);
    free(journal->indices);
    free(journal);
}

/* Are keys and values the same whether a token is read or decoded? */
static bool is_dense(const struct config *config) {
    return strcmp(config->policy, "full") == 0 && config->emulate < 0 && config->correct_every == 0;
}

struct known_tokens run_journal_known(const struct run_journal *journal, size_t index) {
    if (!journal) return (struct known_tokens){0};
    const struct journal_tokens tokens = journal_tokens(journal->journal, journal->indices[index]);
    return (struct known_tokens){
        .ids = tokens.ids,
        .n = tokens.n,
        .source = journal->config->journal,
        .are_read = is_dense(journal->config),
        .are_trusted = journal->config->numerics != NUMERICS_REPRODUCIBLE,
    };
}

enum status run_journal_note(struct run_journal *journal, size_t index, const struct generation *generation) {
    if (!journal) return STATUS_OK;
    const struct generation_view view = generation_view(generation);
    const struct journal_tokens tokens = {.ids = view.generated, .n = view.n_generated};
    return journal_note(journal->journal, journal->indices[index], tokens);
}

enum status run_journal_flush(struct run_journal *journal) {
    return journal ? journal_flush(journal->journal) : STATUS_OK;
}
