/* caucus eval: how often a model is right under each policy and budget, and what that costs. Runs once for
 * each engine; the summary is of what is in the file of results when all are done. */
#include <stdlib.h>

#include "base/file.h"
#include "coordinator/commands.h"
#include "coordinator/eval_journal.h"
#include "coordinator/eval_plan.h"
#include "coordinator/eval_plot.h"
#include "coordinator/eval_run.h"
#include "coordinator/eval_summary.h"
#include "coordinator/figure.h"

enum status command_eval_check(const struct config *config) {
    if (config->plot) TRY(figure_check(config->plot));
    return eval_plan_check(config);
}

enum status command_eval_needs(const struct config *config, int32_t index, bool *needed_out) {
    struct eval_input input;
    struct eval_method method;
    struct eval_todo *todo = NULL;
    size_t n = 0;
    TRY(eval_plan_method(config, index, &method));
    TRY(eval_input_read(config, &input));
    const enum status status = eval_plan_todo(config, &method, &input.problems, &input.results, &todo, &n);
    free(todo);
    eval_input_free(&input);
    *needed_out = n > 0;
    return status;
}

enum status command_eval(const struct config *config, int32_t index, const struct engine *engine) {
    struct eval_input input;
    TRY(eval_input_read(config, &input));
    const enum status status = eval_run(config, index, engine, &input);
    eval_input_free(&input);
    return status;
}

static enum status show(const struct config *config, const struct eval_results *results) {
    struct eval_summary summary;
    TRY(eval_summary_create(results, &summary));
    enum status status = eval_summary_print(&summary, config->bench_format);
    if (status == STATUS_OK && config->plot) status = eval_plot(&summary, results, config->plot);
    eval_summary_free(&summary);
    return status;
}

enum status command_eval_summary(const struct config *config) {
    const char *path = config->summary_only ? config->summary_only : config->results;
    struct eval_results results;
    TRY(config->summary_only ? file_check_readable(path) : eval_journal_remove(config));
    if (config->summary_only && config->plot) TRY(figure_check(config->plot));
    TRY(eval_results_read(path, &results));
    const enum status status =
        results.n > 0 ? show(config, &results) : FAIL(STATUS_BAD_INPUT, "%s has no results yet", path);
    eval_results_free(&results);
    return status;
}
