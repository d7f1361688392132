/* coordinator/bench_run.h - one test of `bench`, timed.
 *
 * Tokens are random, as llama-bench's; from every row of logits a token is drawn greedily, on the clock, and
 * thrown away. What lies in the cache before a test is made once and reused by its repetitions.
 *
 * Memory:  bench_runner_create allocates; a result's times live until bench_result_free.
 * Threads: main thread only.
 * Ranks:   rank 0; every step is a collective inside the engine. */
#pragma once

#include <stdint.h>

#include "base/progress.h"
#include "base/status.h"
#include "cluster/engine.h"
#include "coordinator/bench_plan.h"

struct bench_options {
    int32_t repetitions;
    bool warmup;
    bool prefill_depth;
};

struct bench_result {
    int32_t n_samples;
    double *seconds; /* [n_samples] */

    /* of all samples together */
    struct step_times times;
    double sample_seconds;     /* drawing tokens */
    int64_t weight_bytes_read; /* by steps that only decode, all ranks … */
    int64_t kv_bytes_read;
    int64_t attended_tokens; /* in a sparse layer of the last step that decoded, else 0 */

    /* after the last sample */
    int64_t resident_bytes; /* of the rank that has most */
    int64_t overhead_bytes; /* resident beyond weights and KV pages in use, where most */
    int64_t weight_bytes;   /* of all ranks */
    int64_t kv_bytes;       /* likewise */

    double read_rate; /* bytes per second that all threads can read: mean of before and after the test */
};
void bench_result_free(struct bench_result *result);

struct bench_runner;

/* Measures how fast memory is read for the first time. */
NODISCARD enum status bench_runner_create(const struct engine *engine, const struct bench_options *options,
                                          struct bench_runner **runner_out);
void bench_runner_destroy(struct bench_runner *runner); /* NULL is allowed */

/* How much a repetition of a test adds to the progress bar, which goes on from test to test. */
uint64_t bench_work(const struct bench_test *test);

NODISCARD enum status bench_run(struct bench_runner *runner, const struct bench_test *test,
                                struct progress *progress, struct bench_result *result_out);
