/* Which algorithm is fastest for which size, on these ranks, now. Rank 0 measures for all, as all must take
 * the same. The algorithms take turns, so that what else the machine does meets them alike. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/launcher.h"
#include "base/log.h"
#include "base/median.h"
#include "base/timer.h"
#include "cluster/allreduce_impl.h"

enum { ROUNDS_MAX = 15 };

/* A decode step's sum has 8 to 64 KiB and a little, a prefill's megabytes. MPI libraries change their own way
 * between these. A size stands for those up to the next limit. */
static const struct {
    size_t bytes, limit;
} size_classes[ALLREDUCE_SIZE_CLASSES] = {{8 << 10, 11 << 10},   {16 << 10, 23 << 10},   {32 << 10, 46 << 10},
                                          {64 << 10, 128 << 10}, {256 << 10, 512 << 10}, {2 << 20, SIZE_MAX}};

/* A size is measured for so long, and so often, but once at least: MPI on fewer cores than ranks may take its
 * time. Between hosts there is more to tell apart, and a network that is not quiet. */
static const struct effort {
    double seconds;
    int rounds;
    double seconds_for_rounds; /* after which once is enough */
} effort_of_host = {0.004, 1, 0}, effort_of_hosts = {0.02, 3, 0.1};

enum { SUMS_IN_A_ROW = 8, SHORT_BYTES = 64 << 10 };

/* Medians in seconds; DBL_MAX for what does not fit. */
struct medians {
    double of[ALLREDUCE_SIZE_CLASSES][ALLREDUCE_ALGORITHMS];
};

int allreduce_size_class(size_t bytes) {
    int class = 0;
    while (bytes > size_classes[class].limit)
        class ++;
    return class;
}

/* Was the algorithm asked for? What is asked for between hosts says nothing about one, nor the other way
 * round. */
static bool wanted(const struct comm *comm, enum allreduce_choice choice,
                   const struct allreduce_algorithm *algorithm) {
    const bool says_something = comm->hosts.n > 1 ? choice >= ALLREDUCE_LEADERS : choice == ALLREDUCE_SHARED;
    return !says_something || algorithm->choice == choice;
}

/* Whatever may be taken: where floats cannot go the way that was asked for, all of theirs. */
static bool considered(const struct comm *comm, enum allreduce_choice choice,
                       const struct allreduce_algorithm *algorithm) {
    if (!allreduce_fits(comm, algorithm)) return false;
    if (wanted(comm, choice, algorithm)) return true;
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++)
        if (wanted(comm, choice, allreduce_algorithm(i)) &&
            allreduce_fits_floats(comm, allreduce_algorithm(i)))
            return false;
    return allreduce_fits_floats(comm, algorithm);
}

/* As large as sums of hidden states are: 37 bits of any sign. */
static void fill(int64_t *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        values[i] = (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15)) >> 27;
}

/* Rank 0's clock sees a single sum as short where the others are ahead of it, and as long where they have
 * yet to come. Of several in a row nobody can be ahead by more than one. */
static int sums_in_a_row(const struct comm *comm, size_t n) {
    const bool is_short = n * sizeof(int64_t) <= SHORT_BYTES;
    return comm->hosts.n > 1 && is_short && !launcher_simulates() ? SUMS_IN_A_ROW : 1;
}

static double time_one(struct comm *comm, const struct allreduce_algorithm *algorithm, int64_t *values,
                       size_t n) {
    const int n_sums = sums_in_a_row(comm, n);
    double seconds = 0;
    for (int i = 0; i < n_sums; i++) {
        fill(values, n);
        const double begin = timer_seconds();
        algorithm->sum(comm, algorithm, allreduce_integers(algorithm), values, n);
        seconds += timer_seconds() - begin;
    }
    return seconds / n_sums;
}

static void time_round(struct comm *comm, enum allreduce_choice choice, int64_t *values, size_t n, int round,
                       double seconds[ALLREDUCE_ALGORITHMS][ROUNDS_MAX]) {
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++)
        if (considered(comm, choice, allreduce_algorithm(i)))
            seconds[i][round] = time_one(comm, allreduce_algorithm(i), values, n);
}

static bool is_enough(const struct comm *comm, int rounds, double seconds) {
    const struct effort *effort = comm->hosts.n > 1 ? &effort_of_hosts : &effort_of_host;
    if (rounds < effort->rounds && seconds < effort->seconds_for_rounds) return false;
    return rounds >= ROUNDS_MAX || (rounds >= 1 && seconds >= effort->seconds);
}

