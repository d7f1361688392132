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

/* Fewer whole pages than `least`: STATUS_BAD_INPUT. */
NODISCARD enum status budget_check_pages(const struct kv_policy_config *config, int32_t least);
