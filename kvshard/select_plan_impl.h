/* kvshard/select_plan_impl.h - which layers attend densely, select, or read the set chosen last.
 *
 * For policies that choose at a few layers for all the layers behind them.
 *
 * Memory:  the plan comes from the arena given.
 * Threads: read-only after create.
 * Ranks:   local; the same plan on every rank. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

/* Layers at which the policy selects where the configuration names none: 2 and round(n_layers / 3), as
 * far as the model has them in this order. Returns how many (0-2). */
int32_t select_plan_default(int32_t n_layers, int32_t layers_out[2]);

/* Each layer's part in [n_layers]: dense before the first selecting layer; at a selecting layer
 * KV_ATTEND_ALL_AND_SELECT, or KV_ATTEND_ALL where no layer would read what it chose; else the set.
 * No selecting layer at all, layers out of range or not ascending: STATUS_BAD_INPUT. */
NODISCARD enum status select_plan_create(const struct kv_policy_config *config, struct arena *memory,
                                         const enum kv_attention **plan_out);
