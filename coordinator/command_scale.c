/* caucus scale: the same measurements on several numbers of ranks, which it starts itself, by turns: whatever
 * else the machines do meets all of them alike. */
#include <stdio.h>
#include <unistd.h>

#include "base/launcher.h"
#include "base/log.h"
#include "base/progress.h"
#include "coordinator/bench_plan.h"
#include "coordinator/commands.h"
#include "coordinator/figure.h"
#include "coordinator/scale_launch.h"
#include "coordinator/scale_report.h"

static enum status check_depths(const struct config *config) {
    if (!config->weak) return STATUS_OK;
    if (config->sweep_depth)
        return FAIL(STATUS_BAD_INPUT, "--weak and --sweep-depth both choose the depths: leave one out");
    for (size_t i = 0; i < config->n_depths; i++)
        if (config->depths[i] == 0)
            return FAIL(STATUS_BAD_INPUT, "--weak gives each rank the same depth: name it with -d, above 0");
    return STATUS_OK;
}

static enum status check_ranks(const struct config *config) {
    for (size_t i = 0; i < config->n_rank_counts; i++) {
        const long long n = config->rank_counts[i];
        for (size_t j = 0; j < i; j++)
            if (config->rank_counts[j] == n) return FAIL(STATUS_BAD_INPUT, "--np has %lld twice", n);
        if (config->shares.n > 0 && config->shares.n != n)
            return FAIL(STATUS_BAD_INPUT, "--shares has %d numbers, but --np %lld ranks: give it auto",
                        config->shares.n, n);
    }
    return STATUS_OK;
}

static enum status check(const struct config *config) {
    if (launcher_present())
        return FAIL(STATUS_BAD_INPUT, "scale starts its ranks itself: run it without mpirun; how it starts "
                                      "them is said by --launcher");
    TRY(check_depths(config));
    TRY(check_ranks(config));
    TRY(bench_plan_check(config));
    return config->plot ? figure_check(config->plot) : STATUS_OK;
}

/* Every number of ranks once, and again. */
static enum status measure(const struct config *config, struct scale_study *study) {
    struct progress progress;
    const uint64_t n = (uint64_t)config->repetitions * config->n_rank_counts;
    progress_begin(&progress, "measuring", n, true);
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < n && status == STATUS_OK; i++) {
        const int32_t n_ranks = (int32_t)config->rank_counts[i % config->n_rank_counts];
        log_info(1, "round %d of %d: %d ranks", (int)(i / config->n_rank_counts) + 1, config->repetitions,
                 n_ranks);
        status = scale_launch(config, n_ranks, study);
        progress_update(&progress, i + 1);
    }
    progress_end(&progress);
    return status;
}

enum status command_scale(const struct config *config) {
    struct scale_study study = {.weak = config->weak};
    TRY(check(config));
    enum status status = measure(config, &study);
    if (status != STATUS_OK && study.n > 0) {
        /* its sentence must outlive what is printed now */
        fprintf(stderr, "caucus: %s\ncaucus: what was measured before:\n", status_message());
        status = FAIL(status, "the study is not complete");
    }
    scale_study_finish(&study);
    const enum status printed = study.n > 0 ? scale_report_print(&study, config->bench_format) : STATUS_OK;
    if (status == STATUS_OK) status = printed;
    if (status == STATUS_OK && config->plot) status = scale_report_plot(&study, config->plot);
    scale_study_free(&study);
    return status;
}
