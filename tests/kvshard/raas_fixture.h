/* tests/kvshard/raas_fixture.h - the RaaS policy of the tests. */
#pragma once

#include "tests/kvshard/kv_world.h"

enum {
    RAAS_CONTEXT = 700,
    RAAS_DIM = FIXTURE_HEAD_DIM,
    RAAS_PAGE_BYTES = KV_PAGE_TOKENS * 2 * RAAS_DIM * 2 /* keys and values in f16 */
};

static inline struct kv_policy_config raas_config(int32_t budget, int32_t n_layers, int32_t n_kv_heads,
                                                  int32_t group) {
    struct kv_policy_config config = policy_config("raas", n_layers, n_kv_heads, group, RAAS_CONTEXT);
    config.budget = budget;
    return config;
}
