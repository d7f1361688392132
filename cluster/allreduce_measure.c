/* Which algorithm is fastest for which size, on these ranks, now. Rank 0 measures for all, as all must take
 * the same. The algorithms take turns, so that what else the machine does meets them alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/median.h"
#include "base/timer.h"
#include "cluster/allreduce_impl.h"

enum { ROUNDS_MAX = 15 };

/* A decode step's sum has 8 to 64 KiB, a prefill's megabytes. A size stands for those up to the next limit.
 */
static const struct {
    size_t bytes, limit;
} size_classes[ALLREDUCE_SIZE_CLASSES] = {
    {8 << 10, 16 << 10}, {32 << 10, 64 << 10}, {128 << 10, 512 << 10}, {2 << 20, SIZE_MAX}};

/* A size is measured for so long, but once at least: MPI on fewer cores than ranks may take its time. */
static const double seconds_per_size = 0.004;

int allreduce_size_class(size_t bytes) {
    int class = 0;
    while (bytes > size_classes[class].limit)
        class ++;
    return class;
}

static double time_once(struct comm *comm, int algorithm, int64_t *values, size_t n) {
    const double begin = timer_seconds();
    allreduce_algorithm(algorithm)->sum_i64(comm, values, n);
    return timer_seconds() - begin;
}

/* Rank 0's medians for one size. The first round only warms up. */
static void measure_size(struct comm *comm, int64_t *values, size_t n,
                         double medians_out[ALLREDUCE_ALGORITHMS]) {
    double seconds[ALLREDUCE_ALGORITHMS][ROUNDS_MAX];
    const double begin = timer_seconds();
    int rounds = 0;
    for (int more = 1, warm = 0; more; warm = 1) {
        for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++)
            seconds[algorithm][rounds] = time_once(comm, algorithm, values, n);
        rounds += warm;
        more = rounds < 1 || (rounds < ROUNDS_MAX && timer_seconds() - begin < seconds_per_size);
        comm_broadcast(comm, &more, sizeof more);
    }
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++)
        medians_out[algorithm] = median_of(seconds[algorithm], rounds);
}

static int fastest(const double medians[ALLREDUCE_ALGORITHMS], bool only_shared) {
    int best = -1;
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++)
        if ((!only_shared || allreduce_algorithm(algorithm)->shared) &&
            (best < 0 || medians[algorithm] < medians[best]))
            best = algorithm;
    return best;
}

static void log_size(const struct comm *comm, int class, const double medians[ALLREDUCE_ALGORITHMS]) {
    char text[256];
    int used = snprintf(text, sizeof text, "all-reduce of %4zu KiB:", size_classes[class].bytes >> 10);
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS; algorithm++)
        used += snprintf(text + used, sizeof text - (size_t)used, "  %s %.1f µs",
                         allreduce_algorithm(algorithm)->name, medians[algorithm] * 1e6);
    log_info(1, "%s; taken: %s", text, allreduce_algorithm(comm->exact_algorithm[class])->name);
}

enum status allreduce_measure(struct comm *comm, bool only_shared) {
    int64_t *values = calloc(1, size_classes[ALLREDUCE_SIZE_CLASSES - 1].bytes);
    enum status status = values ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for measuring sums");
    status = comm_agree(comm, status);
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES && status == STATUS_OK; class ++) {
        double medians[ALLREDUCE_ALGORITHMS];
        measure_size(comm, values, size_classes[class].bytes / sizeof *values, medians);
        comm_broadcast(comm, medians, sizeof medians);
        comm->exact_algorithm[class] = fastest(medians, only_shared);
        /* Bits must not hang on a measurement: floats are always added in the order of ranks. */
        comm->float_algorithm[class] = fastest(medians, true);
        log_size(comm, class, medians);
    }
    free(values);
    return status;
}
