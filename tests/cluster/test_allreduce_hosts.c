/* All-reduces of ranks that pretend to be on several hosts, placed in many ways: against sums that every rank
 * computes by itself, and bit for bit where floats are concerned. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allreduce_terms.h"
#include "base/rng.h"
#include "cluster/allreduce_impl.h"
#include "mpi_fixture.h"

enum { RANKS_MAX = 7, HOSTS_MAX = 7 };

/* The host of each rank; as many of these as there are ranks. */
static const int placements[][RANKS_MAX] = {
    {0, 1, 2, 3, 4, 5, 6},             /* one rank each */
    {0, 0, 1, 1, 2, 2, 3},             /* in turns of two */
    {0, 1, 0, 1, 1, 0, 1},             /* scattered */
    {5, 5, 5, 2, 5, 5, 5},             /* one apart; numbers of any kind */
    {0, 1, 1, 1, 1, 1, 1},             /* rank 0 apart */
    {INT_MAX, 0, 0, INT_MAX, 7, 7, 0}, /* uneven */
    {3, 3, 3, 3, 3, 3, 3},             /* one host after all */
};
enum { N_PLACEMENTS = sizeof placements / sizeof *placements };

/* What the placement means, worked out anew. */
struct expected {
    int n_hosts;
    int host_of[RANKS_MAX]; /* numbered in the order of their lowest ranks */
};

static struct expected expected_of(const int *placement) {
    struct expected expected = {0};
    for (int rank = 0; rank < comm_size(comm); rank++) {
        int like = 0;
        while (placement[like] != placement[rank])
            like++;
        expected.host_of[rank] = like < rank ? expected.host_of[like] : expected.n_hosts++;
    }
    return expected;
}

/* Few ranks are placed in few ways. */
static bool is_another(int p) {
    const struct expected expected = expected_of(placements[p]);
    for (int before = 0; before < p; before++) {
        const struct expected known = expected_of(placements[before]);
        if (memcmp(&known, &expected, sizeof known) == 0) return false;
    }
    return comm_size(comm) > 1;
}

static void set_up(const int *placement, enum allreduce_wire wire) {
    const struct allreduce_config config = {.choice = ALLREDUCE_DIRECT, /* fewer to measure */
                                            .wire = wire,
                                            .crowded = true,
                                            .hosts = placement};
    assert_int_equal(allreduce_set_up(comm, &config), STATUS_OK);
}

static void use_algorithm(int algorithm) {
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++)
        comm->exact_algorithm[class] = comm->float_algorithm[class] = algorithm;
}

static void expect_placement(const struct expected *expected) {
    const int own = expected->host_of[comm_rank(comm)];
    int n_ranks = 0, position = 0;
    for (int rank = 0; rank < comm_size(comm); rank++) {
        n_ranks += expected->host_of[rank] == own;
        position += expected->host_of[rank] == own && rank < comm_rank(comm);
    }
    assert_int_equal(comm->hosts.n, expected->n_hosts);
    assert_int_equal(comm->hosts.own, own);
    assert_int_equal(comm->hosts.n_ranks, n_ranks);
    assert_int_equal(comm->hosts.position, position);
    assert_true((comm->window != NULL) == (n_ranks > 1));
    assert_true((comm->leaders != NULL) == (position == 0 && expected->n_hosts > 1));
}

/* Sizes about those of slots, pieces and shares. */
static const size_t sizes[] = {0, 1, 2, 7, 1023, 32769, 300001};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void expect_sum_i64(size_t n, int shift) {
    int64_t *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = term_i64(comm_rank(comm), i) >> shift;
    values[n] = -1;
    allreduce_sum_i64(comm, values, n);
    for (size_t i = 0; i < n; i += 1 + n / 5000) {
        int64_t sum = 0;
        for (int rank = 0; rank < comm_size(comm); rank++)
            sum += term_i64(rank, i) >> shift;
        assert_int_equal(values[i], sum);
    }
    assert_int_equal(values[n], -1);
    free(values);
}

static void expect_sums_i64(void) {
    for (size_t i = 0; i < N_SIZES; i++)
        expect_sum_i64(sizes[i], 0);
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++) {
        if (!allreduce_fits(comm, allreduce_algorithm(algorithm))) continue;
        use_algorithm(algorithm);
        for (size_t i = 0; i < N_SIZES; i++)
            expect_sum_i64(sizes[i], algorithm * 5); /* narrow in several widths */
    }
}

static float as_bf16(float value) {
    float message[4]; /* has the room of one */
    element_f32_as_bf16.unpack(message, element_f32_as_bf16.pack(&value, 1, message), 1);
    return message[0];
}

