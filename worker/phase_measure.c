#include "worker/phase_measure.h"

#include <omp.h>
#include <string.h>

#include "base/median.h"
#include "base/rng.h"
#include "base/timer.h"
#include "cluster/topology.h"
#include "modelfile/held_dtype.h"
#include "worker/linear.h"
#include "worker/phase_measure_impl.h"
#include "worker/top_candidates.h"

enum {
    N_SAMPLES = 9,
    COLUMNS = 4096,       /* of the products */
    BLOCK = 32,           /* of the exact ones: many, so that what they add shows */
    VALUES_MAX = 1 << 17, /* of the longest row */
    N_CANDIDATES = 64,
};
static const int64_t memory_bytes = (int64_t)256 << 20, cached_bytes = (int64_t)16 << 20;
static const double sample_seconds = 0.001;

/* Everything but attention. */
struct rig {
    const struct phase_conditions *conditions;
    const struct kernels *kernels;
    struct arena *memory;
    struct linear *linear;
    unsigned char *weights; /* [memory_bytes] */
    int64_t pool_bytes;     /* the part of it that products go through in turn, … */
    int64_t at;             /* … and how far they are */
    float *x, *y, *factors; /* [VALUES_MAX] */
    int64_t *sums;          /* [VALUES_MAX] */
    int64_t bad;
};

static double time_calls(phase_operation *operation, void *rig, int64_t units, int64_t n) {
    const double begin = timer_seconds();
    for (int64_t i = 0; i < n; i++)
        operation(rig, units);
    return timer_seconds() - begin;
}

double phase_time(phase_operation *operation, void *rig, int64_t units) {
    int64_t n = 1;
    while (time_calls(operation, rig, units, n) < sample_seconds)
        n *= 2;
    double seconds[N_SAMPLES];
    for (int i = 0; i < N_SAMPLES; i++)
        seconds[i] = time_calls(operation, rig, units, n) / (double)n;
    return median_of(seconds, N_SAMPLES);
}

enum status phase_line(enum phase phase, const struct phase_times *times, struct phase_cost *cost_out) {
    const double slope = (times->seconds_many - times->seconds_few) / (double)(times->many - times->few);
    if (!(slope > 0))
        return FAIL(STATUS_INTERNAL,
                    "phase %s cannot be measured: %lld units (%s) took no longer than %lld; measure when the "
                    "machine does nothing else",
                    phase_name(phase), (long long)times->many, phase_unit(phase), (long long)times->few);
    const double call = times->seconds_few - slope * (double)times->few;
    *cost_out = (struct phase_cost){call > 0 ? call : 0, slope};
    return STATUS_OK;
}

/* One phase, by one operation. */
struct plan {
    enum phase phase;
    phase_operation *operation;
    int64_t few, many;
};

static enum status measure(struct rig *rig, const struct plan *plan, struct phase_cost phases[PHASES]) {
    enum status status = STATUS_INTERNAL;
    for (int i = 0; i < PHASE_MEASUREMENTS && status != STATUS_OK; i++) {
        const struct phase_times times = {.few = plan->few,
                                          .many = plan->many,
                                          .seconds_few = phase_time(plan->operation, rig, plan->few),
                                          .seconds_many = phase_time(plan->operation, rig, plan->many)};
        status = phase_line(plan->phase, &times, &phases[plan->phase]);
    }
    return status;
}

static void norm(void *memory, int64_t n) {
    struct rig *rig = memory;
    rig->kernels->rms_norm(rig->x, rig->factors, 1e-6f, n, rig->y);
}

/* Of so many bytes, wherever the last product ended. */
static struct matrix next_matrix(struct rig *rig, int64_t bytes) {
    const enum dtype dtype = rig->conditions->weights;
    const int64_t panel_bytes = held_bytes(dtype, HELD_PANEL_ROWS, 0, COLUMNS);
    const int64_t n_panels = bytes / panel_bytes;
    if (rig->at + n_panels * panel_bytes > rig->pool_bytes) rig->at = 0;
    const struct matrix matrix = {
        .dtype = dtype, .rows = n_panels * HELD_PANEL_ROWS, .cols = COLUMNS, .data = rig->weights + rig->at};
    rig->at += n_panels * panel_bytes;
    return matrix;
}

static void multiply(void *memory, int64_t bytes) {
    struct rig *rig = memory;
    const struct matrix w = next_matrix(rig, bytes);
    linear_input(rig->linear, rig->x, COLUMNS, 1, NULL);
    linear_run(rig->linear, &(struct linear_product){&w, rig->y}, 1);
}

static void multiply_exactly(void *memory, int64_t bytes) {
    struct rig *rig = memory;
    const struct matrix w = next_matrix(rig, bytes);
    linear_input(rig->linear, rig->x, COLUMNS, 1, NULL);
    linear_run_exact(rig->linear, &w, BLOCK, NULL, rig->sums, w.rows, &rig->bad);
}

static void finish_heads(void *memory, int64_t n) {
    struct rig *rig = memory;
    const int64_t head_dim = rig->conditions->head_dim;
    for (int64_t head = 0; head < n; head++) {
        float *x = rig->y + head * head_dim;
        if (rig->conditions->qk_norm) rig->kernels->rms_norm(x, rig->factors, 1e-6f, head_dim, x);
        rig->kernels->rope(x, rig->factors, head_dim);
        rig->kernels->store(x, head_dim, rig->conditions->kv_dtype, rig->sums);
    }
}

