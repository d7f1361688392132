/* RefreshKV against its definition: sets age token by token, until the queries have changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "check_fails.h"
#include "tests/kvshard/policy_world.h"

enum { MAX_LAYERS = 2, MAX_KV_HEADS = 4, MAX_LISTS = MAX_LAYERS * MAX_KV_HEADS };

/* ---- the definition: what was chosen, best first, and what came since ---- */

struct head_state {
    int64_t n_full, n_cached;
    int32_t ranking[WORLD_CONTEXT];
};

struct reference {
    int64_t every;
    double similarity;
    struct head_state heads[MAX_LISTS];
    int64_t n_full_steps, n_steps;
};

static bool is_full_step(const struct reference *reference, const struct policy_world *world, int32_t layer,
                         int32_t kv_head, const struct head_state *head, int64_t n) {
    const int32_t group = world_group(world);
    double mean = 0;
    if (head->n_full == 0 || head->n_cached + 1 != n) return true;
    if ((n - head->n_full) % reference->every != 0) return false;
    for (int32_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
        float now[FIXTURE_HEAD_DIM], then[FIXTURE_HEAD_DIM];
        world_query(world, layer, h, n, now);
        world_query(world, layer, h, head->n_full, then);
        mean += world_cosine(now, then) / group;
    }
    return mean < reference->similarity;
}

static void rank_all(const struct policy_world *world, int32_t layer, int32_t kv_head, int64_t n,
                     int32_t *ranking) {
    const int32_t group = world_group(world);
    static double sums[WORLD_CONTEXT], weights[WORLD_CONTEXT];
    memset(sums, 0, sizeof sums);
    for (int32_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
        double sum = 0;
        for (int64_t t = 0; t < n; t++)
            sum += weights[t] = exp(world_score(world, layer, h, n, t));
        for (int64_t t = 0; t < n; t++)
            sums[t] += weights[t] / sum;
    }
    for (int64_t place = 0; place < n; place++) {
        int64_t best = 0;
        for (int64_t t = 1; t < n; t++)
            if (sums[t] > sums[best] * (1 + 1e-9)) best = t;
        ranking[place] = (int32_t)best;
        sums[best] = -1;
    }
}

/* All tokens at a full step; else the best of the last one and all that came since. */
static int64_t expected_set(const struct head_state *head, int64_t budget, bool in_set[WORLD_CONTEXT]) {
    const int64_t n = head->n_cached, n_new = n - head->n_full;
    memset(in_set, 0, WORLD_CONTEXT * sizeof *in_set);
    for (int64_t t = 0; t < n; t++)
        in_set[t] = n_new == 0 || t >= n - (n_new < budget ? n_new : budget);
    if (n_new == 0) return n;
    for (int64_t i = 0; i + n_new < budget; i++)
        in_set[head->ranking[i]] = true;
    return budget;
}

static void check_head(struct reference *reference, const struct policy_world *world, int32_t slot,
                       int32_t layer, int32_t kv_head) {
    struct head_state *head = &reference->heads[layer * world->config.n_kv_heads_local + kv_head];
    const int64_t n = world->n_tokens[slot];
    bool in_set[WORLD_CONTEXT];
    if (is_full_step(reference, world, layer, kv_head, head, n)) {
        rank_all(world, layer, kv_head, n, head->ranking);
        head->n_full = n;
        reference->n_full_steps++;
    }
    head->n_cached = n;
    reference->n_steps++;
    const int64_t n_set = expected_set(head, world->config.budget, in_set);
    for (int32_t h = kv_head * world_group(world); h < (kv_head + 1) * world_group(world); h++) {
        const struct kv_set set = kv_policy_set(world->policy, slot, layer, n, h);
        assert_null(set.rows);
        assert_int_equal(set.n_tokens, n_set);
        for (int64_t i = 0; i < n_set && set.tokens; i++)
            assert_true(in_set[set.tokens[i]] && (i == 0 || set.tokens[i - 1] < set.tokens[i]));
    }
}

static void decode_both(struct policy_world *world, struct reference *reference, int32_t slot, int n) {
    for (int i = 0; i < n; i++) {
        world_decode(world, slot);
        if (world->n_tokens[slot] <= world->config.budget) continue;
        for (int32_t layer = 0; layer < world->config.n_layers; layer++)
            for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
                check_head(reference, world, slot, layer, kv_head);
    }
}

static void rewind_both(struct policy_world *world, struct reference *reference, int32_t slot, int64_t n) {
    world_rewind(world, slot, n);
    memset(reference->heads, 0, sizeof reference->heads);
}

static const struct {
    struct world_shape shape;
    double similarity;
    int64_t every;
} cases[] = {
    {{"refresh", "", 20, 2, 0, 2, 2}, 0.85, 10},
    {{"refresh", "every=3,refresh.similarity=0.97", 33, 1, 2, 1, 1}, 0.97, 3},
    {{"refresh", "every=1,similarity=1", 7, 1, 0, 4, 1}, 1, 1},
    {{"refresh", "similarity=-1", 12, 1, 3, 1, 4}, -1, 10}, /* never: in the end the set is a window */
    {{"refresh", "every=5", 1, 1, 0, 2, 1}, 0.85, 5},
};

