/* `caucus score`: log probabilities of given tokens, as other implementations would compute them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "coordinator/commands.h"
#include "coordinator/scheduler.h"
#include "coordinator/score_line.h"
#include "coordinator/score_sequence.h"

static const size_t MAX_INPUT_BYTES = (size_t)4 << 30;

/* Finished lines wait for a slow one before them: at most so many for every slot. */
enum { JOBS_PER_SLOT = 4 };

/* A line on its way through the engine. Lines are written in the order in which they came. */
struct job {
    struct job *next;
    size_t input_bytes;
    struct score_line line;
    struct score_sequence sequence;
};

struct score_run {
    const struct config *config;
    const struct engine *engine;
    struct score_context context;
    struct scheduler *scheduler;
    struct bytes input;
    size_t input_read;
    size_t input_scored; /* bytes of the lines that are written */
    int64_t n_lines;
    struct job *oldest, *newest;
    int32_t n_jobs;
    struct bytes text;    /* of the output line being written */
    struct recall recall; /* of all lines written */
    FILE *output;
    struct progress progress;
};

/* The next line that is not blank; false at the end. */
static bool next_line(struct score_run *run, const char **line_out, size_t *size_out) {
    while (run->input_read < run->input.size) {
        const char *line = run->input.data + run->input_read;
        const size_t left = run->input.size - run->input_read;
        const char *end = memchr(line, '\n', left);
        const size_t size = end ? (size_t)(end - line) : left;
        run->input_read += size + (end != NULL);
        run->n_lines++;
        if (strspn(line, " \t\r") < size) {
            *line_out = line;
            *size_out = size;
            return true;
        }
    }
    return false;
}

static enum status start_job(struct score_run *run, const char *text, size_t size) {
    struct job *job = calloc(1, sizeof *job);
    if (!job) return FAIL(STATUS_NO_MEMORY, "out of memory for input line %lld", (long long)run->n_lines);
    const enum status status = score_line_parse(text, size, run->n_lines, &run->context, &job->line);
    if (status != STATUS_OK) {
        free(job);
        return status;
    }
    score_sequence_begin(&job->sequence, &job->line, &run->context);
    job->input_bytes = size + 1;
    scheduler_add(run->scheduler, &job->sequence.sequence);
    if (run->newest)
        run->newest->next = job;
    else
        run->oldest = job;
    run->newest = job;
    run->n_jobs++;
    return STATUS_OK;
}

static void end_oldest_job(struct score_run *run) {
    struct job *job = run->oldest;
    run->oldest = job->next;
    if (!run->oldest) run->newest = NULL;
    run->n_jobs--;
    run->input_scored += job->input_bytes;
    score_line_free(&job->line);
    free(job);
}

static enum status write_finished_jobs(struct score_run *run) {
    while (run->oldest && run->oldest->sequence.sequence.finished(&run->oldest->sequence)) {
        TRY(score_sequence_check(&run->oldest->sequence));
        bytes_clear(&run->text);
        TRY(score_line_print(&run->oldest->line, &run->context, &run->text));
        if (fwrite(run->text.data, 1, run->text.size, run->output) != run->text.size ||
            fflush(run->output) != 0)
            return FAIL(STATUS_IO, "cannot write the scores: %s", strerror(errno));
        if (run->engine->probe) TRY(recall_add(&run->recall, &run->oldest->line.recall.seen));
        end_oldest_job(run);
    }
    return STATUS_OK;
}

static bool has_room(const struct score_run *run) {
    return scheduler_has_room(run->scheduler) && run->n_jobs < JOBS_PER_SLOT * run->engine->limits.max_slots;
}

static enum status start_jobs(struct score_run *run) {
    const char *line;
    size_t size;
    while (has_room(run) && next_line(run, &line, &size))
        TRY(start_job(run, line, size));
    return STATUS_OK;
}

/* Bytes of the input that are scored: of lines under way as large a part as of their tokens. */
static uint64_t input_done(const struct score_run *run) {
    double done = (double)run->input_scored;
    for (const struct job *job = run->oldest; job; job = job->next)
        done += (double)job->input_bytes * job->sequence.n_scored / job->line.n;
    return (uint64_t)done;
}

/* A bad line ends the reading, but what came before it is still written: the output is the same however many
 * lines run side by side. */
static enum status score_all(struct score_run *run) {
    enum status input = STATUS_OK;
    for (;;) {
        if (input == STATUS_OK) input = start_jobs(run);
        if (scheduler_active(run->scheduler) == 0) return input;
        TRY(scheduler_step(run->scheduler));
        TRY(write_finished_jobs(run));
        progress_update(&run->progress, input_done(run));
    }
}

static enum status open_output(struct score_run *run) {
    const char *path = run->config->output;
    const bool standard_output = !path || strcmp(path, "-") == 0;
    run->output = standard_output ? stdout : fopen(path, "w");
    if (!run->output) return FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    return STATUS_OK;
}

static enum status close_output(struct score_run *run) {
    if (!run->output || run->output == stdout) return STATUS_OK;
    if (fclose(run->output) != 0)
        return FAIL(STATUS_IO, "cannot write %s: %s", run->config->output, strerror(errno));
    return STATUS_OK;
}

static enum status show_recall(struct score_run *run) {
    if (!run->recall.memory) return STATUS_OK;
    bytes_clear(&run->text);
    TRY(recall_line(&run->recall, &run->text));
    fprintf(stderr, "%s\n", run->text.data);
    return STATUS_OK;
}

static enum status run_score(struct score_run *run) {
    TRY(file_read_all(run->config->input ? run->config->input : "-", MAX_INPUT_BYTES, &run->input));
    TRY(open_output(run));
    TRY(scheduler_create(run->engine, &run->scheduler));
    progress_begin(&run->progress, "scoring", run->input.size, run->output != stdout);
    const enum status status = score_all(run);
    progress_end(&run->progress);
    return status == STATUS_OK ? show_recall(run) : status;
}

static int by_position(const void *a, const void *b) {
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Positions are keys of the output's "logits", so none may come twice. */
static enum status check_logits_positions(const struct config *config) {
    const size_t n = config->n_logits_positions;
    if (n < 2) return STATUS_OK;
    int64_t *sorted = malloc(n * sizeof *sorted);
    if (!sorted) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu positions", n);
    memcpy(sorted, config->logits_positions, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_position);
    enum status status = STATUS_OK;
    for (size_t i = 1; i < n && status == STATUS_OK; i++)
        if (sorted[i] == sorted[i - 1])
            status =
                FAIL(STATUS_BAD_INPUT, "--logits names position %lld more than once", (long long)sorted[i]);
    free(sorted);
    return status;
}

enum status command_score_check(const struct config *config) {
    TRY(check_logits_positions(config));
    if (config->input) TRY(file_check_readable(config->input));
    return config->output ? file_check_writable(config->output) : STATUS_OK;
}

enum status command_score(const struct config *config, const struct engine *engine) {
    struct score_run run = {
        .config = config,
        .engine = engine,
        .context = {.model = config->model,
                    .context_length = engine->limits.context_length,
                    .vocab_size = engine->limits.vocab_size,
                    .correct_every = config->correct_every,
                    .logits_positions = config->logits_positions,
                    .n_logits_positions = config->n_logits_positions},
    };
    enum status status = run_score(&run);
    while (run.oldest)
        end_oldest_job(&run);
    scheduler_destroy(run.scheduler);
    bytes_free(&run.input);
    bytes_free(&run.text);
    recall_free(&run.recall);
    tokenizer_close(run.context.tokenizer);
    const enum status closed = close_output(&run);
    return status == STATUS_OK ? closed : status;
}
