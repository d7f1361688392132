/* tests/kvshard/policy_world.h - a policy with a cache, driven as the worker drives it: keys, queries and
 * scores are numbers drawn for (layer, head, token), so that whoever has the same heads sees the same. */
#pragma once

#include "tests/kvshard/policy_fixture.h"

enum { WORLD_CONTEXT = 640 };

struct policy_world {
    struct kv_policy_config config;
    struct kv_cache *cache;
    struct kv_policy *policy;
    int64_t n_tokens[FIXTURE_SLOTS];
    uint64_t seed;
    bool ties; /* scores and keys are few different ones */
};

struct world_shape {
    const char *policy, *options;
    int32_t budget, n_layers, first_kv_head, n_kv_heads, group;
};

struct policy_world world_create(struct world_shape shape, uint64_t seed, bool ties);
void world_destroy(struct policy_world *world);
void world_refuses(struct world_shape shape, const char *words);

int32_t world_group(const struct policy_world *world);

/* Of a step's query head for a token. */
float world_score(const struct policy_world *world, int32_t layer, int32_t head, int64_t n_cached,
                  int64_t token);

/* Some tokens' keys are nearly those of the token 5 before, or with ties exactly. */
void world_key(const struct policy_world *world, int32_t layer, int32_t kv_head, int64_t token,
               float key[FIXTURE_HEAD_DIM]);

/* Drifts slowly, and jumps now and then. */
void world_query(const struct policy_world *world, int32_t layer, int32_t head, int64_t n_cached,
                 float q[FIXTURE_HEAD_DIM]);

double world_cosine(const float *a, const float *b);

void world_prefill(struct policy_world *world, int32_t slot, int64_t n);
void world_rewind(struct policy_world *world, int32_t slot, int64_t n);

/* A decode step, and what comes before its layers. */
void world_decode(struct policy_world *world, int32_t slot);
void world_admit(struct policy_world *world, int32_t slot);

/* Pages in use are those that the lists of both slots need. */
void assert_pages_returned(const struct policy_world *world);

/* Each resident token's row holds its key. */
void assert_rows_hold_keys(const struct policy_world *world, int32_t slot, int32_t layer, int32_t kv_head);

/* Sets are the same where every KV head chooses and every head ranks on a thread of its own. */
void check_threads_do_not_show(struct world_shape shape, int n_steps);

/* Sets are the same whether one rank has the heads, or two have half of them each. */
void check_ranks_do_not_show(struct world_shape shape, int n_steps);
