/* R-KV against its definition, in double, and what its redundancy is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kvshard/key_redundancy_impl.h"
#include "tests/kvshard/policy_world.h"

enum { MAX_LAYERS = 2, MAX_KV_HEADS = 4, MAX_LISTS = MAX_LAYERS * MAX_KV_HEADS, OBSERVED = 8 };

/* ---- the definition ---- */

struct reference {
    double lambda;
    int64_t every;
    int64_t n[MAX_LISTS];
    int32_t lists[MAX_LISTS][WORLD_CONTEXT];
    double weights[MAX_LISTS][OBSERVED][WORLD_CONTEXT]; /* of the steps observed, by entry */
    int n_observed;
};

static void make_softmax(double *numbers, int64_t n) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, numbers[i]);
    for (int64_t i = 0; i < n; i++)
        sum += numbers[i] = exp(numbers[i] - max);
    for (int64_t i = 0; i < n; i++)
        numbers[i] /= sum;
}

static void find_redundancy(float (*keys)[FIXTURE_HEAD_DIM], int64_t n, double *redundancy) {
    memset(redundancy, 0, (size_t)n * sizeof *redundancy);
    for (int64_t i = 0; i < n; i++) {
        int64_t last = -1;
        for (int64_t j = 0; j < n; j++)
            if (j != i && world_cosine(keys[i], keys[j]) > 0.5) last = j;
        for (int64_t j = 0; j < n; j++)
            if (j != i && j != last) redundancy[j] += world_cosine(keys[i], keys[j]) / (double)n;
    }
    make_softmax(redundancy, n);
}

/* Weights that a step's queries give the first n entries. */
static void observe(const struct policy_world *world, int32_t layer, int32_t kv_head, int64_t n_cached,
                    const int32_t *tokens, int64_t n, double *weights) {
    const int32_t group = world_group(world);
    for (int64_t i = 0; i < n; i++) {
        weights[i] = -INFINITY;
        for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++)
            weights[i] = fmax(weights[i], world_score(world, layer, head, n_cached, tokens[i]));
    }
    make_softmax(weights, n);
}

static double importance_at(const struct reference *reference, int32_t l, int64_t n, int64_t entry) {
    double greatest = 0;
    for (int64_t i = entry - 3; i <= entry + 3; i++) {
        double mean = 0;
        for (int q = 0; q < OBSERVED && i >= 0 && i < n; q++)
            mean += reference->weights[l][q][i] / OBSERVED;
        greatest = fmax(greatest, mean);
    }
    return greatest;
}

/* Keeps the newest 8 and the best of the others; whoever is beaten by enough others goes. */
static void evict(struct reference *reference, const struct policy_world *world, int32_t layer,
                  int32_t kv_head) {
    static float keys[WORLD_CONTEXT][FIXTURE_HEAD_DIM];
    double values[WORLD_CONTEXT], redundancy[WORLD_CONTEXT];
    const int32_t l = layer * world->config.n_kv_heads_local + kv_head;
    const int64_t n = reference->n[l], n_old = n - OBSERVED;
    int32_t *tokens = reference->lists[l];
    for (int64_t i = 0; i < n; i++)
        world_key(world, layer, kv_head, tokens[i], keys[i]);
    find_redundancy(keys, n, redundancy);
    for (int64_t i = 0; i < n_old; i++)
        values[i] = reference->lambda * importance_at(reference, l, n_old, i) -
                    (1 - reference->lambda) * redundancy[i];
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t n_better = 0;
        for (int64_t j = 0; j < n_old && i < n_old; j++)
            n_better += values[j] > values[i] || (values[j] == values[i] && j < i);
        if (i >= n_old || n_better < world->config.budget - OBSERVED) tokens[n_left++] = tokens[i];
    }
    reference->n[l] = n_left;
}

static int32_t n_lists(const struct policy_world *world) {
    return world->config.n_layers * world->config.n_kv_heads_local;
}

