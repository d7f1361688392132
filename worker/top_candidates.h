/* worker/top_candidates.h - the best few of many logits.
 *
 * Order: larger logit first, then smaller token; NaN last.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "cluster/step_plan.h"

/* The best of values [n], token ids counted from first_token, sorted into best [limit]. Returns how many,
 * the smaller of n and limit. One pass over values. */
int32_t top_candidates(const float *values, int64_t n, int32_t first_token, int32_t limit,
                       struct candidate *best);

/* Sorts candidates [n] in place and copies the first of them to best [limit]; returns how many. */
int32_t top_candidates_sort(struct candidate *candidates, int32_t n, int32_t limit, struct candidate *best);
