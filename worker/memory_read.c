#include "worker/memory_read.h"

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/timer.h"

enum { N_PASSES = 5, LINE_WORDS = 8 };
static const size_t HOST_BYTES = (size_t)1 << 29;

/* This thread's part of the buffer, in whole cache lines. */
static uint64_t *part_of_thread(uint64_t *words, size_t n_words, size_t *n_out) {
    const size_t lines = n_words / LINE_WORDS;
    const size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
    const size_t begin = lines * thread / n_threads, end = lines * (thread + 1) / n_threads;
    *n_out = (end - begin) * LINE_WORDS;
    return words + begin * LINE_WORDS;
}

/* Written by the thread that will read it, so that it lies near. */
static void touch(uint64_t *words, size_t n_words) {
#pragma omp parallel
    {
        size_t n;
        uint64_t *part = part_of_thread(words, n_words, &n);
        memset(part, 1, n * sizeof *part);
    }
}

static uint64_t sum_of(const uint64_t *words, size_t n) {
    uint64_t sums[LINE_WORDS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i += LINE_WORDS)
        for (size_t j = 0; j < LINE_WORDS; j++)
            sums[j] += words[i + j];
    for (size_t j = 0; j < LINE_WORDS; j++)
        sum += sums[j];
    return sum;
}

static uint64_t read_all(uint64_t *words, size_t n_words) {
    uint64_t sum = 0;
#pragma omp parallel reduction(+ : sum)
    {
        size_t n;
        const uint64_t *part = part_of_thread(words, n_words, &n);
        sum += sum_of(part, n);
    }
    return sum;
}

/* The sum is kept so that no compiler leaves the reading out. */
static double time_pass(struct comm *comm, uint64_t *words, size_t n_words) {
    comm_barrier(comm);
    const double begin = timer_seconds();
    volatile uint64_t sum = read_all(words, n_words);
    comm_barrier(comm);
    (void)sum;
    return timer_seconds() - begin;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double seconds[N_PASSES]) {
    qsort(seconds, N_PASSES, sizeof *seconds, compare_doubles);
    return seconds[N_PASSES / 2];
}

enum status memory_read_measure(struct comm *comm, double *bytes_per_second_out) {
    const size_t line = LINE_WORDS * sizeof(uint64_t);
    const size_t bytes = HOST_BYTES / (size_t)comm_ranks_on_this_host(comm) / line * line;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return FAIL(STATUS_NO_MEMORY, "out of memory: %zu bytes to measure how fast they are read", bytes);
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* a wish */
    touch(memory, bytes / sizeof(uint64_t));
    double seconds[N_PASSES];
    for (int pass = 0; pass < N_PASSES; pass++)
        seconds[pass] = time_pass(comm, memory, bytes / sizeof(uint64_t));
    munmap(memory, bytes);
    const double median = median_of(seconds);
    *bytes_per_second_out = median > 0 ? (double)bytes * comm_size(comm) / median : 0;
    return STATUS_OK;
}
