/* caucus bench: how fast tokens are read and generated, and what that is of what memory could give. Runs once
 * for each engine; the first writes the beginning of the output, the last its end. */
#include <stdlib.h>

#include "coordinator/bench_model.h"
#include "coordinator/bench_report.h"
#include "coordinator/bench_run.h"
#include "coordinator/commands.h"

/* All tests on one engine. */
struct bench {
    const struct config *config;
    struct bench_model model;
    struct bench_record record; /* of the test under way */
    struct bench_runner *runner;
    struct bench_test *tests; /* [n_tests] */
    size_t n_tests;
    struct progress progress;
    bool first; /* nothing was written before */
};

static enum status run_test(struct bench *bench, const struct bench_test *test) {
    bench->record.test = *test;
    bench->record.began = time(NULL);
    TRY(bench_run(bench->runner, test, &bench->progress, &bench->record.result));
    progress_hide(&bench->progress);
    const enum status status = bench_report_record(bench->config->bench_format, &bench->record, bench->first);
    bench_result_free(&bench->record.result);
    bench->first = false;
    return status;
}

static enum status run_tests(struct bench *bench) {
    uint64_t work = 0;
    for (size_t i = 0; i < bench->n_tests; i++)
        work += bench_work(&bench->tests[i]) * (uint64_t)bench->config->repetitions;
    progress_begin(&bench->progress, "measuring", work, true);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < bench->n_tests && status == STATUS_OK; i++)
        status = run_test(bench, &bench->tests[i]);
    progress_end(&bench->progress);
    return status;
}

static enum status open_bench(struct bench *bench, const struct engine *engine) {
    const struct config *config = bench->config;
    const struct bench_options options = {
        .repetitions = config->repetitions, .warmup = config->warmup, .prefill_depth = config->prefill_depth};
    TRY(bench_plan_tests(config, engine->limits.context_length, &bench->tests, &bench->n_tests));
    TRY(bench_model_read(config->model, config->weights, &bench->model));
    return bench_runner_create(engine, &options, &bench->runner);
}

enum status command_bench(const struct config *config, int32_t index, const struct engine *engine) {
    struct bench bench = {.config = config, .first = index == 0};
    bench.record = (struct bench_record){.config = config,
                                         .engine = engine,
                                         .model = &bench.model,
                                         .choice = bench_plan_engine(config, index)};
    enum status status = open_bench(&bench, engine);
    if (status == STATUS_OK && index == 0) status = bench_report_begin(config->bench_format);
    if (status == STATUS_OK) status = run_tests(&bench);
    if (status == STATUS_OK && index == bench_plan_engines(config) - 1)
        status = bench_report_end(config->bench_format, engine);
    bench_runner_destroy(bench.runner);
    free(bench.tests);
    return status;
}
