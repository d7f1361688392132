/* Sets as edges: runs, differences, sharing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "coordinator/trace_sets.h"

enum { N = 200 };

/* Membership of N tokens: random, of differing density. */
static void throw_members(uint64_t stream, bool members[N]) {
    for (int32_t i = 0; i < N; i++)
        members[i] = rng_uniform(11, stream, (uint64_t)i) < (double)(stream % 5) / 4;
}

static uint32_t add(struct trace_sets *sets, const int32_t *tokens, int32_t n) {
    uint32_t index;
    assert_int_equal(trace_sets_add_tokens(sets, tokens, n), STATUS_OK);
    assert_int_equal(trace_sets_close(sets, &index), STATUS_OK);
    return index;
}

static void expect_edges(struct trace_set set, const int32_t *edges, size_t n) {
    assert_int_equal(set.n_edges, n);
    if (n) assert_memory_equal(set.edges, edges, n * sizeof *edges);
}

static void tokens_become_runs(void **state) {
    (void)state;
    struct trace_sets sets;
    assert_int_equal(trace_sets_create(4, &sets), STATUS_OK);
    assert_int_equal(sets.n_sets, 1);
    expect_edges(trace_sets_get(&sets, sets.set_of[3]), NULL, 0);
    trace_sets_clear(&sets);
    const int32_t tokens[] = {0, 1, 2, 5, 7, 8};
    assert_int_equal(add(&sets, tokens, 6), 0);
    expect_edges(trace_sets_get(&sets, 0), (const int32_t[]){0, 3, 5, 6, 7, 9}, 6);
    assert_int_equal(trace_set_tokens(trace_sets_get(&sets, 0)), 6);
    trace_sets_free(&sets);
}

static void equal_sets_are_one(void **state) {
    (void)state;
    struct trace_sets sets;
    assert_int_equal(trace_sets_create(3, &sets), STATUS_OK);
    trace_sets_clear(&sets);
    const int32_t tokens[] = {0, 1, 2, 9};
    assert_int_equal(add(&sets, tokens, 3), 0);
    assert_int_equal(add(&sets, tokens, 4), 1);
    assert_int_equal(add(&sets, tokens, 3), 0);
    assert_int_equal(add(&sets, tokens, 0), 2);
    assert_int_equal(add(&sets, tokens, 0), 2);
    assert_int_equal(add(&sets, tokens, 4), 1);
    assert_int_equal(sets.n_sets, 3);
    assert_true(trace_set_is_all(trace_sets_get(&sets, 0), 3));
    assert_false(trace_set_is_all(trace_sets_get(&sets, 0), 4));
    assert_false(trace_set_is_all(trace_sets_get(&sets, 1), 4));
    trace_sets_free(&sets);
}

static struct trace_set add_members(struct trace_sets *sets, const bool members[N]) {
    int32_t tokens[N], n = 0;
    for (int32_t i = 0; i < N; i++)
        if (members[i]) tokens[n++] = i;
    assert_int_equal(trace_sets_create(1, sets), STATUS_OK);
    trace_sets_clear(sets);
    add(sets, tokens, n);
    return trace_sets_get(sets, 0);
}

static struct trace_set add_difference(struct trace_sets *sets, struct trace_set a, struct trace_set b) {
    uint32_t index;
    assert_int_equal(trace_sets_create(1, sets), STATUS_OK);
    trace_sets_clear(sets);
    assert_int_equal(trace_sets_add_difference(sets, a, b), STATUS_OK);
    assert_int_equal(trace_sets_close(sets, &index), STATUS_OK);
    return trace_sets_get(sets, index);
}

/* The difference holds what is in one of two sets; taken twice it leads back. */
static void differences_undo_themselves(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        bool in_a[N], in_b[N], in_one[N];
        throw_members(2 * round, in_a);
        throw_members(2 * round + 1, in_b);
        for (int32_t i = 0; i < N; i++)
            in_one[i] = in_a[i] != in_b[i];
        struct trace_sets memory[5];
        const struct trace_set a = add_members(&memory[0], in_a), b = add_members(&memory[1], in_b);
        const struct trace_set difference = add_difference(&memory[2], a, b);
        assert_true(trace_set_equal(difference, add_members(&memory[3], in_one)));
        assert_true(trace_set_equal(a, add_difference(&memory[4], difference, b)));
        for (int i = 0; i < 5; i++)
            trace_sets_free(&memory[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_become_runs),
        cmocka_unit_test(equal_sets_are_one),
        cmocka_unit_test(differences_undo_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