/* The documented order, one element: ranks of a host as they come, hosts as a tree. */
static float ordered_sum(const struct expected *expected, size_t i, bool as_halves) {
    float parts[HOSTS_MAX];
    void *places[HOSTS_MAX];
    for (int host = 0; host < expected->n_hosts; host++) {
        bool first = true;
        for (int rank = 0; rank < comm_size(comm); rank++) {
            if (expected->host_of[rank] != host) continue;
            parts[host] = first ? term_f32(rank, i) : parts[host] + term_f32(rank, i);
            first = false;
        }
        if (as_halves && expected->n_hosts > 1) parts[host] = as_bf16(parts[host]);
        places[host] = &parts[host];
    }
    element_add_as_tree(&element_f32, places, expected->n_hosts, 1);
    return as_halves && expected->n_hosts > 1 ? as_bf16(parts[0]) : parts[0];
}

/* Twice the same bits, of which each rank holds all others to its own reckoning. */
static void expect_sum_f32(const struct expected *expected, size_t n, bool as_halves) {
    float *values = malloc((n + 1) * sizeof *values);
    for (int run = 0; run < 2; run++) {
        for (size_t i = 0; i < n; i++)
            values[i] = term_f32(comm_rank(comm), i);
        values[n] = -1;
        allreduce_sum_f32(comm, values, n);
        for (size_t i = 0; i < n; i += 1 + n / 5000) {
            const float sum = ordered_sum(expected, i, as_halves);
            assert_memory_equal(&values[i], &sum, sizeof sum);
        }
        assert_true(values[n] == -1);
    }
    free(values);
}

/* The bound of docs/numerics.md: half a unit of 8 bits of each host's part and of the sum. */
static void expect_error_of_bf16(void) {
    enum { N = 5000 };
    static float values[N];
    for (size_t i = 0; i < N; i++)
        values[i] = term_f32(comm_rank(comm), i);
    allreduce_sum_f32(comm, values, N);
    for (size_t i = 0; i < N; i++) {
        double sum = 0, magnitudes = 0;
        for (int rank = 0; rank < comm_size(comm); rank++) {
            sum += (double)term_f32(rank, i);
            magnitudes += fabs((double)term_f32(rank, i));
        }
        assert_true(fabs((double)values[i] - sum) <= 0x1p-8 * (magnitudes + fabs(sum)) * 1.01);
    }
}

static void expect_sums_f32(const struct expected *expected, bool as_halves) {
    for (size_t i = 0; i < N_SIZES; i++)
        expect_sum_f32(expected, sizes[i], as_halves);
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++) {
        if (!allreduce_fits_floats(comm, allreduce_algorithm(algorithm))) continue;
        use_algorithm(algorithm);
        for (size_t i = 0; i < N_SIZES; i++)
            expect_sum_f32(expected, sizes[i], as_halves);
    }
}

static void expect_minimum(size_t n) {
    uint32_t *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = term_u32(comm_rank(comm), i);
    values[n] = 7;
    allreduce_min_u32_begin(comm, values, n);
    expect_sum_i64(2048, 20); /* what lies between */
    expect_sum_i64(n / 2, 20);
    allreduce_min_u32_finish(comm);
    for (size_t i = 0; i < n; i += 1 + n / 5000) {
        uint32_t minimum = UINT32_MAX;
        for (int rank = 0; rank < comm_size(comm); rank++)
            minimum = term_u32(rank, i) < minimum ? term_u32(rank, i) : minimum;
        assert_int_equal(values[i], minimum);
    }
    assert_int_equal(values[n], 7);
    free(values);
}

/* Several under way, of different kinds and lengths, with other sums and a minimum between. */
static void expect_begun_sums(const struct expected *expected, uint64_t round) {
    enum { MOST = 20000 };
    static int64_t exact[2][MOST];
    static float inexact[MOST];
    const size_t n = (size_t)(rng_uniform(6, 0, round) * MOST),
                 n_floats = (size_t)(rng_uniform(7, 0, round) * MOST);
    for (size_t i = 0; i < MOST; i++) {
        exact[0][i] = term_i64(comm_rank(comm), i);
        exact[1][i] = term_i64(comm_rank(comm), i + 1) >> 30;
        inexact[i] = term_f32(comm_rank(comm), i);
    }
    uint32_t minimum = term_u32(comm_rank(comm), round);
    allreduce_sum_i64_begin(comm, exact[0], n);
    allreduce_sum_f32_begin(comm, inexact, n_floats);
    allreduce_min_u32_begin(comm, &minimum, 1);
    allreduce_sum_i64_begin(comm, exact[1], MOST);
    expect_sum_i64(1000, 0);
    allreduce_progress(comm);
    allreduce_sum_finish(comm);
    allreduce_min_u32_finish(comm);
    allreduce_sum_i64_begin(comm, exact[0], 0);
    allreduce_sum_finish(comm);
    allreduce_sum_finish(comm);
    allreduce_sum_finish(comm);
    for (size_t i = 0; i < MOST; i += 7) {
        int64_t sums[2] = {i < n ? 0 : term_i64(comm_rank(comm), i), 0};
        for (int rank = 0; rank < comm_size(comm); rank++) {
            if (i < n) sums[0] += term_i64(rank, i);
            sums[1] += term_i64(rank, i + 1) >> 30;
        }
        assert_int_equal(exact[0][i], sums[0]);
        assert_int_equal(exact[1][i], sums[1]);
        const float sum = i < n_floats ? ordered_sum(expected, i, false) : term_f32(comm_rank(comm), i);
        assert_memory_equal(&inexact[i], &sum, sizeof sum);
    }
}