static void reference_admit(struct reference *reference, const struct policy_world *world, int64_t first,
                            int64_t n_new, bool decode) {
    const int32_t n_kv_heads = world->config.n_kv_heads_local;
    if (decode && reference->n_observed == OBSERVED) {
        for (int32_t l = 0; l < n_lists(world); l++)
            evict(reference, world, l / n_kv_heads, l % n_kv_heads);
        reference->n_observed = 0;
    }
    int64_t longest = 0;
    for (int32_t l = 0; l < n_lists(world); l++) {
        for (int64_t i = 0; i < n_new; i++)
            reference->lists[l][reference->n[l]++] = (int32_t)(first + i);
        longest = reference->n[l] > longest ? reference->n[l] : longest;
    }
    if (!decode || longest + OBSERVED - 1 < world->config.budget + reference->every) {
        reference->n_observed = 0;
        return;
    }
    for (int32_t l = 0; l < n_lists(world); l++)
        observe(world, l / n_kv_heads, l % n_kv_heads, first + 1, reference->lists[l],
                reference->n[l] - reference->n_observed - 1, reference->weights[l][reference->n_observed]);
    reference->n_observed++;
}

static void reference_rewind(struct reference *reference, int64_t n) {
    for (int32_t l = 0; l < MAX_LISTS; l++)
        while (reference->n[l] > 0 && reference->lists[l][reference->n[l] - 1] >= n)
            reference->n[l]--;
    reference->n_observed = 0;
}

/* ---- both, side by side ---- */

static void assert_same(const struct policy_world *world, int32_t slot, const struct reference *reference) {
    const int32_t group = world_group(world);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t head = 0; head < world->config.n_heads_local; head++) {
            const int32_t l = layer * world->config.n_kv_heads_local + head / group;
            const struct kv_set set = kv_policy_set(world->policy, slot, layer, world->n_tokens[slot], head);
            assert_int_equal(set.n_tokens, reference->n[l]);
            for (int64_t i = 0; i < set.n_tokens; i++)
                assert_int_equal(set.tokens ? set.tokens[i] : i, reference->lists[l][i]);
            assert_rows_hold_keys(world, slot, layer, head / group);
        }
}

static void decode_both(struct policy_world *world, struct reference *reference, int32_t slot, int n) {
    for (int i = 0; i < n; i++) {
        world_decode(world, slot);
        reference_admit(reference, world, world->n_tokens[slot] - 1, 1, true);
        assert_same(world, slot, reference);
    }
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

static const struct {
    struct world_shape shape;
    double lambda;
    int64_t every;
} cases[] = {
    {{"rkv", "every=16", 40, 2, 0, 2, 2}, 0.1, 16},
    {{"rkv", "every=8,rkv.lambda=0.5", 9, 1, 2, 1, 1}, 0.5, 8},
    {{"rkv", "every=20,lambda=1", 33, 1, 0, 4, 1}, 1, 20},
    {{"rkv", "lambda=0", 50, 1, 3, 1, 4}, 0, 128},
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
            references[slot].lambda = cases[trial / 2].lambda;
            references[slot].every = cases[trial / 2].every;
        }
        prefill_both(&world, &references[0], 0, trial % 2 ? 200 : 5);
        prefill_both(&world, &references[1], 1, 30);
        for (int i = 0; i < 50; i++) {
            decode_both(&world, &references[0], 0, 3);
            decode_both(&world, &references[1], 1, 2);
        }
        assert_pages_returned(&world);
        prefill_both(&world, &references[0], 0, 60);
        decode_both(&world, &references[0], 0, 5); /* in the middle of observing */
        prefill_both(&world, &references[0], 0, 10);
        decode_both(&world, &references[0], 0, 30);
        assert_pages_returned(&world);
        rewind_both(&world, &references[0], 0, world.n_tokens[0] - 13);
        decode_both(&world, &references[0], 0, 50);
        rewind_both(&world, &references[0], 0, 0);
        prefill_both(&world, &references[0], 0, 30);
        decode_both(&world, &references[0], 0, 40);
        decode_both(&world, &references[1], 1, 1);
        world_destroy(&world);
    }
}

static void between_k_and_k_and_every_are_kept(void **state) {
    (void)state;
    struct policy_world world = world_create(cases[0].shape, 1, true);
    world_prefill(&world, 0, 300);
    for (int i = 0; i < OBSERVED; i++)
        world_decode(&world, 0);
    assert_int_equal(kv_policy_set(world.policy, 0, 0, 308, 0).n_tokens, 308);
    for (int i = 0; i < 100; i++) {
        world_decode(&world, 0);
        const struct kv_set set = kv_policy_set(world.policy, 0, 1, world.n_tokens[0], 3);
        assert_int_equal(set.n_tokens, 40 + 1 + i % 16);
        for (int j = 1; j <= OBSERVED + 1; j++)
            assert_int_equal(set.tokens[set.n_tokens - j], world.n_tokens[0] - j);
        assert_pages_returned(&world);
    }
    world_destroy(&world);
}

