#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "cluster/shard_map.h"

enum { MAX_RANKS = 64 };

static const struct shard_dims qwen3_8b = {32, 8, 128, 12288, 0, 151936, 4096};
static const struct shard_dims stories260k = {8, 4, 8, 172, 0, 512, 64};

static struct shard_map make_map(struct shard_dims dims, int n_ranks) {
    struct shard_map map;
    assert_int_equal(shard_map_create(&dims, n_ranks, &map), STATUS_OK);
    return map;
}

/* The ranges of all ranks, in order, are [0, n) without gap or overlap, in whole blocks but for the end, and,
 * where ranks are alike, no rank has two blocks more than another. */
static void expect_partition(const struct shard_map *map,
                             struct shard_range (*range_of)(const struct shard_map *, int), int64_t n,
                             int64_t block) {
    int64_t position = 0, fewest = INT64_MAX, most = 0;
    for (int rank = 0; rank < map->n_ranks; rank++) {
        const struct shard_range range = range_of(map, rank);
        assert_int_equal(range.begin, position);
        assert_true(range.end >= range.begin && range.end <= n);
        assert_true(range.begin % block == 0 || range.begin == n);
        assert_true(range.end % block == 0 || range.end == n);
        const int64_t n_blocks = (shard_range_size(range) + block - 1) / block;
        fewest = n_blocks < fewest ? n_blocks : fewest;
        most = n_blocks > most ? n_blocks : most;
        position = range.end;
    }
    assert_int_equal(position, n);
    assert_true(map->shares.n > 0 || most - fewest <= 1);
}

static void test_deal_partitions_exactly(void **state) {
    (void)state;
    for (int64_t n = 0; n <= 300; n++)
        for (int n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++) {
            int64_t position = 0;
            for (int rank = 0; rank < n_ranks; rank++) {
                const struct shard_range range = shard_deal(n, n_ranks, rank);
                assert_int_equal(range.begin, position);
                assert_int_equal(shard_range_size(range), n / n_ranks + (rank < n % n_ranks));
                position = range.end;
            }
            assert_int_equal(position, n);
        }
}

static void test_deal_of_huge_dimensions(void **state) {
    (void)state;
    const struct shard_range last = shard_deal(INT64_MAX, 64, 63);
    assert_int_equal(last.end, INT64_MAX);
    assert_int_equal(shard_range_size(last), INT64_MAX / 64);
}

static void test_every_dimension_is_partitioned(void **state) {
    (void)state;
    static const int64_t sizes[] = {0,   1,   31,   32,   33,    172,   256,  767,
                                    768, 769, 4096, 6144, 12288, 18944, 25600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++) {
            const struct shard_map map =
                make_map((struct shard_dims){192, 64, 128, sizes[i], sizes[i], sizes[i] + 1, 64}, n_ranks);
            expect_partition(&map, shard_map_kv_heads, 64, 1);
            expect_partition(&map, shard_map_heads, 192, 3);
            expect_partition(&map, shard_map_mlp, sizes[i], map.mlp_block);
            expect_partition(&map, shard_map_expert, sizes[i], map.expert_block);
            expect_partition(&map, shard_map_vocab, sizes[i] + 1, map.vocab_block);
        }
}

static void test_query_heads_stay_with_their_kv_head(void **state) {
    (void)state;
    for (int n_ranks = 1; n_ranks <= 8; n_ranks++) {
        const struct shard_map map = make_map(qwen3_8b, n_ranks);
        for (int rank = 0; rank < n_ranks; rank++) {
            const struct shard_range kv = shard_map_kv_heads(&map, rank), q = shard_map_heads(&map, rank);
            assert_int_equal(q.begin, kv.begin * 4);
            assert_int_equal(q.end, kv.end * 4);
        }
    }
}

