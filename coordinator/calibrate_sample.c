#include "coordinator/calibrate_sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/numbers.h"
#include "base/progress.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"
#include "coordinator/score_sequence.h"

static const size_t MAX_INPUT_BYTES = (size_t)1 << 30;

/* Long enough to reason about, and nothing that a model could know by heart. */
static const char *const own_prompt =
    "A water tank holds 840 litres. Pipe A fills 35 litres a minute, pipe B 21 litres a minute, and a leak loses 14 "
    "litres a minute. A opens first; B opens 6 minutes later; the leak begins 4 minutes after that. After how many "
    "minutes is the tank full? Work step by step, check the result in another way, and then do the same for a tank "
    "of 1,260 litres.";

bool calibrate_sample_is_given(const struct config *config) {
    return config->input && strcmp(config->input, "-") != 0;
}

void calibrate_sample_free(struct calibrate_sample *sample) {
    recall_free(&sample->recall);
    *sample = (struct calibrate_sample){0};
}

/* Runs all sequences, as many side by side as there are slots. total: tokens of all of them, or more. */
static enum status run_all(struct scheduler *scheduler, struct sequence *const *sequences, size_t n,
                           uint64_t total) {
    struct progress progress;
    enum status status = STATUS_OK;
    progress_begin(&progress, "calibrating", total, true);
    for (size_t n_begun = 0; status == STATUS_OK && (n_begun < n || scheduler_active(scheduler) > 0);) {
        if (n_begun < n && scheduler_has_room(scheduler)) {
            scheduler_add(scheduler, sequences[n_begun++]);
            continue;
        }
        status = scheduler_step(scheduler);
        uint64_t done = 0;
        for (size_t i = 0; i < n_begun; i++)
            done += (uint64_t)sequences[i]->n_planned;
        progress_update(&progress, done);
    }
    progress_end(&progress);
    return status;
}

/* ---- lines that were given */

struct line {
    struct score_line line;
    struct score_sequence score;
};

struct lines {
    struct score_context context;
    struct line *lines; /* [n], room for capacity */
    size_t n, capacity;
};

static enum status add_line(struct lines *lines, const char *text, size_t size, int64_t number,
                            int32_t budget) {
    if (lines->n == lines->capacity) {
        const size_t capacity = lines->capacity ? 2 * lines->capacity : 16;
        struct line *grown = realloc(lines->lines, capacity * sizeof *grown);
        if (!grown) return FAIL(STATUS_NO_MEMORY, "out of memory for input line %lld", (long long)number);
        lines->lines = grown;
        lines->capacity = capacity;
    }
    struct score_line *line = &lines->lines[lines->n].line;
    TRY(score_line_parse(text, size, number, &lines->context, line));
    lines->n++;
    if (line->n_prompt == line->n) line->n_prompt = (int32_t)smaller_i64(line->n, budget);
    return STATUS_OK;
}

static enum status parse_lines(struct lines *lines, const struct bytes *input, int32_t budget) {
    int64_t number = 0;
    for (size_t begin = 0, size; begin < input->size; begin += size + 1) {
        const char *text = input->data + begin, *end = memchr(text, '\n', input->size - begin);
        size = end ? (size_t)(end - text) : input->size - begin;
        number++;
        if (strspn(text, " \t\r") < size) TRY(add_line(lines, text, size, number, budget));
    }
    return STATUS_OK;
}

static enum status run_lines(const struct engine *engine, struct lines *lines, struct sequence **sequences,
                             struct calibrate_sample *sample) {
    struct scheduler *scheduler;
    uint64_t total = 0;
    for (size_t i = 0; i < lines->n; i++) {
        struct line *line = &lines->lines[i];
        score_sequence_begin(&line->score, &line->line, &lines->context);
        sequences[i] = &line->score.sequence;
        total += (uint64_t)line->line.n;
    }
    TRY(scheduler_create(engine, &scheduler));
    enum status status = run_all(scheduler, sequences, lines->n, total);
    scheduler_destroy(scheduler);
    for (size_t i = 0; i < lines->n && status == STATUS_OK; i++) {
        status = score_sequence_check(&lines->lines[i].score);
        if (status == STATUS_OK) status = recall_add(&sample->recall, &lines->lines[i].line.recall.seen);
    }
    sample->n_texts = (int64_t)lines->n;
    return status;
}

