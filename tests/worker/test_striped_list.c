/* Lists by stripe: every entry once, each stripe's in the order of the list, ranges as lists of single rows;
 * and the tree of stripes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "worker/partial.h"
#include "worker/striped_list.h"

enum { MOST = 5000 };

static int32_t rows[MOST], sorted_rows[MOST], sorted_entries[MOST];

static void test_units_go_round(void **state) {
    (void)state;
    static const int32_t stripe_of_unit[] = {0, 4, 2, 6, 1, 5, 3, 7};
    for (int64_t row = 0; row < 3 * KV_STRIPES * KV_UNIT_ROWS; row++)
        assert_int_equal(kv_stripe_of(row), stripe_of_unit[row / KV_UNIT_ROWS % KV_STRIPES]);
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++)
        for (int64_t n = 0, count = 0; n < 3 * KV_STRIPES * KV_UNIT_ROWS;
             count += kv_stripe_of(n) == stripe, n++)
            assert_int_equal(kv_stripe_rows(stripe, n), count);
}

/* Of 2, 4 or 8 ranks none has more than a unit more than another, however many rows there are. */
static void test_neighbours_share_evenly(void **state) {
    (void)state;
    for (int32_t n_ranks = 2; n_ranks <= KV_STRIPES; n_ranks *= 2)
        for (int64_t n = 0; n < 4 * KV_STRIPES * KV_UNIT_ROWS; n += 7) {
            int64_t fewest = INT64_MAX, most = 0;
            for (int32_t rank = 0, stripe = 0; rank < n_ranks; rank++) {
                int64_t count = 0;
                for (int32_t i = 0; i < KV_STRIPES / n_ranks; i++)
                    count += kv_stripe_rows(stripe++, n);
                fewest = count < fewest ? count : fewest;
                most = count > most ? count : most;
            }
            assert_true(most - fewest <= KV_UNIT_ROWS);
        }
}

static void test_sorting_keeps_the_order(void **state) {
    (void)state;
    for (int64_t n = 0; n <= MOST; n = n * 3 + 1) {
        for (int64_t i = 0; i < n; i++)
            rows[i] = (int32_t)(rng_uniform(1, (uint64_t)n, (uint64_t)i) * 100000);
        const struct striped_list list = striped_sort(rows, n, sorted_rows, sorted_entries);
        assert_int_equal(list.begins[KV_STRIPES], n);
        for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++) {
            int64_t before = -1;
            for (int64_t i = 0; i < striped_list_size(&list, stripe); i++) {
                const int64_t entry = striped_list_entry(&list, stripe, i);
                const struct row_run run = striped_list_run(&list, stripe, i, 1);
                assert_true(entry > before);
                assert_int_equal(run.rows[0], rows[entry]);
                assert_int_equal(kv_stripe_of(run.rows[0]), stripe);
                before = entry;
            }
        }
    }
}

/* The i-th of a run's rows. */
static int64_t row_at(struct row_run run, int64_t i) {
    return run.rows ? run.rows[i] : run.first + i;
}

static void expect_as_sorted(int64_t first, int64_t n) {
    static float in_order[MOST], scattered[MOST], values[MOST];
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (int32_t)(first + i);
        in_order[i] = (float)i;
    }
    memset(scattered, 0, sizeof scattered);
    const struct striped_list sorted = striped_sort(rows, n, sorted_rows, sorted_entries);
    const struct striped_list range = striped_range(first, n);
    assert_memory_equal(sorted.begins, range.begins, sizeof range.begins);
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++) {
        const int64_t size = striped_list_size(&range, stripe);
        for (int64_t i = 0; i < size;) {
            const struct row_run run = striped_list_run(&range, stripe, i, size - i);
            assert_in_range(run.n, 1, KV_UNIT_ROWS);
            for (int64_t j = 0; j < run.n; j++, i++) {
                assert_int_equal(row_at(run, j), row_at(striped_list_run(&sorted, stripe, i, 1), 0));
                assert_int_equal(striped_list_entry(&range, stripe, i),
                                 striped_list_entry(&sorted, stripe, i));
            }
        }
        striped_list_gather(stripe % 2 ? &sorted : &range, stripe, 0, size, in_order, values);
        striped_list_scatter(stripe % 2 ? &range : &sorted, stripe, 0, size, values, scattered);
    }
    assert_memory_equal(scattered, in_order, (size_t)n * sizeof *in_order);
}

static void test_ranges_are_lists_of_neighbours(void **state) {
    (void)state;
    static const int64_t firsts[] = {0, 1, 127, 128, 129, 1000, 1024, 4095},
                         sizes[] = {0, 1, 2, 127, 128, 129, 897, 1024, 1025, 4700};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            expect_as_sorted(firsts[i], sizes[j]);
}

/* Partials of one query of one dimension. */
struct numbers {
    float max, sum, acc;
};

static void draw(uint64_t seed, uint32_t there, struct numbers numbers[KV_STRIPES],
                 struct partial stripes[KV_STRIPES]) {
    memset(stripes, 0, KV_STRIPES * sizeof *stripes);
    for (uint64_t i = 0; i < KV_STRIPES; i++) {
        numbers[i] = (struct numbers){(float)rng_uniform(seed, i, 0) * 9, (float)rng_uniform(seed, i, 1) + 1,
                                      (float)rng_uniform(seed, i, 2)};
        if (there >> i & 1) stripes[i] = (struct partial){&numbers[i].max, &numbers[i].sum, &numbers[i].acc};
    }
}

static void merge(int32_t begin, int32_t end, struct partial stripes[KV_STRIPES]) {
    partial_merge_stripes(kernels_at_level(kernels_best_level()), 1, 1, begin, end, stripes);
}

/* Each share's stripes first, of which only the subtrees' roots go on. cuts: bit i: a share begins at stripe
 * i. */
static void merge_in_shares(uint32_t cuts, struct partial stripes[KV_STRIPES]) {
    struct partial roots[KV_STRIPES] = {0};
    for (int32_t begin = 0, end; begin < KV_STRIPES; begin = end) {
        for (end = begin + 1; end < KV_STRIPES && !(cuts >> end & 1);)
            end++;
        merge(begin, end, stripes);
        for (int32_t i = begin; i < end; i += kv_stripe_subtree(i, end))
            roots[i] = stripes[i];
    }
    memcpy(stripes, roots, sizeof roots);
    merge(0, KV_STRIPES, stripes);
}

static void test_subtrees_may_be_merged_anywhere(void **state) {
    (void)state;
    struct numbers numbers[KV_STRIPES];
    struct partial stripes[KV_STRIPES];
    for (uint32_t there = 1; there < 1u << KV_STRIPES; there++)
        for (uint32_t cuts = 0; cuts < 1u << KV_STRIPES; cuts += 2) {
            draw(there, there, numbers, stripes);
            merge(0, KV_STRIPES, stripes);
            const struct numbers expected = {*stripes[0].max, *stripes[0].sum, *stripes[0].acc};
            draw(there, there, numbers, stripes);
            merge_in_shares(cuts, stripes);
            const struct numbers actual = {*stripes[0].max, *stripes[0].sum, *stripes[0].acc};
            assert_memory_equal(&actual, &expected, sizeof expected);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_go_round),
        cmocka_unit_test(test_neighbours_share_evenly),
        cmocka_unit_test(test_sorting_keeps_the_order),
        cmocka_unit_test(test_ranges_are_lists_of_neighbours),
        cmocka_unit_test(test_subtrees_may_be_merged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