static void expect_many_begun_sums(const struct expected *expected) {
    enum { ROUNDS = 8, BYTES = 160000 };
    assert_int_equal(allreduce_reserve(comm, 100), STATUS_OK);
    assert_int_equal(allreduce_reserve(comm, BYTES), STATUS_OK);
    for (uint64_t round = 0; round < ROUNDS; round++)
        expect_begun_sums(expected, round);
}

static void test_placements(void **state) {
    (void)state;
    for (int p = 0; p < N_PLACEMENTS; p++) {
        if (!is_another(p)) continue;
        const struct expected expected = expected_of(placements[p]);
        set_up(placements[p], ALLREDUCE_WIRE_F32);
        expect_placement(&expected);
        expect_sums_i64();
        expect_sums_f32(&expected, false);
        for (size_t i = 0; i < N_SIZES; i++)
            expect_minimum(sizes[i]);
        expect_many_begun_sums(&expected);
    }
}

/* Each host's part and the sum are rounded, and nothing else. */
static void test_bf16(void **state) {
    (void)state;
    for (int p = 0; p < N_PLACEMENTS; p++) {
        if (!is_another(p)) continue;
        const struct expected expected = expected_of(placements[p]);
        set_up(placements[p], ALLREDUCE_WIRE_BF16);
        expect_sums_f32(&expected, true);
        expect_error_of_bf16();
    }
}

/* Whoever asks for a way between hosts gets it for integers; floats keep their order all the same. */
static void test_choices(void **state) {
    (void)state;
    for (int choice = ALLREDUCE_LEADERS; choice <= ALLREDUCE_SCATTER && comm_size(comm) > 1; choice++) {
        const struct allreduce_config config = {
            .choice = (enum allreduce_choice)choice, .crowded = true, .hosts = placements[0]};
        assert_int_equal(allreduce_set_up(comm, &config), STATUS_OK);
        for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++) {
            const struct allreduce_algorithm *exact = allreduce_algorithm(comm->exact_algorithm[class]);
            assert_int_equal(exact->choice, choice);
            assert_true(allreduce_fits_floats(comm, allreduce_algorithm(comm->float_algorithm[class])));
        }
    }
    const struct allreduce_config config = {.choice = ALLREDUCE_SHARED, .hosts = placements[0]};
    const enum status status = allreduce_set_up(comm, &config);
    assert_int_equal(status, comm_size(comm) > 1 ? STATUS_BAD_INPUT : STATUS_OK);
    assert_int_equal(comm->hosts.n, 0);
}

static void test_environment(void **state) {
    (void)state;
    const struct allreduce_config config = {.crowded = true};
    static const char *const wrong[] = {
        "",  "x",   "0,",           "-1,0,0,0,0,0,0", "0,0,0,0,0,0,0,0",        "0 1",
        ",", "0;0", "0,,0,0,0,0,0", "0,0,0,0,0,0,0,", "99999999999999999999,0", "2147483648"};
    static const char right[] = "0,1,0,1,2,2,0";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong && comm_size(comm) > 1; i++) {
        setenv("CAUCUS_TEST_HOSTS", wrong[i], 1);
        assert_int_equal(allreduce_set_up(comm, &config), STATUS_BAD_INPUT);
        assert_null(comm->window);
        expect_sum_i64(10, 0); /* MPI still can */
    }
    setenv("CAUCUS_TEST_HOSTS", &right[2 * (RANKS_MAX - comm_size(comm))], 1);
    assert_int_equal(allreduce_set_up(comm, &config), STATUS_OK);
    if (comm_size(comm) > 1) assert_true(comm->hosts.n >= 2);
    expect_sum_i64(10, 0);
    unsetenv("CAUCUS_TEST_HOSTS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placements),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
