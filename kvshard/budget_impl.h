/* kvshard/budget_impl.h - the least budget that makes sense.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "base/status.h"
#include "kvshard/kv_policy.h"

/* The sinks, another token and the current one; else STATUS_BAD_INPUT. */
NODISCARD enum status budget_check_sinks(const struct kv_policy_config *config);

/* The budget in whole pages; fewer than `least` are STATUS_BAD_INPUT. */
NODISCARD enum status budget_pages(const struct kv_policy_config *config, int32_t least,
                                   int64_t *n_pages_out);