enum { N_CASES = sizeof cases / sizeof *cases };

/* A prompt longer than the budget or not, answers, a second turn, a turn taken back, another sequence in the
 * slot, with a neighbour. */
static void follows_the_definition(void **state) {
    (void)state;
    for (uint64_t trial = 0; trial < 2 * N_CASES; trial++) {
        static struct reference references[FIXTURE_SLOTS];
        struct policy_world world = world_create(cases[trial / 2].shape, trial, false);
        memset(references, 0, sizeof references);
        for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
            references[slot].every = cases[trial / 2].every;
            references[slot].similarity = cases[trial / 2].similarity;
        }
        world_prefill(&world, 0, trial % 2 ? 100 : 5);
        world_prefill(&world, 1, 30);
        for (int i = 0; i < 30; i++) {
            decode_both(&world, &references[0], 0, 3);
            decode_both(&world, &references[1], 1, 2);
        }
        world_prefill(&world, 0, 50);
        decode_both(&world, &references[0], 0, 20);
        const int64_t n = world.n_tokens[0];
        rewind_both(&world, &references[0], 0, n - 9);
        world_prefill(&world, 0, 9); /* as many as before, but others */
        decode_both(&world, &references[0], 0, 20);
        rewind_both(&world, &references[0], 0, 0);
        world_prefill(&world, 0, 30);
        decode_both(&world, &references[0], 0, 20);
        decode_both(&world, &references[1], 1, 1);
        if (trial / 2 < 2) /* both kinds of step were seen */
            assert_in_range(references[1].n_full_steps, references[1].n_steps / 50,
                            references[1].n_steps / 2);
        world_destroy(&world);
    }
}

static void everything_stays_in_the_cache(void **state) {
    (void)state;
    struct policy_world world = world_create(cases[0].shape, 1, false);
    world_prefill(&world, 0, 100);
    for (int i = 0; i < 60; i++)
        world_decode(&world, 0);
    assert_int_equal(kv_policy_resident(world.policy, 0, 1, 1, 160).n_tokens, 160);
    assert_null(kv_policy_resident(world.policy, 0, 1, 1, 160).rows);
    assert_pages_returned(&world);
    world_destroy(&world);
}

static void broken_numbers_do_no_harm(void **state) {
    (void)state;
    static const float broken[] = {NAN, INFINITY, -INFINITY, 0};
    struct policy_world world = world_create(cases[3].shape, 5, false);
    world_prefill(&world, 0, 100);
    for (int i = 0; i < 60; i++) {
        float scores[WORLD_CONTEXT], q[4 * FIXTURE_HEAD_DIM];
        world_admit(&world, 0);
        for (int d = 0; d < 4 * FIXTURE_HEAD_DIM; d++)
            q[d] = broken[(i / 10 + d) % 4];
        for (int64_t j = 0; j < WORLD_CONTEXT; j++)
            scores[j] = broken[(i + j) % 4];
        const int64_t n = world.n_tokens[0];
        kv_policy_choose(world.policy, 0, 0, 0, n, 0, q);
        assert_int_equal(kv_policy_set(world.policy, 0, 0, n, 3).n_tokens, i % 10 ? 12 : n);
        for (int32_t head = 0; head < 4; head++)
            kv_policy_rank(world.policy, 0, 0, 0, n, head, scores);
    }
    world_destroy(&world);
}

static void threads_do_not_show(void **state) {
    (void)state;
    check_threads_do_not_show(cases[0].shape, 80);
}

static void ranks_do_not_show(void **state) {
    (void)state;
    check_ranks_do_not_show((struct world_shape){"refresh", "", 50, 1, 0, 4, 2}, 100);
}

static void read_a_set_before_one_was_chosen(void *policy) {
    (void)kv_policy_set(policy, 0, 0, 50, 0);
}

static void layers_options_and_misuse(void **state) {
    (void)state;
    struct world_shape shape = cases[0].shape;
    struct policy_world world = world_create(shape, 1, false);
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, 20), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(world.policy, 0, 0, 21), KV_ATTEND_SET | KV_CHOOSE | KV_RANK);
    assert_true(check_fails(read_a_set_before_one_was_chosen, world.policy));
    world_destroy(&world);
    shape.budget = 0;
    world_refuses(shape, "needs a token");
    shape = cases[0].shape;
    shape.options = "every=0";
    world_refuses(shape, "refresh.every");
    shape.options = "similarity=1.1";
    world_refuses(shape, "refresh.similarity");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),    cmocka_unit_test(everything_stays_in_the_cache),
        cmocka_unit_test(broken_numbers_do_no_harm), cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(ranks_do_not_show),         cmocka_unit_test(layers_options_and_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
