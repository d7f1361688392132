/* tests/cluster/good_plan.h - a plan that holds to the limits, for each test to break in one place. */
#pragma once

#include "cluster/step_plan.h"

static const struct step_limits good_limits = {
    .max_slots = 8, .max_tokens = 100, .vocab_size = 1000, .context_length = 4096};

enum { GOOD_NUMBER = 7 };
static const int32_t good_tokens[] = {1, 2, 999, 0}, good_targets[] = {2, 998}, good_freed_slots[] = {5, 3};
static const struct step_span good_spans[] = {
    {.slot = 0,
     .phase = SPAN_PREFILL,
     .n_tokens = 4,
     .tokens = good_tokens,
     .n_logits_rows = 2,
     .targets = good_targets,
     .inverse_temperature = 1},
    {.slot = 7,
     .first_position = 4095,
     .phase = SPAN_DECODE,
     .n_tokens = 1,
     .tokens = good_tokens,
     .n_logits_rows = 1,
     .inverse_temperature = 1 / 0.6},
};
static const struct step_plan good_plan = {.number = GOOD_NUMBER,
                                           .kind = STEP_COMPUTE,
                                           .n_candidates = 20,
                                           .n_spans = 2,
                                           .spans = good_spans,
                                           .n_freed_slots = 2,
                                           .freed_slots = good_freed_slots};
