/* tests/kvshard/policy_fixture.h - what the tests of policies share: configurations, sets that are compared,
 * calls at the same time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvshard/kv_policy.h"

enum { FIXTURE_HEAD_DIM = 32, FIXTURE_SLOTS = 2 };

/* With all heads here, for two slots and two threads; everything else is 0. */
struct kv_policy_config policy_config(const char *name, int32_t n_layers, int32_t n_kv_heads, int32_t group,
                                      int64_t context_length);

/* Never NULL; of_heads: of a rank that has n_heads of them, all under one KV head. */
struct kv_policy *policy_create(const struct kv_policy_config *config);
struct kv_policy *policy_of_heads(struct kv_policy_config config, int32_t first_head, int32_t n_heads);

/* Is it refused, with a sentence that contains this? */
void assert_policy_refused(struct kv_policy_config config, const char *words);

/* Token i of a set. */
int64_t kv_set_token(struct kv_set set, int64_t i);

/* Has it just the tokens of in_set [n_cached]? */
void assert_set_is(struct kv_set set, const bool *in_set, int64_t n_cached);
void assert_sets_equal(struct kv_set a, struct kv_set b);

/* Calls with each of n arguments, of so many bytes each, on threads of their own. */
void call_at_once(void *(*call)(void *), int32_t n, void *arguments, size_t bytes_each);
