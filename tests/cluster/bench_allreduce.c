/* How long a token's all-reduces take, each algorithm beside MPI_Allreduce of all ranks:
 *
 *   mpirun -n 4 bench_allreduce [KIB [SUMS [ROUNDS]]]
 *
 * times SUMS sums (72, two for each of 36 layers) of KIB KiB (16). In a round every algorithm has its turn;
 * shown are medians of ROUNDS (5) and how many times faster than MPI that is. What is measured to be fastest
 * at the start, and so taken by the program, is marked. From 256 KiB on it also shows how much of a sum that
 * is begun early hides behind work. CAUCUS_TEST_HOSTS pretends several hosts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/median.h"
#include "base/timer.h"
#include "cluster/allreduce_impl.h"

enum { OVERLAP_BYTES_MIN = 256 << 10 }; /* what may be begun early */
enum { ROUNDS_MAX = 101, FLOATS = ALLREDUCE_ALGORITHMS, CANDIDATES = 2 * ALLREDUCE_ALGORITHMS };

struct bench {
    struct comm *comm;
    size_t bytes;
    int n_sums, n_rounds;
    int64_t *values;
};

/* Candidates are the algorithms for integers, then the same for floats. */
static bool fits(const struct bench *bench, int candidate) {
    const struct allreduce_algorithm *algorithm = allreduce_algorithm(candidate % ALLREDUCE_ALGORITHMS);
    if (candidate < FLOATS || algorithm->choice == ALLREDUCE_MPI)
        return allreduce_fits(bench->comm, algorithm);
    return allreduce_fits_floats(bench->comm, algorithm);
}

/* Sums of hidden states have some 37 bits. */
static void fill(const struct bench *bench, bool floats) {
    for (size_t i = 0; i < bench->bytes / sizeof(int64_t); i++)
        bench->values[i] = floats ? 0 : (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15)) >> 27;
}

static double time_candidate(const struct bench *bench, int candidate) {
    const struct allreduce_algorithm *algorithm = allreduce_algorithm(candidate % ALLREDUCE_ALGORITHMS);
    const bool floats = candidate >= FLOATS;
    const struct element *element = floats ? allreduce_floats(bench->comm) : allreduce_integers(algorithm);
    double seconds = 0;
    comm_barrier(bench->comm);
    for (int sum = 0; sum < bench->n_sums; sum++) {
        if (sum % 8 == 0) fill(bench, floats); /* sums grow */
        const double begin = timer_seconds();
        algorithm->sum(bench->comm, algorithm, element, bench->values, bench->bytes / element->bytes);
        seconds += timer_seconds() - begin;
    }
    return seconds;
}

static void print_candidate(const struct bench *bench, int candidate, double seconds, double seconds_of_mpi) {
    const int class = allreduce_size_class(bench->bytes), index = candidate % ALLREDUCE_ALGORITHMS;
    const bool floats = candidate >= FLOATS;
    const int taken = floats ? bench->comm->float_algorithm[class] : bench->comm->exact_algorithm[class];
    printf("%-9s %-18s %9.3f ms  %5.2fx%s\n", floats ? "floats" : "integers",
           allreduce_algorithm(index)->name, seconds * 1e3, seconds_of_mpi / seconds,
           taken == index ? "  taken" : "");
}

static void run(const struct bench *bench) {
    static double seconds[CANDIDATES][ROUNDS_MAX];
    for (int round = -1; round < bench->n_rounds; round++) /* the first warms up */
        for (int candidate = 0; candidate < CANDIDATES; candidate++)
            if (fits(bench, candidate))
                seconds[candidate][round < 0 ? 0 : round] = time_candidate(bench, candidate);
    if (comm_rank(bench->comm) != 0) return;
    printf("%d sums of %zu KiB, %d ranks on %d hosts, median of %d\n", bench->n_sums, bench->bytes >> 10,
           comm_size(bench->comm), bench->comm->hosts.n, bench->n_rounds);
    double of_mpi = 0;
    for (int candidate = 0; candidate < CANDIDATES; candidate++) {
        if (!fits(bench, candidate)) continue;
        const double median = median_of(seconds[candidate], bench->n_rounds);
        if (candidate % ALLREDUCE_ALGORITHMS == 0) of_mpi = median;
        print_candidate(bench, candidate, median, of_mpi);
    }
}

/* Looks at a clock for so long, and at what is under way every so often. */
static void work(struct comm *comm, double seconds, double seconds_between_looks) {
    const double begin = timer_seconds();
    for (double now = begin, looked = begin; now - begin < seconds; now = timer_seconds()) {
        if (now - looked < seconds_between_looks) continue;
        allreduce_progress(comm);
        looked = now;
    }
}

static double time_overlap(const struct bench *bench, double seconds, double seconds_between_looks) {
    double of_round[ROUNDS_MAX];
    for (int round = 0; round < bench->n_rounds; round++) {
        fill(bench, false);
        comm_barrier(bench->comm);
        const double begin = timer_seconds();
        allreduce_sum_i64_begin(bench->comm, bench->values, bench->bytes / sizeof *bench->values);
        work(bench->comm, seconds, seconds_between_looks);
        allreduce_sum_finish(bench->comm);
        of_round[round] = timer_seconds() - begin;
    }
    return median_of(of_round, bench->n_rounds);
}

/* How much of a sum that was begun early hides behind as much work as it takes by itself. */
static void run_overlap(const struct bench *bench) {
    CHECK(allreduce_reserve(bench->comm, bench->bytes) == STATUS_OK);
    double alone = time_overlap(bench, 0, 1);
    comm_broadcast(bench->comm, &alone, sizeof alone);
    static const double looks[] = {0.00005, 0.0002, 0.001, 1};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        const double together = time_overlap(bench, alone, looks[i]);
        if (comm_rank(bench->comm) == 0)
            printf("begun: %.3f ms alone; with as much work, looking every %g ms: %.3f ms\n", alone * 1e3,
                   looks[i] * 1e3, together * 1e3);
    }
}

static int argument(int argc, char **argv, int index, int initial, int most) {
    const int value = argc > index ? atoi(argv[index]) : initial;
    return value < 1 ? 1 : value > most ? most : value;
}

int main(int argc, char **argv) {
    struct bench bench = {.n_rounds = argument(argc, argv, 3, 5, ROUNDS_MAX),
                          .n_sums = argument(argc, argv, 2, 72, 1000000),
                          .bytes = (size_t)argument(argc, argv, 1, 16, 1 << 20) << 10};
    if (comm_open(&argc, &argv, &bench.comm) != STATUS_OK) return 1;
    bench.values = malloc(bench.bytes);
    CHECK(bench.values);
    const struct allreduce_config config = {.crowded = true};
    const enum status status = allreduce_set_up(bench.comm, &config);
    if (status == STATUS_OK) {
        run(&bench);
        if (bench.bytes >= OVERLAP_BYTES_MIN) run_overlap(&bench);
    } else {
        fprintf(stderr, "bench_allreduce: %s\n", status_message());
    }
    free(bench.values);
    comm_close(bench.comm);
    return status_exit_code(status);
}
