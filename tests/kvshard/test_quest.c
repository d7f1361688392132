/* Quest against its definition: the best K/S - 1 full pages by the largest product in each channel, and the
 * last page. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check_fails.h"
#include "tests/kvshard/kv_world.h"

enum { S = KV_PAGE_TOKENS, CONTEXT = 400, LAYERS = 4 };

static struct kv_policy_config config_of(int32_t budget, int32_t n_kv_heads, int32_t group) {
    struct kv_policy_config config = policy_config("quest", LAYERS, n_kv_heads, group, CONTEXT);
    config.budget = budget;
    return config;
}

/* ---- the definition, in double; sums of such keys are exact ---- */

static double bound_of(const struct kv_world *world, int32_t slot, int32_t layer, int32_t kv_head,
                       int64_t page, const float *q) {
    double bound = 0;
    float keys[S][WORLD_MAX_DIM];
    for (int64_t i = 0; i < S; i++)
        kv_world_key(world, slot, layer, kv_head, page * S + i, keys[i]);
    for (int32_t d = 0; d < world->config.head_dim; d++) {
        double best = -INFINITY;
        for (int i = 0; i < S; i++)
            best = fmax(best, (double)q[d] * (double)keys[i][d]);
        bound += best;
    }
    return bound;
}

static void reference_set(const struct kv_world *world, int32_t slot, int32_t layer, int32_t kv_head,
                          int64_t n_cached, bool in_set[CONTEXT]) {
    double bounds[CONTEXT / S];
    float q[8 * WORLD_MAX_DIM];
    const int64_t last = (n_cached - 1) / S;
    kv_world_queries(world, slot, layer, kv_head, n_cached, q);
    for (int64_t page = 0; page < last; page++) {
        bounds[page] = -INFINITY;
        for (int32_t head = 0; head < world->group; head++)
            bounds[page] = fmax(
                bounds[page], bound_of(world, slot, layer, kv_head, page, q + head * world->config.head_dim));
    }
    for (int64_t token = 0; token < n_cached; token++)
        in_set[token] = token / S == last;
    for (int32_t n = 0; n < world->config.budget / S - 1; n++) {
        int64_t best = 0;
        for (int64_t page = 1; page < last; page++)
            if (bounds[page] > bounds[best]) best = page;
        for (int64_t i = 0; i < S; i++)
            in_set[best * S + i] = true;
        bounds[best] = -INFINITY;
    }
}

static void check_set(const struct kv_world *world, int32_t slot, int32_t layer, int64_t n_cached) {
    bool in_set[CONTEXT];
    for (int32_t head = 0; head < world->config.n_heads_local; head++) {
        const struct kv_set set = kv_policy_set(world->policy, slot, layer, n_cached, head);
        reference_set(world, slot, layer, head / world->group, n_cached, in_set);
        assert_set_is(set, in_set, n_cached);
        assert_true(set.n_tokens <= world->config.budget);
        assert_int_equal(set.tokens[set.n_tokens - 1], n_cached - 1);
        assert_null(set.rows);
    }
}

static void check_layers(const struct kv_world *world, int32_t slot, int64_t n_cached) {
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        const enum kv_attention action = kv_policy_layer(world->policy, slot, layer, n_cached);
        if (n_cached <= world->config.budget || layer < 2) {
            assert_int_equal(action, KV_ATTEND_ALL);
        } else {
            assert_int_equal(action, KV_ATTEND_SET | KV_CHOOSE);
            check_set(world, slot, layer, n_cached);
        }
    }
}

static void decode_and_check(struct kv_world *world, int32_t slot, int64_t first, int64_t end) {
    for (int64_t token = first; token < end; token++) {
        kv_world_decode(world, slot, token);
        if (token % 5 == 0 || (token + 1) % S < 2) check_layers(world, slot, token + 1);
    }
}

static void agrees_with_the_definition(void **state) {
    (void)state;
    static const struct {
        int32_t budget, n_kv_heads, group;
    } cases[] = {{32, 1, 1}, {33, 1, 2}, {47, 2, 4}, {64, 3, 1}, {100, 2, 3}, {127, 1, 8}, {128, 4, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_world world =
            kv_world_create(config_of(cases[i].budget, cases[i].n_kv_heads, cases[i].group), i * 10);
        kv_world_admit(&world, 0, 0, 20, false);
        decode_and_check(&world, 0, 20, 200);
        kv_world_admit(&world, 0, 200, 77, false); /* a second turn */
        decode_and_check(&world, 0, 277, 300);
        kv_world_destroy(&world);
    }
}

static void a_large_budget_is_dense(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(CONTEXT, 2, 2), 1);
    for (int64_t n = 1; n <= CONTEXT; n++)
        for (int32_t layer = 0; layer < LAYERS; layer++)
            assert_int_equal(kv_policy_layer(world.policy, 0, layer, n), KV_ATTEND_ALL);
    kv_world_destroy(&world);
}

