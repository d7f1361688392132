/* coordinator/bench_report.h - what `bench` measured, as a Markdown table, CSV, JSON or a JSON object per
 * line.
 *
 * The fields that llama-bench has too keep its names and meanings, so that its readers read ours; a rate is
 * tokens per second, of the prompt and generated ones together, without those of the depth.
 *
 * Memory:  nothing outlives a call.
 * Threads: one at a time.
 * Ranks:   rank 0; writes to standard output. */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/status.h"
#include "cluster/engine.h"
#include "coordinator/bench_model.h"
#include "coordinator/bench_plan.h"
#include "coordinator/bench_run.h"

struct bench_record {
    const struct config *config;
    const struct engine *engine;
    const struct bench_model *model;
    struct bench_engine choice;
    struct bench_test test;
    struct bench_result result;
    time_t began;
};

NODISCARD enum status bench_report_begin(enum bench_format format);
/* `first`: no record was written before. */
NODISCARD enum status bench_report_record(enum bench_format format, const struct bench_record *record,
                                          bool first);
NODISCARD enum status bench_report_end(enum bench_format format, const struct engine *engine);
