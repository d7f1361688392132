#include "coordinator/eval_plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/file.h"
#include "base/numbers.h"
#include "coordinator/answer_settings.h"
#include "coordinator/bench_plan.h"
#include "coordinator/eval_journal.h"
#include "coordinator/memory_plan.h"

enum { PARALLEL_MOST = 16 };

/* ---- engines ---- */

static bool is_full(const char *policy) {
    return strcmp(policy, "full") == 0;
}

/* `full` comes first, and once. */
static bool has_full(const struct config *config) {
    for (int32_t i = 0; i < bench_plan_engines(config); i++)
        if (is_full(bench_plan_engine(config, i).policy)) return true;
    return config->baseline;
}

static int32_t count_others(const struct config *config) {
    int32_t n = 0;
    for (int32_t i = 0; i < bench_plan_engines(config); i++)
        n += !is_full(bench_plan_engine(config, i).policy);
    return n;
}

int32_t eval_plan_engines(const struct config *config) {
    return has_full(config) + count_others(config);
}

/* The `index`-th policy that is not `full`, with its budget. */
static struct bench_engine other_at(const struct config *config, int32_t index) {
    for (int32_t i = 0;; i++) {
        const struct bench_engine choice = bench_plan_engine(config, i);
        if (!is_full(choice.policy) && index-- == 0) return choice;
    }
}

enum status eval_plan_method(const struct config *config, int32_t index, struct eval_method *method_out) {
    const int32_t other = index - has_full(config);
    if (other < 0) return eval_method_create(config, "full", 0, method_out);
    const struct bench_engine choice = other_at(config, other);
    return eval_method_create(config, choice.policy, choice.budget, method_out);
}

/* ---- samples ---- */

/* Marks what the results have of the method, and checks that they are of these problems. */
static enum status mark_done(const struct config *config, const struct eval_method *method,
                             const struct eval_problems *problems, const struct eval_results *results,
                             bool *done) {
    for (size_t i = 0; i < results->n; i++) {
        const struct eval_record *record = &results->records[i];
        if (record->problem >= (int64_t)problems->n) continue;
        const struct eval_problem *problem = &problems->items[record->problem];
        if (record->fingerprint != problem->fingerprint)
            return FAIL(STATUS_BAD_INPUT,
                        "%s was begun with another problem %lld than %s:%lld; choose another --results",
                        config->results, (long long)record->problem, problem->file, (long long)problem->line);
        if (record->sample < config->samples && eval_method_equals(&record->method, method))
            done[record->problem * config->samples + record->sample] = true;
    }
    return STATUS_OK;
}

enum status eval_plan_todo(const struct config *config, const struct eval_method *method,
                           const struct eval_problems *problems, const struct eval_results *results,
                           struct eval_todo **todo_out, size_t *n_out) {
    const size_t n = problems->n * (size_t)config->samples;
    bool *done = calloc(n, sizeof *done);
    struct eval_todo *todo = calloc(n, sizeof *todo);
    enum status status = done && todo ? mark_done(config, method, problems, results, done)
                                      : FAIL(STATUS_NO_MEMORY, "out of memory for %zu samples", n);
    size_t n_todo = 0;
    for (size_t i = 0; status == STATUS_OK && i < n; i++)
        if (!done[i])
            todo[n_todo++] = (struct eval_todo){(int64_t)i / config->samples, (int64_t)i % config->samples};
    free(done);
    if (status != STATUS_OK) {
        free(todo);
        return status;
    }
    *todo_out = todo;
    *n_out = n_todo;
    return STATUS_OK;
}

/* ---- input ---- */

static enum status read_input(const struct config *config, struct eval_input *input) {
    TRY(eval_problems_read(config->problems, config->limit, &input->problems));
    TRY(answer_settings_create(config, &input->settings));
    TRY(eval_results_read(config->results, &input->results));
    TRY(eval_results_check(&input->results, config->results, input->settings));
    return eval_results_check_probe(&input->results, config);
}

enum status eval_input_read(const struct config *config, struct eval_input *input_out) {
    struct eval_input input = {0};
    const enum status status = read_input(config, &input);
    if (status != STATUS_OK) {
        eval_input_free(&input);
        return status;
    }
    *input_out = input;
    return STATUS_OK;
}

void eval_input_free(struct eval_input *input) {
    eval_problems_free(&input->problems);
    eval_results_free(&input->results);
    json_decref(input->settings);
    *input = (struct eval_input){0};
}

static enum status check_files(const struct config *config) {
    for (size_t i = 0; i < config->problems.n; i++) {
        if (strcmp(config->problems.items[i], "-") == 0)
            return FAIL(STATUS_BAD_INPUT,
                        "--problems cannot be standard input: eval reads the problems anew for each policy");
        TRY(file_check_readable(config->problems.items[i]));
    }
    if (strcmp(config->results, "-") == 0)
        return FAIL(STATUS_BAD_INPUT, "--results must be a file: it is what eval goes on from");
    return file_check_writable(config->results);
}

enum status eval_plan_check(const struct config *config) {
    TRY(bench_plan_check_policies(config));
    TRY(check_files(config));
    struct eval_input input;
    TRY(eval_input_read(config, &input));
    struct eval_todo *todo = NULL;
    size_t n;
    enum status status =
        eval_plan_todo(config, &(struct eval_method){0}, &input.problems, &input.results, &todo, &n);
    if (status == STATUS_OK) status = eval_journal_check(config, input.settings);
    free(todo);
    eval_input_free(&input);
    return status;
}

/* ---- memory ---- */

static int64_t host_memory_bytes(void) {
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (int64_t)info.totalram * (int64_t)info.mem_unit : INT64_MAX;
}

enum status eval_plan_parallel(const struct config *config, int32_t *n_out) {
    struct model_file *model;
    struct memory_plan *plan = NULL;
    TRY(model_file_open(config->model, &model));
    const int64_t model_context = model_file_spec(model)->context_length;
    const enum status status =
        memory_plan_create(model, 1, &(struct shares){0}, false, config->weights, config->kv_type, &plan);
    model_file_close(model);
    TRY(status);
    const int64_t context = config->context > 0 ? config->context : model_context;
    int64_t sequence_bytes = larger_i64(plan->total.kv_bytes_per_token * context, 1);
    if (config->probe == PROBE_RECALL) sequence_bytes += sequence_bytes / 2; /* it keeps the keys once more */
    const int64_t free_bytes = host_memory_bytes() / 4 * 3 - plan->total.weight_bytes;
    memory_plan_destroy(plan);
    *n_out = (int32_t)smaller_i64(larger_i64(free_bytes / sequence_bytes, 1), PARALLEL_MOST);
    return STATUS_OK;
}
