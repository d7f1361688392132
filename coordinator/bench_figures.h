/* coordinator/bench_figures.h - from the times of a test to the figures that are printed.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stdint.h>

#include "coordinator/bench_plan.h"
#include "coordinator/bench_run.h"

struct bench_figures {
    double mean_ns, deviation_ns;     /* of a sample; deviations are 0 where there is but one */
    double mean_rate, deviation_rate; /* tokens per second, of all sequences */
    double compute_ms, sync_ms, select_ms, sample_ms; /* per token */
    double agree_ms;                                  /* of select_ms */

    /* Of tests that only generate, 0 otherwise. */
    double bytes_per_token; /* weights and attended keys and values, all ranks */
    double bytes_per_second;
    double share; /* of what all threads can read */
};

/* Tokens per second of sample i. */
double bench_figures_rate(const struct bench_test *test, const struct bench_result *result, int32_t i);
struct bench_figures bench_figures_of(const struct bench_test *test, const struct bench_result *result);