static void free_lines(struct lines *lines) {
    for (size_t i = 0; i < lines->n; i++)
        score_line_free(&lines->lines[i].line);
    free(lines->lines);
    tokenizer_close(lines->context.tokenizer);
}

static enum status run_given(const struct config *config, const struct engine *engine,
                             struct calibrate_sample *sample) {
    struct bytes input = {0};
    TRY(file_read_all(config->input, MAX_INPUT_BYTES, &input));
    struct lines lines = {.context = {.model = config->model,
                                      .context_length = engine->limits.context_length,
                                      .vocab_size = engine->limits.vocab_size}};
    enum status status = parse_lines(&lines, &input, config->budget);
    struct sequence **sequences = calloc(lines.n + 1, sizeof *sequences);
    if (status == STATUS_OK)
        status = sequences ? run_lines(engine, &lines, sequences, sample)
                           : FAIL(STATUS_NO_MEMORY, "out of memory for %zu input lines", lines.n);
    free(sequences);
    free_lines(&lines);
    bytes_free(&input);
    return status;
}

/* ---- answers of the model's own */

struct answer_list {
    struct generation **generations; /* [n], NULL until created */
    struct sequence **sequences;     /* [n] */
    size_t n;
};

static enum status run_answers(struct run_session *session, struct run_prompts *prompts,
                               struct answer_list *answers, struct calibrate_sample *sample) {
    uint64_t total = 0;
    for (size_t i = 0; i < answers->n; i++) {
        const struct generation_options options = run_session_options(session, i);
        const int64_t n_prompt = (int64_t)prompts->prompts[i].ids.n,
                      context = session->engine->limits.context_length;
        const int64_t n = options.max_tokens > 0 ? n_prompt + options.max_tokens : context;
        total += (uint64_t)smaller_i64(n, context);
        TRY(generation_create(&options, session->engine, session->tokenizer, &prompts->prompts[i].ids, 0,
                              &answers->generations[i]));
        answers->sequences[i] = generation_sequence(answers->generations[i]);
    }
    TRY(run_all(session->scheduler, answers->sequences, answers->n, total));
    for (size_t i = 0; i < answers->n; i++)
        TRY(recall_add(&sample->recall, &generation_view(answers->generations[i]).recall->seen));
    sample->n_texts = (int64_t)answers->n;
    return STATUS_OK;
}

static enum status run_prompts(struct run_session *session, struct calibrate_sample *sample) {
    struct run_prompts prompts;
    TRY(run_prompts_read(session->config, session->tokenizer, session->format, &prompts));
    struct answer_list answers = {
        .generations = calloc(prompts.n, sizeof *answers.generations),
        .sequences = calloc(prompts.n, sizeof *answers.sequences),
        .n = prompts.n,
    };
    const enum status status = answers.generations && answers.sequences
                                   ? run_answers(session, &prompts, &answers, sample)
                                   : FAIL(STATUS_NO_MEMORY, "out of memory for %zu answers", prompts.n);
    for (size_t i = 0; answers.generations && i < answers.n; i++)
        generation_destroy(answers.generations[i]);
    free(answers.generations);
    free(answers.sequences);
    run_prompts_free(&prompts);
    return status;
}

static enum status run_generated(const struct config *config, const struct engine *engine,
                                 struct calibrate_sample *sample) {
    const char *items[] = {own_prompt};
    struct config asking = *config;
    if (asking.prompts.n == 0) {
        asking.prompts = (struct text_list){items, 1};
        log_warn(
            "the model is asked to calculate in words: where that is not what it was made for, give it a "
            "text with --input or a question with --prompt");
    }
    struct run_session session;
    TRY(run_session_open(&asking, engine, &session));
    const enum status status = run_prompts(&session, sample);
    run_session_close(&session);
    return status;
}

enum status calibrate_sample_run(const struct config *config, const struct engine *engine,
                                 struct calibrate_sample *sample_out) {
    struct calibrate_sample sample = {0};
    enum status status = calibrate_sample_is_given(config) ? run_given(config, engine, &sample)
                                                           : run_generated(config, engine, &sample);
    if (status == STATUS_OK && sample.recall.seen.n_steps == 0)
        status =
            FAIL(STATUS_BAD_INPUT,
                 "the text is too short to calibrate with: at no step decoded there are more than the %d "
                 "tokens of --budget",
                 config->budget);
    if (status != STATUS_OK) {
        calibrate_sample_free(&sample);
        return status;
    }
    *sample_out = sample;
    return STATUS_OK;
}
