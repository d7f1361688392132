/* H2O against its definition: who has least weight so far, and is not among the newest, goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tests/kvshard/policy_world.h"

enum { MAX_LAYERS = 2, MAX_KV_HEADS = 4, MAX_LISTS = MAX_LAYERS * MAX_KV_HEADS };

/* ---- the definition, one token at a time ---- */

struct kept {
    int32_t token;
    double mass;
};

struct reference {
    int64_t n[MAX_LISTS];
    struct kept lists[MAX_LISTS][WORLD_CONTEXT];
    bool weighed;
};

static void drop_lightest(struct kept *list, int64_t *n, int64_t n_candidates) {
    int64_t worst = 0;
    for (int64_t i = 0; i < n_candidates; i++)
        if (list[i].mass < list[worst].mass + 1e-9 * list[worst].mass) worst = i; /* of equals the last */
    for (int64_t i = worst; i + 1 < *n; i++)
        list[i] = list[i + 1];
    (*n)--;
}

static void reference_admit(struct reference *reference, const struct policy_world *world, int64_t first,
                            int64_t n_new, bool decode) {
    const int64_t budget = world->config.budget;
    for (int32_t l = 0; l < MAX_LISTS; l++) {
        int64_t *n = &reference->n[l];
        while (decode && reference->weighed && *n + 1 > budget)
            drop_lightest(reference->lists[l], n, *n - (budget - budget / 2 - 1));
        for (int64_t i = 0; i < n_new; i++)
            reference->lists[l][(*n)++] = (struct kept){(int32_t)(first + i), 0};
    }
    reference->weighed = decode;
}

static void add_weights(const struct policy_world *world, int32_t layer, int32_t head, int64_t n_cached,
                        struct kept *list, int64_t n) {
    double weights[WORLD_CONTEXT], max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, world_score(world, layer, head, n_cached, list[i].token));
    for (int64_t i = 0; i < n; i++)
        sum += weights[i] = exp(world_score(world, layer, head, n_cached, list[i].token) - max);
    for (int64_t i = 0; i < n; i++)
        list[i].mass += weights[i] / sum;
}

static void reference_rank(struct reference *reference, const struct policy_world *world, int64_t n_cached) {
    const int32_t group = world_group(world), n_kv_heads = world->config.n_kv_heads_local;
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t head = 0; head < n_kv_heads * group; head++) {
            const int32_t l = layer * n_kv_heads + head / group;
            add_weights(world, layer, head, n_cached, reference->lists[l], reference->n[l]);
        }
}

static void reference_rewind(struct reference *reference, int64_t n) {
    for (int32_t l = 0; l < MAX_LISTS; l++)
        while (reference->n[l] > 0 && reference->lists[l][reference->n[l] - 1].token >= n)
            reference->n[l]--;
}

static void assert_same(const struct policy_world *world, int32_t slot, const struct reference *reference) {
    const int32_t n_kv_heads = world->config.n_kv_heads_local, group = world_group(world);
    const int64_t n = world->n_tokens[slot];
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t head = 0; head < n_kv_heads * group; head++) {
            const int32_t l = layer * n_kv_heads + head / group;
            const struct kv_set set = kv_policy_set(world->policy, slot, layer, n, head);
            assert_int_equal(set.n_tokens, reference->n[l]);
            for (int64_t i = 0; i < set.n_tokens; i++)
                assert_int_equal(set.tokens ? set.tokens[i] : i, reference->lists[l][i].token);
            assert_rows_hold_keys(world, slot, layer, head / group);
        }
}

/* ---- both, side by side ---- */

static void decode_both(struct policy_world *world, struct reference *reference, int32_t slot) {
    world_decode(world, slot);
    reference_admit(reference, world, world->n_tokens[slot] - 1, 1, true);
    assert_same(world, slot, reference);
    reference_rank(reference, world, world->n_tokens[slot]);
}

static void prefill_both(struct policy_world *world, struct reference *reference, int32_t slot, int64_t n) {
    reference_admit(reference, world, world->n_tokens[slot], n, false);
    world_prefill(world, slot, n);
    assert_same(world, slot, reference);
}

static void rewind_both(struct policy_world *world, struct reference *reference, int32_t slot, int64_t n) {
    world_rewind(world, slot, n);
    reference_rewind(reference, n);
}

