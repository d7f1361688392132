/* worker/probe_choice.h - the sets that lessismore would choose at every layer, for a probe.
 *
 * Lessismore itself decides: a policy of two layers, whose first one selects, is shown the scores of each of
 * the model's layers in turn.
 *
 * Memory:  from the arena given, and a policy.
 * Threads: main thread; OpenMP inside.
 * Ranks:   make is collective, the rest local; the sets are the same on every rank. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/comm.h"
#include "kvshard/kv_policy.h"

struct probe_choice;

/* `policy`: what lessismore would be created from; its name, layers and options are not looked at. */
NODISCARD enum status probe_choice_create(const struct kv_policy_config *policy, struct comm *comm,
                                          struct arena *memory, struct probe_choice **choice_out);
void probe_choice_destroy(struct probe_choice *choice); /* NULL is allowed */

/* Would a step of so many tokens choose, or be dense? */
bool probe_choice_is_made(const struct probe_choice *choice, int64_t n_cached);

/* Chooses from the dense scores [n_heads_local, context_length] of the step's d-th decode token at a layer.
 */
void probe_choice_make(struct probe_choice *choice, int32_t d, int32_t layer, int64_t n_cached,
                       const float *scores);

/* What was chosen there in this step. */
struct kv_set probe_choice_set(const struct probe_choice *choice, int32_t d, int32_t layer);
