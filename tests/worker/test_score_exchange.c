/* The best scores of all ranks that share a KV head are what one rank finds that has all of them: of any
 * range and number, with ties, with numbers that are none, however they are spread over the ranks. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kvshard/kv_stripes.h"
#include "tests/cluster/mpi_fixture.h"
#include "worker/attention_impl.h"
#include "worker/score_counts.h"

enum { CONTEXT = 6000, GROUP = 3, HEAD_DIM = 8, N_THREADS = 2 };

enum spread {
    EVEN,
    FEW_VALUES, /* ties everywhere */
    ONE_UNIT,   /* what is best lies together, on one rank */
    BROKEN,     /* infinities and no numbers among them */
    N_SPREADS
};

struct world {
    struct arena *memory;
    struct head_group *group;
    struct kv_policy *policy;
    struct score_exchange *exchange;
    float *all, *own; /* [GROUP, CONTEXT] scores; of other ranks' rows `own` has what must not be looked at */
};

static struct world create(const struct shares *shares) {
    struct world world;
    struct shard_map map;
    const struct shard_dims dims = {GROUP, 1, HEAD_DIM, 64, 0, 64, 64};
    const struct kv_policy_config policy = {.name = "tidal",
                                            .budget = 2,
                                            .n_slots = 1,
                                            .n_layers = 4,
                                            .n_heads_global = GROUP,
                                            .n_heads_local = GROUP,
                                            .n_kv_heads_local = 1,
                                            .head_dim = HEAD_DIM,
                                            .context_length = CONTEXT,
                                            .n_threads = N_THREADS,
                                            .kernels = kernels_at_level(kernels_best_level())};
    assert_int_equal(shard_map_create(&dims, comm_size(comm), &map), STATUS_OK);
    assert_int_equal(shard_map_set_shares(&map, shares), STATUS_OK);
    assert_int_equal(head_group_create(comm, &map, &world.group), STATUS_OK);
    assert_int_equal(kv_policy_create(&policy, &world.policy), STATUS_OK);
    const struct attention_shape shape = {.n_heads_local = GROUP,
                                          .n_kv_heads_local = 1,
                                          .head_dim = HEAD_DIM,
                                          .context_length = CONTEXT,
                                          .selects = true,
                                          .group = world.group};
    assert_int_equal(arena_create("test", &world.memory), STATUS_OK);
    assert_int_equal(score_exchange_create(&shape, policy.kernels, world.memory, &world.exchange), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, GROUP * CONTEXT, &world.all), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, GROUP * CONTEXT, &world.own), STATUS_OK);
    return world;
}

static void destroy(struct world *world) {
    head_group_destroy(world->group);
    kv_policy_destroy(world->policy);
    arena_destroy(world->memory);
}

static float draw(enum spread spread, int64_t head, int64_t token) {
    const float score = (float)(rng_uniform(7, (uint64_t)head, (uint64_t)token) * 8 - 4);
    const int64_t kind = token * 7 % 11;
    if (spread == FEW_VALUES) return floorf(score);
    if (spread == ONE_UNIT && token / KV_UNIT_ROWS == 9) return score + 100;
    if (spread == BROKEN && kind < 4)
        return kind == 0 ? NAN : kind == 1 ? -INFINITY : kind == 2 ? INFINITY : -0.0f;
    return score;
}

static void draw_scores(struct world *world, enum spread spread) {
    const struct shard_range stripes = head_group_stripes(world->group, head_group_member(world->group));
    for (int64_t head = 0; head < GROUP; head++)
        for (int64_t token = 0; token < CONTEXT; token++) {
            const int32_t stripe = kv_stripe_of(token);
            const int64_t at = head * CONTEXT + token;
            world->all[at] = draw(spread, head, token);
            world->own[at] = stripe >= stripes.begin && stripe < stripes.end ? world->all[at] : 1e9f;
        }
}

static struct item make_item(struct world *world, int64_t n_tokens) {
    return (struct item){.heads = {.n = GROUP},
                         .source = {.n_first = n_tokens},
                         .list = striped_range(0, n_tokens),
                         .scores = world->own};
}

