#include "worker/memory_read.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapping.h"
#include "base/median.h"
#include "base/timer.h"
#include "cluster/allreduce.h"

enum { N_PASSES = 5, LINE_WORDS = 8 };
static const size_t LINE_BYTES = LINE_WORDS * sizeof(uint64_t);
static const size_t HOST_BYTES = (size_t)1 << 29; /* far beyond any cache */
static const double PASS_SECONDS = 0.1;

struct part {
    const uint64_t *words;
    size_t n;
};

/* This thread's part of a region, in whole cache lines. */
static struct part part_of_thread(const struct memory_region *region) {
    const size_t lines = region->bytes / LINE_BYTES;
    const size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
    const size_t begin = lines * thread / n_threads, end = lines * (thread + 1) / n_threads;
    return (struct part){(const uint64_t *)region->data + begin * LINE_WORDS, (end - begin) * LINE_WORDS};
}

static uint64_t sum_of(struct part part) {
    uint64_t sums[LINE_WORDS] = {0}, sum = 0;
    for (size_t i = 0; i < part.n; i += LINE_WORDS)
        for (size_t j = 0; j < LINE_WORDS; j++)
            sums[j] += part.words[i + j];
    for (size_t j = 0; j < LINE_WORDS; j++)
        sum += sums[j];
    return sum;
}

static uint64_t read_all(const struct memory_region *regions, int64_t n_regions) {
    uint64_t sum = 0;
#pragma omp parallel reduction(+ : sum)
    for (int64_t i = 0; i < n_regions; i++)
        sum += sum_of(part_of_thread(&regions[i]));
    return sum;
}

/* The sum is kept so that no compiler leaves the reading out. */
static double time_pass(struct comm *comm, const struct memory_region *regions, int64_t n_regions) {
    comm_barrier(comm);
    const double begin = timer_seconds();
    volatile uint64_t sum = read_all(regions, n_regions);
    comm_barrier(comm);
    (void)sum;
    return timer_seconds() - begin;
}

static double median_seconds(struct comm *comm, const struct memory_region *regions, int64_t n_regions) {
    double seconds[N_PASSES];
    for (int pass = 0; pass < N_PASSES; pass++)
        seconds[pass] = time_pass(comm, regions, n_regions);
    return median_of(seconds, N_PASSES);
}

/* Written by the thread that will read it, so that it lies near. */
static void touch(const struct memory_region *region) {
#pragma omp parallel
    {
        const struct part part = part_of_thread(region);
        memset((void *)(uintptr_t)part.words, 1, part.n * sizeof *part.words);
    }
}

static enum status create_buffer(struct comm *comm, struct memory_region *buffer) {
    const size_t ranks = (size_t)comm_ranks_on_this_host(comm);
    buffer->bytes = (HOST_BYTES / ranks + MAPPING_HUGE_PAGE - 1) / MAPPING_HUGE_PAGE * MAPPING_HUGE_PAGE;
    void *memory = mapping_create(buffer->bytes, MAPPING_HUGE_PAGE);
    if (!memory)
        return FAIL(STATUS_NO_MEMORY, "out of memory: %zu bytes to measure how fast they are read",
                    buffer->bytes);
    mapping_wish_huge_pages(memory, buffer->bytes);
    buffer->data = memory;
    touch(buffer);
    return STATUS_OK;
}

static int64_t bytes_of(const struct memory_region *regions, int64_t n_regions) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < n_regions; i++)
        bytes += (int64_t)regions[i].bytes;
    return bytes;
}

enum status memory_read_measure(struct comm *comm, const struct memory_region *weights, int64_t n_weights,
                                double *bytes_per_second_out) {
    struct memory_region buffer = {NULL, 0};
    int64_t bytes = bytes_of(weights, n_weights);
    if (bytes * comm_ranks_on_this_host(comm) < (int64_t)HOST_BYTES / 2) {
        TRY(create_buffer(comm, &buffer));
        weights = &buffer;
        n_weights = 1;
        bytes = (int64_t)buffer.bytes;
    }
    const double seconds = median_seconds(comm, weights, n_weights);
    if (buffer.data) mapping_destroy((void *)(uintptr_t)buffer.data, buffer.bytes);
    allreduce_sum_i64(comm, &bytes, 1);
    *bytes_per_second_out = seconds > 0 ? (double)bytes / seconds : 0;
    return STATUS_OK;
}

/* Passes begin together and go on for the same time, so that nobody reads while others have ended. */
static double own_rate(struct comm *comm, const struct memory_region *buffer) {
    double rates[N_PASSES];
    for (int pass = 0; pass < N_PASSES; pass++) {
        comm_barrier(comm);
        const double begin = timer_seconds();
        double seconds = 0, bytes = 0;
        volatile uint64_t sum = 0;
        while (seconds < PASS_SECONDS) {
            sum += read_all(buffer, 1);
            bytes += (double)buffer->bytes;
            seconds = timer_seconds() - begin;
        }
        (void)sum;
        rates[pass] = bytes / seconds;
    }
    return median_of(rates, N_PASSES);
}

static enum status share_rate(struct comm *comm, double rate, double *rates_out) {
    const size_t n = (size_t)comm_size(comm);
    size_t *sizes = malloc(n * sizeof *sizes);
    TRY(comm_agree(comm, sizes ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for measuring shares")));
    for (size_t i = 0; i < n; i++)
        sizes[i] = sizeof rate;
    comm_gather(comm, &rate, sizes, rates_out);
    comm_broadcast(comm, rates_out, n * sizeof *rates_out);
    free(sizes);
    return STATUS_OK;
}

enum status memory_read_rates(struct comm *comm, double *rates_out) {
    struct memory_region buffer = {NULL, 0};
    TRY(comm_agree(comm, create_buffer(comm, &buffer)));
    const double rate = own_rate(comm, &buffer);
    mapping_destroy((void *)(uintptr_t)buffer.data, buffer.bytes);
    return share_rate(comm, rate, rates_out);
}