static void only_observed_steps_are_looked_at(void **state) {
    (void)state;
    struct policy_world world = world_create(cases[0].shape, 1, false);
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, WORLD_CONTEXT), KV_RANK); /* what it may come to */
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, 40), KV_ATTEND_ALL);
    world_prefill(&world, 0, 30);
    for (int i = 0; i < 200; i++) {
        world_decode(&world, 0);
        const int64_t n = world.n_tokens[0];
        assert_int_equal(kv_policy_layer(world.policy, 0, 1, n),
                         n > 40 && (n - 41) % 16 >= 8 ? KV_RANK : KV_ATTEND_ALL);
    }
    world_destroy(&world);
}

/* Equal scores and equal keys: all entries are alike but for who is forgiven. Whatever is broken does no
 * harm. */
static void broken_numbers_do_no_harm(void **state) {
    (void)state;
    static const float broken[] = {NAN, INFINITY, -INFINITY, 0};
    struct policy_world world = world_create(cases[1].shape, 5, true);
    world_prefill(&world, 0, 100);
    for (int i = 0; i < 100; i++) {
        float scores[WORLD_CONTEXT], key[FIXTURE_HEAD_DIM];
        world_admit(&world, 0);
        const int64_t token = world.n_tokens[0] - 1;
        for (int d = 0; d < FIXTURE_HEAD_DIM; d++)
            key[d] = broken[i % 4];
        kv_cache_append(world.cache, 0, 0, 0, kv_policy_row(world.policy, 0, 0, 0, token), key, key);
        for (int64_t j = 0; j < WORLD_CONTEXT; j++)
            scores[j] = broken[(i + j) % 3];
        if (kv_policy_layer(world.policy, 0, 0, token + 1) & KV_RANK)
            kv_policy_rank(world.policy, 0, 0, 0, token + 1, 0, scores);
        if (i >= OBSERVED) assert_in_range(kv_policy_set(world.policy, 0, 0, token + 1, 0).n_tokens, 10, 17);
    }
    assert_pages_returned(&world);
    world_destroy(&world);
}

static void ranks_do_not_show(void **state) {
    (void)state;
    check_ranks_do_not_show((struct world_shape){"rkv", "every=24", 50, 2, 0, 4, 2}, 120);
}

static void threads_do_not_show(void **state) {
    (void)state;
    check_threads_do_not_show(cases[0].shape, 100);
}

/* Three keys are alike, two not: of the three the newest repeats nothing but through itself. */
static void the_newest_of_the_alike_is_forgiven(void **state) {
    (void)state;
    struct policy_world world = world_create(cases[1].shape, 0, false);
    struct arena *memory;
    struct key_redundancy redundancy;
    float out[5];
    assert_int_equal(arena_create("test", &memory), STATUS_OK);
    assert_int_equal(key_redundancy_create(&world.config, memory, &redundancy), STATUS_OK);
    world_prefill(&world, 0, 5);
    for (int32_t token = 0; token < 5; token++) {
        float key[FIXTURE_HEAD_DIM] = {0};
        key[token < 3 ? 0 : token] = (float)(token + 1);
        kv_cache_append(world.cache, 0, 0, 0, token, key, key);
    }
    const struct key_list list = {.n = 5};
    key_redundancy_find(&redundancy, &list, out);
    /* Sums of cosines: 1 of both others but that of the last; 2 is forgiven by 0 and 1, 1 by 2. */
    const double expected[] = {2 / 5.0, 1 / 5.0, 0, 0, 0};
    double sum = 0;
    for (int i = 0; i < 5; i++)
        sum += exp(expected[i]);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(out[i] - exp(expected[i]) / sum) < 1e-6);
    arena_destroy(memory);
    world_destroy(&world);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    struct world_shape shape = cases[0].shape;
    shape.budget = 8;
    world_refuses(shape, "keeps the last 8");
    shape = cases[0].shape;
    shape.options = "every=7";
    world_refuses(shape, "rkv.every");
    shape.options = "lambda=1.5";
    world_refuses(shape, "rkv.lambda");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(between_k_and_k_and_every_are_kept),
        cmocka_unit_test(only_observed_steps_are_looked_at),
        cmocka_unit_test(broken_numbers_do_no_harm),
        cmocka_unit_test(ranks_do_not_show),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(the_newest_of_the_alike_is_forgiven),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
