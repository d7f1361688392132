/* tests/cluster/random_plan.h - valid plans of any shape, the same on every rank for the same index. */
#pragma once

#include <stdint.h>

#include "cluster/step_plan.h"

struct random_plan {
    struct step_plan plan;
    struct step_span *spans;
    int32_t *tokens; /* the tokens and targets of all spans */
    int32_t *freed_slots;
};

void random_plan_make(struct random_plan *random, const struct step_limits *limits, uint64_t index);
void random_plan_free(struct random_plan *random);

/* Fails the test where the two differ in anything that travels. */
void random_plan_expect_equal(const struct step_plan *actual, const struct step_plan *expected);
