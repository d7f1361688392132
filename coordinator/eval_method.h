/* coordinator/eval_method.h - how an engine reads its cache: policy, budget, and the policy's options.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "cluster/engine.h"
#include "coordinator/config.h"

/* What eval's results are grouped by. */
struct eval_method {
    char policy[ENGINE_NAME_MAX];
    int32_t budget;                   /* 0: has none */
    char options[ENGINE_OPTIONS_MAX]; /* of the policies, where not as by default: "sinks=8 dense-below=64" */
};

/* The method of a policy (ENGINE_NAME_MAX) under these options; its budget counts where it has one. */
NODISCARD enum status eval_method_create(const struct config *config, const char *policy, int32_t budget,
                                         struct eval_method *method_out);

/* Appends the options that say how a cache is read, where not as by default, "sinks=8 dense-below=64": those
 * that the policy looks at, or with NULL all. */
NODISCARD enum status eval_method_print_options(const struct config *config, const char *policy,
                                                struct bytes *text);

bool eval_method_equals(const struct eval_method *a, const struct eval_method *b);

/* Plain dense attention: what others are held to. */
bool eval_method_is_full(const struct eval_method *method);