/* Rank 0's medians for one size. The first round only warms up, but SimGrid's clock gives the same time
 * twice. */
static void measure_size(struct comm *comm, enum allreduce_choice choice, int64_t *values, size_t n,
                         double medians_out[ALLREDUCE_ALGORITHMS]) {
    double seconds[ALLREDUCE_ALGORITHMS][ROUNDS_MAX];
    const double begin = timer_seconds();
    int rounds = 0;
    for (int more = 1, warm = launcher_simulates(); more; warm = 1) {
        time_round(comm, choice, values, n, rounds, seconds);
        rounds += warm;
        more = !launcher_simulates() && !is_enough(comm, rounds, timer_seconds() - begin);
        comm_broadcast(comm, &more, sizeof more);
    }
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++)
        medians_out[i] =
            considered(comm, choice, allreduce_algorithm(i)) ? median_of(seconds[i], rounds) : DBL_MAX;
}

/* Bits must not hang on a measurement: floats go the ways that add them in the documented order. Where what
 * was asked for is none of these, it is for integers alone. */
static int fastest(const struct comm *comm, enum allreduce_choice choice, bool floats,
                   const double medians[ALLREDUCE_ALGORITHMS]) {
    int best = -1;
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++) {
        const struct allreduce_algorithm *algorithm = allreduce_algorithm(i);
        if (floats ? !allreduce_fits_floats(comm, algorithm) : !allreduce_fits(comm, algorithm)) continue;
        if (!wanted(comm, choice, algorithm)) continue;
        if (best < 0 || medians[i] < medians[best]) best = i;
    }
    if (best < 0 && choice != ALLREDUCE_AUTO) return fastest(comm, ALLREDUCE_AUTO, floats, medians);
    return best < 0 ? 0 : best; /* more hosts than anything adds floats in order for: MPI adds them */
}

/* One line of the table: an algorithm's medians, and what it was taken for. */
static void log_algorithm(const struct comm *comm, int index, const struct medians *medians) {
    char line[160];
    int used = snprintf(line, sizeof line, "  %-18s", allreduce_algorithm(index)->name);
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++)
        used += snprintf(line + used, sizeof line - (size_t)used, "%10.1f%c%c",
                         medians->of[class][index] * 1e6, comm->exact_algorithm[class] == index ? 'i' : ' ',
                         comm->float_algorithm[class] == index ? 'f' : ' ');
    log_info(1, "%s", line);
}

/* Long sums that are begun early are always scattered: does it pay to write them narrow? As it does for
 * others. */
static bool narrow_pays(const double medians[ALLREDUCE_ALGORITHMS]) {
    double best[2] = {DBL_MAX, DBL_MAX};
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++) {
        const struct allreduce_algorithm *algorithm = allreduce_algorithm(i);
        if (algorithm->exchange && algorithm->exchange->narrows && medians[i] < best[algorithm->narrow])
            best[algorithm->narrow] = medians[i];
    }
    return best[true] < best[false];
}

static void log_table(const struct comm *comm, enum allreduce_choice choice, const struct medians *medians) {
    char line[160];
    int used = snprintf(line, sizeof line, "%-20s", "all-reduce, us");
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++)
        used +=
            snprintf(line + used, sizeof line - (size_t)used, "%6zu KiB  ", size_classes[class].bytes >> 10);
    log_info(1, "%s (i: taken for integers, f: for floats)", line);
    for (int i = 0; i < ALLREDUCE_ALGORITHMS; i++)
        if (considered(comm, choice, allreduce_algorithm(i))) log_algorithm(comm, i, medians);
}

enum status allreduce_measure(struct comm *comm, enum allreduce_choice choice) {
    int64_t *values = calloc(1, size_classes[ALLREDUCE_SIZE_CLASSES - 1].bytes);
    enum status status = values ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for measuring sums");
    TRY_GOTO(comm_agree(comm, status), free_values);
    struct medians medians;
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++)
        measure_size(comm, choice, values, size_classes[class].bytes / sizeof *values, medians.of[class]);
    comm_broadcast(comm, &medians, sizeof medians);
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++) {
        comm->exact_algorithm[class] = fastest(comm, choice, false, medians.of[class]);
        comm->float_algorithm[class] = fastest(comm, choice, true, medians.of[class]);
    }
    comm->begins_narrow = narrow_pays(medians.of[ALLREDUCE_SIZE_CLASSES - 1]);
    log_table(comm, choice, &medians);
free_values:
    free(values);
    return status;
}