static void tokens_that_come_anew_are_seen(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(64, 2, 2), 1);
    kv_world_admit(&world, 1, 0, 100, false);
    decode_and_check(&world, 1, 100, 120);
    static const int64_t ends[] = {119, 112, 110, 96, 50, 1};
    for (int i = 0; i < 6; i++) {
        kv_policy_rewind(world.policy, 1, ends[i]);
        kv_world_admit(&world, 1, ends[i], 130 - ends[i], false);
        decode_and_check(&world, 1, 130, 140);
    }
    kv_world_free(&world, 1);
    world.seed = 999; /* other keys */
    kv_world_admit(&world, 1, 0, 100, false);
    decode_and_check(&world, 1, 100, 120);
    kv_world_destroy(&world);
}

/* Keys behind the cut are another sequence's: its bounds must not linger in the page that was cut. */
static void nothing_lingers_of_what_was_cut_off(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(32, 1, 1), 1);
    float huge[32], zero[32] = {0}, q[32];
    for (int d = 0; d < 32; d++)
        huge[d] = q[d] = 1;
    assert_int_equal(kv_policy_admit(world.policy, 0, 0, 100, false), STATUS_OK);
    for (int64_t token = 0; token < 100; token++)
        for (int32_t layer = 0; layer < LAYERS; layer++)
            kv_cache_append(world.cache, 0, layer, 0, token, token == 42 ? huge : zero, zero);
    kv_policy_choose(world.policy, 0, 0, 2, 100, 0, q);
    assert_int_equal(kv_policy_set(world.policy, 0, 2, 100, 0).tokens[0], 32);

    kv_policy_rewind(world.policy, 0, 41);
    assert_int_equal(kv_policy_admit(world.policy, 0, 41, 59, false), STATUS_OK);
    for (int64_t token = 41; token < 100; token++)
        for (int32_t layer = 0; layer < LAYERS; layer++)
            kv_cache_append(world.cache, 0, layer, 0, token, zero, zero);
    kv_policy_choose(world.policy, 0, 0, 2, 100, 0, q);
    assert_int_equal(kv_policy_set(world.policy, 0, 2, 100, 0).tokens[0], 0); /* all tie */
    kv_world_destroy(&world);
}

static void a_nan_is_never_chosen_over_a_number(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(32, 1, 2), 1);
    float broken[32], zero[32] = {0}, q[64];
    for (int d = 0; d < 64; d++)
        q[d] = broken[d % 32] = NAN;
    for (int d = 0; d < 32; d++)
        q[d] = 1; /* the second head's queries are broken */
    assert_int_equal(kv_policy_admit(world.policy, 0, 0, 60, false), STATUS_OK);
    for (int64_t token = 0; token < 60; token++)
        for (int32_t layer = 0; layer < LAYERS; layer++)
            kv_cache_append(world.cache, 0, layer, 0, token, token / S == 0 ? broken : zero, zero);
    kv_policy_choose(world.policy, 0, 0, 3, 60, 0, q);
    const struct kv_set set = kv_policy_set(world.policy, 0, 3, 60, 1);
    assert_int_equal(set.n_tokens, 28);
    assert_int_equal(set.tokens[0], 16);
    assert_int_equal(set.tokens[27], 59);
    kv_world_destroy(&world);
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(48, 2, 2), 1);
    for (int32_t slot = 0; slot < 2; slot++)
        kv_world_admit(&world, slot, 0, 150, false);
    kv_world_choose_at_once(&world, 2, 150, 300, false);
    for (int32_t slot = 0; slot < 2; slot++)
        check_set(&world, slot, 2, 150);
    kv_world_destroy(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    assert_policy_refused(config_of(31, 1, 1), "budget 31");
    struct kv_policy_config config = config_of(64, 1, 1);
    config.options = "first-layer=4";
    assert_policy_refused(config, "has 4 layers");
    config.options = "first-layer=-1";
    assert_policy_refused(config, "first-layer");
    config.options = "first-layer=0";
    struct kv_world world = kv_world_create(config, 1);
    assert_int_equal(kv_policy_layer(world.policy, 0, 0, 65), KV_ATTEND_SET | KV_CHOOSE);
    kv_world_destroy(&world);
}

static void read_a_set_that_was_never_chosen(void *policy) {
    (void)kv_policy_set(policy, 0, 2, 100, 0);
}

static void choose_at_a_dense_layer(void *policy) {
    static const float q[32];
    kv_policy_choose(policy, 0, 0, 1, 100, 0, q);
}

static void misuse_is_caught(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(64, 1, 1), 1);
    kv_world_admit(&world, 0, 0, 100, false);
    assert_true(check_fails(read_a_set_that_was_never_chosen, world.policy));
    assert_true(check_fails(choose_at_a_dense_layer, world.policy));
    kv_world_destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(a_large_budget_is_dense),
        cmocka_unit_test(tokens_that_come_anew_are_seen),
        cmocka_unit_test(nothing_lingers_of_what_was_cut_off),
        cmocka_unit_test(a_nan_is_never_chosen_over_a_number),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
