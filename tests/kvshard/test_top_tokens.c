/* The k best of n against a comparison sort, with many ties, infinities and NaN. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kvshard/top_tokens_impl.h"

enum { N_MAX = 5120 };

struct candidate {
    float score;
    int32_t token;
};

/* Best first by comparing floats: nothing of the radix code is used. */
static int by_rank(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (isnan(a->score) != isnan(b->score)) return isnan(a->score) ? 1 : -1;
    if (a->score > b->score) return -1;
    if (a->score < b->score) return 1;
    return a->token < b->token ? -1 : 1;
}

static float draw_score(uint64_t trial, uint64_t i) {
    static const float specials[] = {INFINITY, -INFINITY, NAN, -NAN, 0.0f, -0.0f, 1e-42f, -1e-42f};
    const double u = rng_uniform(trial, 1, i);
    switch (trial % 5) {
    case 0: /* as in a model */
        return (float)((u - 0.5) * 20);
    case 1: /* ties everywhere */
        return (float)floor(u * 6) - 3;
    case 2: /* special values, often */
        return u < 0.5 ? specials[(int)(u * 16)] : (float)(u - 0.75);
    case 3: /* all equal but for a few */
        return u < 0.01 ? (float)u : 1.5f;
    default: { /* any bits */
        const uint32_t bits = (uint32_t)(u * 4294967296.0);
        float score;
        memcpy(&score, &bits, sizeof score);
        return score;
    }
    }
}

struct fixture {
    struct arena *arena;
    struct top_scratch scratch;
};

static struct fixture create(int level) {
    struct fixture fixture;
    assert_int_equal(arena_create("test", &fixture.arena), STATUS_OK);
    assert_int_equal(top_scratch_create(fixture.arena, kernels_at_level(level), N_MAX, &fixture.scratch),
                     STATUS_OK);
    return fixture;
}

static void check_ranking(const struct top_scratch *scratch, const float *scores, int64_t n, int64_t k) {
    static struct candidate sorted[N_MAX];
    static int32_t tokens[N_MAX + 1];
    for (int64_t i = 0; i < n; i++)
        sorted[i] = (struct candidate){scores[i], (int32_t)i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_rank);
    tokens[k] = -7; /* nothing is written behind the last */
    top_tokens(scores, n, k, scratch, tokens);
    for (int64_t i = 0; i < k; i++)
        assert_int_equal(tokens[i], sorted[i].token);
    assert_int_equal(tokens[k], -7);
}

static void agrees_with_a_sort(void **state) {
    (void)state;
    static float scores[N_MAX];
    for (int level = 0; level <= kernels_best_level(); level++) {
        struct fixture fixture = create(level);
        for (uint64_t trial = 0; trial < 2000; trial++) {
            const int64_t n_bound = trial % 10 ? 70 : N_MAX;
            const int64_t n = 1 + (int64_t)(rng_uniform(trial, 2, 0) * (double)n_bound);
            const double share = trial % 20 ? 1 : 0.1; /* few of many: most are passed over */
            const int64_t k = (int64_t)(rng_uniform(trial, 2, 1) * share * (double)(n + 1));
            for (int64_t i = 0; i < n; i++)
                scores[i] = draw_score(trial / 10, (uint64_t)i);
            check_ranking(&fixture.scratch, scores, n, k);
        }
        arena_destroy(fixture.arena);
    }
}

/* A sample of every n / 512-th that has only good scores, or only bad ones, or the worst of all. */
static void a_sample_that_misleads_costs_only_time(void **state) {
    (void)state;
    enum { N = 5120, STRIDE = N / 512 };
    static float scores[N];
    struct fixture fixture = create(kernels_best_level());
    const float sampled[] = {5, -5, NAN, -INFINITY};
    for (size_t i = 0; i < sizeof sampled / sizeof *sampled; i++)
        for (int64_t k = 1; k <= N; k = k * 3 + 1) {
            for (int64_t j = 0; j < N; j++)
                scores[j] = j % STRIDE ? (float)(j * 37 % 1000) * 1e-3f : sampled[i] + (float)j * 1e-4f;
            check_ranking(&fixture.scratch, scores, N, k);
        }
    arena_destroy(fixture.arena);
}

/* As many words as a sample is taken of, many of them equal, most of them UINT32_MAX. */
static void smallest_words_of_many(void **state) {
    (void)state;
    static uint32_t words[N_MAX];
    static int32_t indices[N_MAX + 1];
    struct fixture fixture = create(kernels_best_level());
    for (uint64_t trial = 0; trial < 300; trial++) {
        const int64_t n = N_MAX - (int64_t)trial, k = 1 + (int64_t)(rng_uniform(trial, 3, 1) * 900);
        const uint32_t range = trial % 3 ? 1u << 20 : 50;
        for (int64_t i = 0; i < n; i++) {
            const double u = rng_uniform(trial, 4, (uint64_t)i);
            words[i] = u < 0.3 ? (uint32_t)(u / 0.3 * range) : UINT32_MAX;
        }
        indices[k] = -7;
        smallest_words(words, n, k, &fixture.scratch, indices);
        assert_int_equal(indices[k], -7);
        uint32_t largest = 0;
        int32_t last = -1;
        for (int64_t i = 0; i < k; i++) {
            assert_true(i == 0 || indices[i] > indices[i - 1]);
            if (words[indices[i]] >= largest) largest = words[last = indices[i]];
        }
        int64_t n_before = 0; /* of the words that come before the largest, or are it */
        for (int32_t i = 0; i < n; i++)
            n_before += words[i] < largest || (words[i] == largest && i <= last);
        assert_int_equal(n_before, k);
    }
    arena_destroy(fixture.arena);
}

static void smallest_words_are_found_in_order(void **state) {
    (void)state;
    static const uint32_t words[] = {5, UINT32_MAX, 0, 5, 3, UINT32_MAX, 5, 0x80000000u, 4};
    static const struct {
        int64_t k;
        int32_t indices[9];
    } cases[] = {
        {0, {0}},
        {1, {2}},
        {3, {2, 4, 8}},
        {4, {0, 2, 4, 8}}, /* the first of three fives */
        {5, {0, 2, 3, 4, 8}},
        {7, {0, 2, 3, 4, 6, 7, 8}},
        {8, {0, 1, 2, 3, 4, 6, 7, 8}},
        {9, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
    };
    struct fixture fixture = create(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t indices[9] = {0};
        smallest_words(words, 9, cases[i].k, &fixture.scratch, indices);
        assert_memory_equal(indices, cases[i].indices, (size_t)cases[i].k * sizeof *indices);
    }
    arena_destroy(fixture.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sort),
        cmocka_unit_test(a_sample_that_misleads_costs_only_time),
        cmocka_unit_test(smallest_words_are_found_in_order),
        cmocka_unit_test(smallest_words_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
