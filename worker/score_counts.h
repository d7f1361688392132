/* worker/score_counts.h - how many scores the ranks that share a KV head tell each other.
 *
 * The rule for a step and for its simulation, from what all members of the group know.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; the same on all members. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/head_group.h"
#include "kvshard/kv_policy.h"

/* Rows [begin, end) that are in one of the stripes. */
int64_t score_rows(struct shard_range stripes, int64_t begin, int64_t end);

/* Of a query head that attends to n_tokens tokens and looks for the best of them: how many of its best each
 * member sends with their tokens, [group size]. That is `times` what its part of the rows would have if the
 * best were spread evenly, but no more than it has, nor than are looked for.
 * false: all scores without tokens are no more bytes. */
bool score_counts_best(const struct head_group *group, int64_t n_tokens, struct kv_best best, int64_t times,
                       int64_t *counts_out);

/* A member's best are more than is likely. If they are not, everybody sends twice as many. */
enum { SCORE_TIMES = 2 };