/* How many of tokens [begin, end) are better than this one. */
static int64_t place_of(const float *scores, struct kv_best best, int64_t token) {
    int64_t place = 0;
    for (int64_t i = best.begin; i < best.end; i++) {
        const bool equal = scores[i] == scores[token] || (isnan(scores[i]) && isnan(scores[token]));
        const bool better = scores[i] > scores[token] || (isnan(scores[token]) && !isnan(scores[i]));
        place += better || (equal && i < token);
    }
    return place;
}

/* All of the best are there, and what is there ascends and has its own scores. */
static void expect_best(const struct world *world, struct kv_best best) {
    for (int32_t head = 0; head < GROUP; head++) {
        const struct kv_scored scored = score_exchange_scored(world->exchange, head);
        const float *scores = world->all + head * CONTEXT;
        int64_t n_best = 0;
        for (int64_t i = 0; i < scored.n; i++) {
            const int64_t token = scored.tokens[i];
            assert_true(token >= best.begin && token < best.end && (i == 0 || token > scored.tokens[i - 1]));
            n_best += place_of(scores, best, token) < best.n;
            assert_memory_equal(&scored.scores[i], &scores[token], sizeof *scores);
        }
        assert_int_equal(n_best, best.n);
    }
}

static bool find(struct world *world, int64_t n_tokens, struct kv_best best) {
    const struct item item = make_item(world, n_tokens);
    if (!score_exchange_best(world->exchange, world->policy, &item, best)) return false;
    expect_best(world, best);
    return true;
}

static void find_all(const struct shares *shares) {
    static const struct {
        int64_t n_tokens;
        struct kv_best best;
        bool found; /* by any ranks: even if all of the best are one rank's, they are fewer bytes */
    } cases[] = {
        {CONTEXT, {0, CONTEXT - 1, 100}, true},
        {CONTEXT, {4, CONTEXT - 300, 300}, true},
        {CONTEXT, {0, CONTEXT, 1}, true},
        {2000, {1500, 1600, 40}, true}, /* few rows, in two units */
        {1300, {0, 1300, 70}, true},    /* a last unit of few rows */
        {300, {290, 296, 5}, true},     /* all in one */
        {CONTEXT, {0, CONTEXT, 2999}, false},
        {CONTEXT, {10, 3100, 1700}, false},
    };
    struct world world = create(shares);
    for (int spread = 0; spread < N_SPREADS; spread++) {
        draw_scores(&world, (enum spread)spread);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            assert_true(find(&world, cases[i].n_tokens, cases[i].best) || !cases[i].found);
        }
    }
    destroy(&world);
}

static void test_the_best_are_found(void **state) {
    (void)state;
    find_all(&(struct shares){0});
}

/* Members of which some have no row at all. */
static void test_uneven_ranks(void **state) {
    (void)state;
    struct shares shares = {.n = comm_size(comm)};
    for (int rank = 0; rank < shares.n; rank++)
        shares.of[rank] = rank == shares.n / 2 ? 40 : 1;
    find_all(&shares);
}

/* All scores where the best would be as many bytes. */
static void test_what_is_sent(void **state) {
    (void)state;
    struct world world = create(&(struct shares){0});
    const int n_members = head_group_size(world.group);
    int64_t counts[16] = {0}, total = 0;
    assert_true(n_members <= 16);
    assert_true(score_counts_best(world.group, CONTEXT, (struct kv_best){0, CONTEXT, 64}, 1, counts));
    for (int member = 0; member < n_members; member++) {
        const int64_t n_rows = score_rows(head_group_stripes(world.group, member), 0, CONTEXT);
        assert_int_equal(counts[member], (64 * n_rows + CONTEXT - 1) / CONTEXT);
        total += n_rows;
    }
    assert_int_equal(total, CONTEXT);
    assert_false(score_counts_best(world.group, 200, (struct kv_best){0, 200, 100}, 2, counts));
    draw_scores(&world, EVEN);
    const struct item item = make_item(&world, 200);
    assert_false(score_exchange_best(world.exchange, world.policy, &item, (struct kv_best){0, 200, 100}));
    score_exchange_all(world.exchange, &item, 1);
    for (int64_t head = 0; head < GROUP; head++)
        assert_memory_equal(world.own + head * CONTEXT, world.all + head * CONTEXT, 200 * sizeof *world.all);
    destroy(&world);
}

int main(void) {
    omp_set_num_threads(N_THREADS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_are_found),
        cmocka_unit_test(test_uneven_ranks),
        cmocka_unit_test(test_what_is_sent),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
