/* kvshard/policy_options_impl.h - "name=value,policy.name=value": options that only one policy has.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "base/status.h"
#include "kvshard/kv_policy_impl.h"

/* values_out [KV_POLICY_MAX_OPTIONS]: what `text` (NULL: nothing) says for `policy`, else each option's
 * initial value. A name with a policy in front counts for that policy only, which must be one of
 * policies [n]; a name alone must be an option of `policy`. Later values override earlier ones. Anything
 * unknown or out of range: STATUS_BAD_INPUT with a sentence that names what is allowed. */
NODISCARD enum status policy_options_parse(const char *text, const struct kv_policy_vtable *policy,
                                           const struct kv_policy_vtable *const *policies, int n,
                                           double *values_out);