/* The page docs/sharding.md shows these numbers. */
static void test_worked_example(void **state) {
    (void)state;
    const struct shard_map map = make_map(stories260k, 3);
    static const struct shard_range kv[] = {{0, 2}, {2, 3}, {3, 4}}, heads[] = {{0, 4}, {4, 6}, {6, 8}},
                                    mlp[] = {{0, 64}, {64, 128}, {128, 172}},
                                    vocab[] = {{0, 192}, {192, 352}, {352, 512}};
    for (int rank = 0; rank < 3; rank++) {
        const struct shard_range actual[] = {shard_map_kv_heads(&map, rank), shard_map_heads(&map, rank),
                                             shard_map_mlp(&map, rank), shard_map_vocab(&map, rank)};
        const struct shard_range expected[] = {kv[rank], heads[rank], mlp[rank], vocab[rank]};
        assert_memory_equal(actual, expected, sizeof expected);
    }
}

static void test_a_rank_may_own_nothing(void **state) {
    (void)state;
    const struct shard_map map = make_map((struct shard_dims){7, 7, 8, 172, 0, 128, 64}, 7);
    for (int rank = 0; rank < 7; rank++) {
        const struct shard_range experts = shard_map_expert(&map, rank), mlp = shard_map_mlp(&map, rank),
                                 vocab = shard_map_vocab(&map, rank);
        assert_int_equal(shard_range_size(experts), 0);
        assert_int_equal(shard_range_size(mlp), rank < 5 ? 32 : rank == 5 ? 12 : 0);
        assert_int_equal(shard_range_size(vocab), rank < 4 ? 32 : 0);
    }
}