static const struct world_shape shapes[] = {
    {"h2o", "", 20, 2, 0, 2, 2}, {"h2o", "", 33, 1, 3, 1, 1}, {"h2o", "", 2, 1, 0, 2, 3},
    {"h2o", "", 3, 2, 5, 1, 4},  {"h2o", "", 64, 1, 0, 4, 2},
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* A prompt longer than the budget or not, answers, a second turn, a turn taken back, another sequence in the
 * slot, with a neighbour. */
static void follows_the_definition(void **state) {
    (void)state;
    for (uint64_t trial = 0; trial < 2 * N_SHAPES; trial++) {
        static struct reference references[FIXTURE_SLOTS];
        struct policy_world world = world_create(shapes[trial / 2], trial, false);
        memset(references, 0, sizeof references);
        prefill_both(&world, &references[0], 0, trial % 2 ? 100 : 7);
        prefill_both(&world, &references[1], 1, 40);
        for (int i = 0; i < 60; i++)
            for (int32_t slot = 0; slot < FIXTURE_SLOTS; slot++)
                decode_both(&world, &references[slot], slot);
        assert_pages_returned(&world);
        prefill_both(&world, &references[0], 0, 50);
        for (int i = 0; i < 30; i++)
            decode_both(&world, &references[0], 0);
        assert_pages_returned(&world);
        rewind_both(&world, &references[0], 0, world.n_tokens[0] - 9);
        for (int i = 0; i < 30; i++)
            decode_both(&world, &references[0], 0);
        rewind_both(&world, &references[0], 0, 0);
        prefill_both(&world, &references[0], 0, 30);
        for (int i = 0; i < 20; i++)
            decode_both(&world, &references[0], 0);
        decode_both(&world, &references[1], 1);
        assert_pages_returned(&world);
        world_destroy(&world);
    }
}

/* What is attended to once the first step behind the prompt is over. */
static void exactly_the_budget_is_kept(void **state) {
    (void)state;
    struct policy_world world = world_create(shapes[0], 5, true);
    world_prefill(&world, 0, 300);
    world_decode(&world, 0);
    assert_int_equal(kv_policy_set(world.policy, 0, 0, 301, 0).n_tokens, 301);
    for (int i = 0; i < 100; i++) {
        world_decode(&world, 0);
        const struct kv_set set = kv_policy_set(world.policy, 0, 1, world.n_tokens[0], 3);
        assert_int_equal(set.n_tokens, 20);
        for (int j = 0; j < 10; j++)
            assert_int_equal(set.tokens[10 + j], world.n_tokens[0] - 10 + j);
        assert_ptr_equal(set.tokens, kv_policy_set(world.policy, 0, 1, world.n_tokens[0], 2).tokens);
        assert_pages_returned(&world);
    }
    world_destroy(&world);
}

/* With equal scores, masses are equal among tokens of an age and greater of older ones: the prompt stays. */
static void of_equals_the_lower_stays(void **state) {
    (void)state;
    struct policy_world world = world_create(shapes[1], 5, true);
    world_prefill(&world, 0, 100);
    for (int i = 0; i < 40; i++) {
        world_admit(&world, 0);
        const struct kv_set set = kv_policy_set(world.policy, 0, 0, world.n_tokens[0], 0);
        for (int64_t j = 0; j < 16; j++)
            assert_int_equal(set.tokens ? set.tokens[j] : j, j);
        static const float alike[WORLD_CONTEXT];
        kv_policy_rank(world.policy, 0, 0, 0, world.n_tokens[0], 0, alike);
    }
    world_destroy(&world);
}

static void broken_scores_do_no_harm(void **state) {
    (void)state;
    static const float broken[] = {NAN, INFINITY, -INFINITY};
    struct policy_world world = world_create(shapes[4], 5, false);
    world_prefill(&world, 0, 100);
    for (int i = 0; i < 200; i++) {
        float scores[WORLD_CONTEXT];
        world_admit(&world, 0);
        for (int64_t j = 0; j < WORLD_CONTEXT; j++)
            scores[j] = (i + j) % 3 ? (float)j : broken[(i + j) / 3 % 3];
        for (int32_t head = 0; head < 8; head++)
            kv_policy_rank(world.policy, 0, 0, 0, world.n_tokens[0], head, scores);
        if (i > 0) assert_int_equal(kv_policy_set(world.policy, 0, 0, world.n_tokens[0], 0).n_tokens, 64);
    }
    assert_pages_returned(&world);
    world_destroy(&world);
}

static void ranks_do_not_show(void **state) {
    (void)state;
    check_ranks_do_not_show((struct world_shape){"h2o", "", 50, 2, 0, 4, 2}, 80);
}

static void threads_do_not_show(void **state) {
    (void)state;
    check_threads_do_not_show((struct world_shape){"h2o", "", 40, 2, 0, 2, 4}, 60);
}

static void layers_and_options(void **state) {
    (void)state;
    struct world_shape shape = shapes[0];
    struct policy_world world = world_create(shape, 1, false);
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, 100), KV_RANK);
    assert_int_equal(kv_policy_layer(world.policy, 0, 0, 5), KV_RANK);
    world_destroy(&world);
    shape.budget = WORLD_CONTEXT;
    world = world_create(shape, 1, false);
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, WORLD_CONTEXT), KV_ATTEND_ALL);
    world_destroy(&world);
    shape.budget = 1;
    world_refuses(shape, "needs 2 tokens");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),    cmocka_unit_test(exactly_the_budget_is_kept),
        cmocka_unit_test(of_equals_the_lower_stays), cmocka_unit_test(broken_scores_do_no_harm),
        cmocka_unit_test(ranks_do_not_show),         cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(layers_and_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
