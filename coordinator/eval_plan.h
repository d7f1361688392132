/* coordinator/eval_plan.h - what `eval` runs: engines one after the other, and on each of them the samples
 * that the results do not have yet.
 *
 * Engines are `full`, unless it is not wanted as the baseline, and every other policy with every budget.
 *
 * Memory:  the caller frees what is allocated.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/eval_problem.h"
#include "coordinator/eval_results.h"

int32_t eval_plan_engines(const struct config *config);
NODISCARD enum status eval_plan_method(const struct config *config, int32_t index,
                                       struct eval_method *method_out);

struct eval_todo {
    int64_t problem, sample;
};

/* [n_out], problem by problem, to be freed with free(3). Results of other problems of the same numbers, as
 * from a file that was changed: STATUS_BAD_INPUT. */
NODISCARD enum status eval_plan_todo(const struct config *config, const struct eval_method *method,
                                     const struct eval_problems *problems, const struct eval_results *results,
                                     struct eval_todo **todo_out, size_t *n_out);

/* What all engines need: problems, results so far, settings. */
struct eval_input {
    struct eval_problems problems;
    struct eval_results results;
    json_t *settings;
};

/* Results under other settings: STATUS_BAD_INPUT. */
NODISCARD enum status eval_input_read(const struct config *config, struct eval_input *input_out);
void eval_input_free(struct eval_input *input);

/* What the options are wrong in, files included, before a model is loaded. */
NODISCARD enum status eval_plan_check(const struct config *config);

/* Sequences side by side where the user did not say: as many as fit this host's memory with a full context,
 * at most 16. */
NODISCARD enum status eval_plan_parallel(const struct config *config, int32_t *n_out);