static void test_canonical_block(void **state) {
    (void)state;
    static const struct {
        int64_t n, block;
    } cases[] = {{0, 32},      {172, 32},    {1505, 64},  {1504, 64},   {1472, 32},
                 {3008, 128},  {2944, 64},   {5888, 128}, {5889, 256},  {6144, 256},
                 {12288, 256}, {18944, 256}, {1536, 64},  {25600, 256}, {768, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(shard_canonical_block(cases[i].n), cases[i].block);
}

static void test_blocks_do_not_depend_on_rank_count(void **state) {
    (void)state;
    const struct shard_map one = make_map(qwen3_8b, 1);
    assert_int_equal(one.mlp_block, 256);
    assert_int_equal(one.vocab_block, 608); /* ceil(151936 / 256) = 594 */
    for (int n_ranks = 2; n_ranks <= 8; n_ranks++) {
        const struct shard_map map = make_map(qwen3_8b, n_ranks);
        assert_int_equal(map.mlp_block, one.mlp_block);
        assert_int_equal(map.expert_block, one.expert_block);
        assert_int_equal(map.vocab_block, one.vocab_block);
    }
}

/* Ranks [group.begin, group.end) share `head`: they have it, and its stripes and output rows once. */
static void expect_group(const struct shard_map *map, struct shard_range group, int64_t head) {
    int64_t stripe = 0, row = 0;
    for (int rank = (int)group.begin; rank < group.end; rank++) {
        const struct shard_range heads = shard_map_kv_heads(map, rank), actual = shard_map_group(map, rank);
        const struct shard_range stripes = shard_map_stripes(map, rank),
                                 rows = shard_map_output_rows(map, rank);
        assert_int_equal(heads.begin, head);
        assert_int_equal(heads.end, head + 1);
        assert_memory_equal(&actual, &group, sizeof group);
        assert_int_equal(stripes.begin, stripe);
        assert_int_equal(rows.begin, row);
        assert_true(rows.end % 32 == 0 || rows.end == map->dims.hidden_size);
        stripe = stripes.end;
        row = rows.end;
    }
    assert_int_equal(stripe, SHARD_STRIPES);
    assert_int_equal(row, map->dims.hidden_size);
}

static void test_groups_share_heads(void **state) {
    (void)state;
    for (int n_kv_heads = 1; n_kv_heads <= 16; n_kv_heads++)
        for (int n_ranks = n_kv_heads + 1; n_ranks <= 300; n_ranks++) {
            const struct shard_map map =
                make_map((struct shard_dims){3 * n_kv_heads, n_kv_heads, 8, 172, 0, 512, 200}, n_ranks);
            int64_t position = 0, fewest = n_ranks, most = 0;
            for (int head = 0; head < n_kv_heads; head++) {
                const struct shard_range group = shard_map_group(&map, (int)position);
                const struct shard_range heads = shard_map_heads(&map, (int)position);
                const int64_t size = shard_range_size(group);
                assert_int_equal(group.begin, position);
                assert_int_equal(heads.begin, 3 * head);
                assert_int_equal(heads.end, 3 * head + 3);
                expect_group(&map, group, head);
                fewest = size < fewest ? size : fewest;
                most = size > most ? size : most;
                position = group.end;
            }
            assert_int_equal(position, n_ranks);
            assert_true(most - fewest <= 1);
        }
}

/* All else is dealt as ever. */
static void test_rows_may_be_left_to_the_first(void **state) {
    (void)state;
    for (int n_ranks = 1; n_ranks <= 13; n_ranks++) {
        const struct shard_map dealt = make_map(stories260k, n_ranks);
        struct shard_map map = dealt;
        shard_map_leave_rows(&map);
        for (int rank = 0; rank < n_ranks; rank++) {
            const struct shard_range stripes = shard_map_stripes(&map, rank),
                                     rows = shard_map_output_rows(&map, rank),
                                     dealt_rows = shard_map_output_rows(&dealt, rank);
            assert_int_equal(stripes.begin, shard_map_group(&map, rank).begin == rank ? 0 : SHARD_STRIPES);
            assert_int_equal(stripes.end, SHARD_STRIPES);
            assert_memory_equal(&rows, &dealt_rows, sizeof rows);
        }
    }
}

static void test_whole_heads_are_not_shared(void **state) {
    (void)state;
    for (int n_ranks = 1; n_ranks <= 8; n_ranks++) {
        const struct shard_map map = make_map(qwen3_8b, n_ranks);
        for (int rank = 0; rank < n_ranks; rank++) {
            assert_int_equal(shard_map_group(&map, rank).begin, rank);
            assert_int_equal(shard_range_size(shard_map_group(&map, rank)), 1);
            assert_int_equal(shard_range_size(shard_map_stripes(&map, rank)), SHARD_STRIPES);
            assert_int_equal(shard_range_size(shard_map_output_rows(&map, rank)), 4096);
        }
    }
}

/* docs/sharding.md shows these numbers, too. */
static void test_worked_example_of_a_grid(void **state) {
    (void)state;
    const struct shard_map map = make_map(stories260k, 6);
    static const int kv_head[] = {0, 0, 1, 1, 2, 3};
    static const struct shard_range stripes[] = {{0, 4}, {4, 8}, {0, 4}, {4, 8}, {0, 8}, {0, 8}},
                                    rows[] = {{0, 32}, {32, 64}, {0, 32}, {32, 64}, {0, 64}, {0, 64}},
                                    mlp[] = {{0, 32}, {32, 64}, {64, 96}, {96, 128}, {128, 160}, {160, 172}};
    for (int rank = 0; rank < 6; rank++) {
        const struct shard_range actual[] = {shard_map_stripes(&map, rank), shard_map_output_rows(&map, rank),
                                             shard_map_mlp(&map, rank)};
        const struct shard_range expected[] = {stripes[rank], rows[rank], mlp[rank]};
        assert_int_equal(shard_map_kv_heads(&map, rank).begin, kv_head[rank]);
        assert_memory_equal(actual, expected, sizeof expected);
    }
}

static struct shard_map make_uneven(struct shard_dims dims, const char *text) {
    struct shares shares;
    assert_int_equal(shares_parse(text, &shares), STATUS_OK);
    struct shard_map map = make_map(dims, shares.n);
    assert_int_equal(shard_map_set_shares(&map, &shares), STATUS_OK);
    return map;
}

static void test_shares_deal_everything_once(void **state) {
    (void)state;
    static const char *const texts[] = {"1",
                                        "1,1",
                                        "1,1000",
                                        "5,1,2",
                                        "1,1,1,900",
                                        "3,1,2,2,9,1",
                                        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct shard_map map = make_uneven(qwen3_8b, texts[i]);
        if (map.n_ranks <= 8) expect_partition(&map, shard_map_kv_heads, 8, 1);
        expect_partition(&map, shard_map_mlp, 12288, map.mlp_block);
        expect_partition(&map, shard_map_vocab, 151936, map.vocab_block);
        for (int rank = 0; rank < map.n_ranks; rank++) {
            const struct shard_range kv_heads = shard_map_kv_heads(&map, rank),
                                     group = shard_map_group(&map, rank);
            assert_true(shard_range_size(kv_heads) >= 1); /* however small its share */
            int64_t stripe = 0, row = 0;
            for (int member = (int)group.begin; member < group.end; member++) {
                assert_int_equal(shard_map_stripes(&map, member).begin, stripe);
                assert_int_equal(shard_map_output_rows(&map, member).begin, row);
                stripe = shard_map_stripes(&map, member).end;
                row = shard_map_output_rows(&map, member).end;
            }
            assert_int_equal(stripe, SHARD_STRIPES);
            assert_int_equal(row, 4096);
        }
    }
}

/* docs/sharding.md shows these numbers. */
static void test_worked_example_of_shares(void **state) {
    (void)state;
    const struct shard_map map = make_uneven(qwen3_8b, "3,2,1");
    static const struct shard_range kv[] = {{0, 4}, {4, 6}, {6, 8}},
                                    mlp[] = {{0, 6144}, {6144, 10240}, {10240, 12288}},
                                    vocab[] = {{0, 76000}, {76000, 126464}, {126464, 151936}};
    for (int rank = 0; rank < 3; rank++) {
        const struct shard_range actual[] = {shard_map_kv_heads(&map, rank), shard_map_mlp(&map, rank),
                                             shard_map_vocab(&map, rank)};
        const struct shard_range expected[] = {kv[rank], mlp[rank], vocab[rank]};
        assert_memory_equal(actual, expected, sizeof expected);
    }
}

static void test_as_many_shares_as_ranks(void **state) {
    (void)state;
    struct shard_map map = make_map(qwen3_8b, 2);
    struct shares shares;
    assert_int_equal(shares_parse("3,2,1", &shares), STATUS_OK);
    assert_int_equal(shard_map_set_shares(&map, &shares), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "--shares has 3 numbers, but there are 2 ranks");
    assert_int_equal(shard_map_set_shares(&map, &(struct shares){0}), STATUS_OK);
}

static void expect_refusal(struct shard_dims dims, int n_ranks, const char *sentence) {
    struct shard_map map;
    assert_int_equal(shard_map_create(&dims, n_ranks, &map), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), sentence);
}

static void test_refusals(void **state) {
    (void)state;
    expect_refusal((struct shard_dims){7, 2, 8, 172, 0, 512, 64}, 1,
                   "7 query heads cannot be grouped over 2 KV heads");
    expect_refusal((struct shard_dims){0, 2, 8, 172, 0, 512, 64}, 1,
                   "0 query heads cannot be grouped over 2 KV heads");
    expect_refusal((struct shard_dims){2, 0, 8, 172, 0, 512, 64}, 1,
                   "2 query heads cannot be grouped over 0 KV heads");
    expect_refusal((struct shard_dims){2, 2, 0, 172, 0, 512, 64}, 1, "a head of 0 dimensions");
    expect_refusal((struct shard_dims){2, 2, 8, -1, 0, 512, 64}, 1, "an MLP of -1 columns and experts of 0");
    expect_refusal((struct shard_dims){2, 2, 8, 172, 0, 0, 64}, 1, "a vocabulary of 0 tokens");
    expect_refusal((struct shard_dims){2, 2, 8, 172, 0, 512, -1}, 1, "a hidden state of -1 elements");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deal_partitions_exactly),
        cmocka_unit_test(test_deal_of_huge_dimensions),
        cmocka_unit_test(test_every_dimension_is_partitioned),
        cmocka_unit_test(test_query_heads_stay_with_their_kv_head),
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_a_rank_may_own_nothing),
        cmocka_unit_test(test_canonical_block),
        cmocka_unit_test(test_blocks_do_not_depend_on_rank_count),
        cmocka_unit_test(test_groups_share_heads),
        cmocka_unit_test(test_rows_may_be_left_to_the_first),
        cmocka_unit_test(test_whole_heads_are_not_shared),
        cmocka_unit_test(test_worked_example_of_a_grid),
        cmocka_unit_test(test_shares_deal_everything_once),
        cmocka_unit_test(test_worked_example_of_shares),
        cmocka_unit_test(test_as_many_shares_as_ranks),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
