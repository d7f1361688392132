#include "coordinator/eval_curves.h"

#include <stdlib.h>

enum { MAX_BINS = 1 << 20 };

/* Means by place. */
struct bins {
    double *sums; /* [n] */
    int64_t *counts;
    size_t n;
};

static enum status bins_create(size_t n, struct bins *bins_out) {
    struct bins bins = {calloc(n + 1, sizeof(double)), calloc(n + 1, sizeof(int64_t)), n};
    if (!bins.sums || !bins.counts) {
        free(bins.sums);
        free(bins.counts);
        return FAIL(STATUS_NO_MEMORY, "out of memory for a curve");
    }
    *bins_out = bins;
    return STATUS_OK;
}

static void bins_free(struct bins *bins) {
    free(bins->sums);
    free(bins->counts);
}

static void bins_add(struct bins *bins, size_t place, double value) {
    if (place >= bins->n || value < 0) return;
    bins->sums[place] += value;
    bins->counts[place]++;
}

static enum status take_means(const struct bins *bins, double x_step, struct eval_curve *curve) {
    curve->x = calloc(bins->n + 1, sizeof *curve->x);
    curve->y = calloc(bins->n + 1, sizeof *curve->y);
    if (!curve->x || !curve->y) return FAIL(STATUS_NO_MEMORY, "out of memory for a curve");
    for (size_t i = 0; i < bins->n; i++) {
        if (bins->counts[i] == 0) continue;
        curve->x[curve->n] = x_step * (double)i;
        curve->y[curve->n++] = bins->sums[i] / (double)bins->counts[i];
    }
    return STATUS_OK;
}

/* ---- what is averaged ---- */

typedef void (*collect)(const struct eval_record *record, struct bins *bins);

static void collect_kv(const struct eval_record *record, struct bins *bins) {
    for (size_t i = 0; i < record->n_series; i++)
        if (record->series[i].context % EVAL_POINT_TOKENS == 0)
            bins_add(bins, (size_t)(record->series[i].context / EVAL_POINT_TOKENS),
                     (double)record->series[i].kv_bytes);
}

static void collect_seconds(const struct eval_record *record, struct bins *bins) {
    for (size_t i = 0; i < record->n_series; i++)
        if (record->series[i].context % EVAL_POINT_TOKENS == 0)
            bins_add(bins, (size_t)(record->series[i].context / EVAL_POINT_TOKENS),
                     record->series[i].seconds_per_token);
}

static void collect_recall(const struct eval_record *record, struct bins *bins) {
    for (size_t layer = 0; layer < record->n_recall; layer++)
        bins_add(bins, layer, record->recall[layer]);
}

static size_t count_points(const struct eval_record *records, int64_t n) {
    int64_t most = 0;
    for (int64_t r = 0; r < n; r++)
        for (size_t i = 0; i < records[r].n_series; i++)
            if (records[r].series[i].context > most) most = records[r].series[i].context;
    const size_t n_bins = (size_t)(most / EVAL_POINT_TOKENS) + 1;
    return n_bins < MAX_BINS ? n_bins : MAX_BINS;
}

static size_t count_layers(const struct eval_record *records, int64_t n) {
    size_t most = 0;
    for (int64_t r = 0; r < n; r++)
        if (records[r].n_recall > most) most = records[r].n_recall;
    return most;
}

static enum status average(const struct eval_record *records, int64_t n, collect add, size_t n_bins,
                           double x_step, struct eval_curve *curve) {
    struct bins bins;
    TRY(bins_create(n_bins, &bins));
    for (int64_t r = 0; r < n; r++)
        add(&records[r], &bins);
    const enum status status = take_means(&bins, x_step, curve);
    bins_free(&bins);
    return status;
}

enum status eval_curves_create(const struct eval_record *records, int64_t n, struct eval_curves *curves_out) {
    const size_t n_points = count_points(records, n), n_layers = count_layers(records, n);
    struct eval_curves curves = {0};
    enum status status = average(records, n, collect_kv, n_points, EVAL_POINT_TOKENS, &curves.kv);
    if (status == STATUS_OK)
        status = average(records, n, collect_seconds, n_points, EVAL_POINT_TOKENS, &curves.seconds);
    if (status == STATUS_OK) status = average(records, n, collect_recall, n_layers, 1, &curves.recall);
    if (status != STATUS_OK) {
        eval_curves_free(&curves);
        return status;
    }
    *curves_out = curves;
    return STATUS_OK;
}

static void free_curve(struct eval_curve *curve) {
    free(curve->x);
    free(curve->y);
}

void eval_curves_free(struct eval_curves *curves) {
    free_curve(&curves->kv);
    free_curve(&curves->seconds);
    free_curve(&curves->recall);
    *curves = (struct eval_curves){0};
}