static void gate(void *memory, int64_t n) {
    struct rig *rig = memory;
    memcpy(rig->y, rig->x, (size_t)n * sizeof *rig->y);
    rig->kernels->silu_mul(rig->y, rig->factors, n);
}

static void add_residual(void *memory, int64_t n) {
    struct rig *rig = memory;
    memset(rig->sums, 0, (size_t)n * sizeof *rig->sums);
    rig->kernels->add_exact(rig->sums, n, rig->x);
}

static void summarise(void *memory, int64_t n) {
    struct rig *rig = memory;
    struct candidate best[N_CANDIDATES];
    float max, sum;
    rig->kernels->exp_sum(rig->x, n, 1, &max, &sum);
    rig->sums[0] = top_candidates(rig->x, n, 0, N_CANDIDATES, best);
}

/* What rounding adds to a product whose weights are near. */
static enum status measure_rounding(struct rig *rig, struct phase_cost *cost_out) {
    const int64_t bytes = cached_bytes / 8;
    const int64_t rows = next_matrix(rig, bytes).rows;
    enum status status = STATUS_INTERNAL;
    for (int i = 0; i < PHASE_MEASUREMENTS && status != STATUS_OK; i++) {
        const double plain = phase_time(multiply, rig, bytes);
        const double exact = phase_time(multiply_exactly, rig, bytes);
        const struct phase_times times = {.many = rows * (COLUMNS / BLOCK), .seconds_many = exact - plain};
        status = phase_line(PHASE_EXACT, &times, cost_out);
    }
    return status;
}

static enum status measure_all(struct rig *rig, struct phase_cost phases[PHASES]) {
    static const struct plan small[] = {
        {PHASE_NORM, norm, 1024, 16384},        {PHASE_HEADS, finish_heads, 4, 64},
        {PHASE_GATE, gate, 256, 16384},         {PHASE_RESIDUAL, add_residual, 1024, 16384},
        {PHASE_LOGITS, summarise, 1024, 65536},
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        TRY(measure(rig, &small[i], phases));
    rig->pool_bytes = cached_bytes;
    const struct plan cached = {PHASE_PRODUCT_CACHED, multiply, cached_bytes / 64, cached_bytes / 4};
    TRY(measure(rig, &cached, phases));
    TRY(measure_rounding(rig, &phases[PHASE_EXACT]));
    rig->pool_bytes = memory_bytes;
    const struct plan far = {PHASE_PRODUCT, multiply, memory_bytes / 256, memory_bytes / 8};
    return measure(rig, &far, phases);
}

static enum status allocate(struct rig *rig) {
    const struct linear_shape linear = {rig->conditions->n_threads, 1, COLUMNS, NULL};
    TRY(linear_create(rig->kernels, NULL, &linear, rig->memory, &rig->linear));
    TRY(ARENA_TAKE(rig->memory, (size_t)memory_bytes, &rig->weights));
    TRY(ARENA_TAKE(rig->memory, VALUES_MAX, &rig->x));
    TRY(ARENA_TAKE(rig->memory, VALUES_MAX, &rig->y));
    TRY(ARENA_TAKE(rig->memory, VALUES_MAX, &rig->factors));
    TRY(ARENA_TAKE(rig->memory, VALUES_MAX, &rig->sums));
    /* Whatever the type, a small number that is no denormal. */
    memset(rig->weights, 0x2c, (size_t)memory_bytes);
    for (int64_t i = 0; i < VALUES_MAX; i++) {
        rig->x[i] = (float)rng_uniform(1, 0, (uint64_t)i) - 0.5f;
        rig->factors[i] = (float)rng_uniform(1, 1, (uint64_t)i);
    }
    return STATUS_OK;
}

static enum status choose_threads(struct phase_conditions *conditions) {
    struct topology topology;
    TRY(topology_read(&topology));
    if (conditions->n_threads == 0) conditions->n_threads = topology_default_threads(&topology, 1);
    omp_set_dynamic(0);
    omp_set_num_threads(conditions->n_threads);
    return STATUS_OK;
}

/* The queries of attention lie in a row. */
static enum status check(const struct phase_conditions *conditions) {
    if ((int64_t)2 * conditions->group * conditions->head_dim <= VALUES_MAX) return STATUS_OK;
    return FAIL(
        STATUS_BAD_INPUT,
        "costs of %d query heads of %d dimensions to a KV head cannot be measured: their product is more "
        "than %d",
        conditions->group, conditions->head_dim, VALUES_MAX / 2);
}

static enum status measure_in(struct rig *rig, struct phase_costs *costs) {
    TRY(allocate(rig));
    TRY(measure_all(rig, costs->phases));
    return phase_measure_attention(rig->kernels, rig->x, costs);
}

enum status phase_measure(const struct phase_conditions *conditions, struct phase_costs *costs_out) {
    struct phase_costs costs = {.conditions = *conditions, .cached_bytes = cached_bytes};
    TRY(check(conditions));
    TRY(choose_threads(&costs.conditions));
    struct rig rig = {.conditions = &costs.conditions, .kernels = kernels_at_level(kernels_best_level())};
    TRY(arena_create("measuring phases", &rig.memory));
    const enum status status = measure_in(&rig, &costs);
    arena_destroy(rig.memory);
    if (status == STATUS_OK) *costs_out = costs;
    return status;
}
