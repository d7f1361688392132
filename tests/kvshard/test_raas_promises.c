/* RaaS's promises, over scores of any kind: what is never evicted, and memory that returns. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/kvshard/raas_fixture.h"

enum { S = KV_PAGE_TOKENS };

/* Keys of one page are the query itself and larger than all others. */
static void step_with_a_favourite(struct kv_world *world, int64_t token, int64_t favourite) {
    float q[RAAS_DIM], key[RAAS_DIM];
    for (int d = 0; d < RAAS_DIM; d++)
        q[d] = (float)(rng_uniform(3, (uint64_t)token, (uint64_t)d) - 0.5);
    assert_int_equal(kv_policy_admit(world->policy, 0, token, 1, true), STATUS_OK);
    for (int d = 0; d < RAAS_DIM; d++)
        key[d] = (token / S == favourite ? 100.0f : 1.0f) * (float)((token + d) % 2 ? 1 : -1);
    kv_cache_append(world->cache, 0, 0, 0, token, key, key);
    kv_policy_choose(world->policy, 0, 0, 0, token + 1, 0, q);
}

static bool holds(struct kv_set set, int64_t token) {
    for (int64_t i = 0; i < set.n_tokens; i++)
        if (kv_set_token(set, i) == token) return true;
    return false;
}

static void what_is_stamped_pinned_or_newest_is_never_evicted(void **state) {
    (void)state;
    enum { N_PROMPT = 40, FAVOURITE = 7, STEPS = 5000 };
    static const char *const options[] = {NULL, "alpha=0.01", "share=0.1"};
    for (int i = 0; i < 3; i++) {
        struct kv_policy_config config = raas_config(64, 1, 1, 1);
        config.context_length = N_PROMPT + STEPS;
        config.options = options[i];
        struct kv_world world = kv_world_create(config, 1);
        kv_world_admit(&world, 0, 0, N_PROMPT, false);
        for (int64_t token = N_PROMPT; token < N_PROMPT + STEPS; token++) {
            step_with_a_favourite(&world, token, FAVOURITE);
            const struct kv_set set = kv_policy_set(world.policy, 0, 0, token + 1, 0);
            for (int64_t j = 0; j < N_PROMPT; j++)
                assert_int_equal(kv_set_token(set, j), j);
            if (token >= FAVOURITE * S + S) assert_true(holds(set, FAVOURITE * S + token % S));
            for (int64_t newest = token; newest / S == token / S; newest--)
                assert_true(holds(set, newest));
            assert_true(set.n_tokens <= kv_pages_of(N_PROMPT) * S + 64);
        }
        assert_false(holds(kv_policy_set(world.policy, 0, 0, N_PROMPT + STEPS, 0), 5 * S));
        kv_world_destroy(&world);
    }
}

static void memory_is_flat_over_a_long_answer(void **state) {
    (void)state;
    enum { N_PROMPT = 100, STEPS = 100000, BUDGET = 128 };
    struct kv_policy_config config = raas_config(BUDGET, 1, 2, 2);
    config.context_length = N_PROMPT + STEPS;
    struct kv_world world = kv_world_create(config, 1);
    kv_world_admit(&world, 0, 0, N_PROMPT, false);
    const size_t most = (size_t)(2 * (kv_pages_of(N_PROMPT) + BUDGET / S)) * RAAS_PAGE_BYTES;
    for (int64_t token = N_PROMPT; token < N_PROMPT + STEPS; token++) {
        kv_world_decode(&world, 0, token);
        const size_t bytes = kv_cache_bytes_in_use(world.cache);
        assert_true(bytes <= most && (token < 1000 || bytes == most));
    }
    assert_true(kv_cache_bytes_held(world.cache) < (size_t)4 << 20);
    kv_world_destroy(&world);
}

static void broken_scores_stop_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct kv_policy_config config = raas_config(64, 1, 1, 2);
        config.options = i ? "alpha=0.1" : NULL;
        struct kv_world world = kv_world_create(config, 1);
        float q[2 * RAAS_DIM], key[RAAS_DIM];
        for (int64_t token = 0; token < 400; token++) {
            for (int d = 0; d < RAAS_DIM; d++)
                key[d] = q[d] = q[RAAS_DIM + d] = token % 3 == 0   ? NAN
                                                  : token % 3 == 1 ? INFINITY
                                                                   : -INFINITY;
            assert_int_equal(kv_policy_admit(world.policy, 0, token, 1, true), STATUS_OK);
            kv_cache_append(world.cache, 0, 0, 0, token, key, key);
            kv_policy_choose(world.policy, 0, 0, 0, token + 1, 0, q);
            assert_true(kv_policy_set(world.policy, 0, 0, token + 1, 0).n_tokens <= 64);
        }
        kv_world_destroy(&world);
    }
}

static void slots_forget_for_themselves(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(raas_config(64, 1, 1, 2), 1);
    struct kv_world alone = kv_world_create(raas_config(64, 1, 1, 2), 1);
    kv_world_admit(&world, 0, 0, 33, false);
    kv_world_admit(&world, 1, 0, 90, false);
    kv_world_admit(&alone, 1, 0, 90, false);
    for (int64_t i = 0; i < 200; i++) {
        kv_world_decode(&world, 0, 33 + i);
        kv_world_decode(&world, 1, 90 + i);
        kv_world_decode(&alone, 1, 90 + i);
    }
    const struct kv_set a = kv_policy_set(world.policy, 1, 0, 290, 0),
                        b = kv_policy_set(alone.policy, 1, 0, 290, 0);
    assert_int_equal(a.n_tokens, b.n_tokens);
    assert_memory_equal(a.tokens, b.tokens, (size_t)a.n_tokens * sizeof *a.tokens);
    kv_world_destroy(&alone);
    kv_world_destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stamped_pinned_or_newest_is_never_evicted),
        cmocka_unit_test(memory_is_flat_over_a_long_answer),
        cmocka_unit_test(broken_scores_stop_nothing),
        cmocka_unit_test(slots_forget_for_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
