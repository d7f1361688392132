/* coordinator/bench_plan.h - what `bench` runs: engines one after the other, and on each of them all tests.
 *
 * Engines are every policy with every budget (one suffices where a policy has none, as `full`) and every
 * number of threads. Tests are those of every depth and number of sequences: prompts, generations, and
 * prompts with generations.
 *
 * Memory:  bench_plan_tests allocates.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "coordinator/config.h"

struct bench_engine {
    char policy[ENGINE_NAME_MAX];
    int32_t budget;
    int32_t n_threads; /* 0: as the engine sees fit */
};

struct bench_test {
    int64_t n_prompt; /* of each sequence, likewise the others */
    int64_t n_gen;
    int64_t n_depth;
    int32_t n_parallel; /* sequences side by side, at least 1 */
};

/* What is wrong with the options of bench taken together: policies, pairs, a context too short. */
NODISCARD enum status bench_plan_check(const struct config *config);

/* Of these, only the list of policies, for eval too. */
NODISCARD enum status bench_plan_check_policies(const struct config *config);

/* Does the policy look at the budget? */
bool bench_plan_has_budget(const char *policy);

int32_t bench_plan_engines(const struct config *config);
/* The `index`-th; the policy's name is looked at by nobody yet. */
struct bench_engine bench_plan_engine(const struct config *config, int32_t index);

/* Tokens that a sequence must be able to hold, or 0 where that is for the model to say. */
int64_t bench_plan_context(const struct config *config);

/* The tests in their order, to be freed with free(3). One that exceeds the engine's context:
 * STATUS_BAD_INPUT. */
NODISCARD enum status bench_plan_tests(const struct config *config, int64_t context_length,
                                       struct bench_test **tests_out, size_t *n_out);
