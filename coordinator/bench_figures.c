#include "coordinator/bench_figures.h"

#include <math.h>

static double tokens_of(const struct bench_test *test) {
    return (double)(test->n_prompt + test->n_gen) * test->n_parallel;
}

double bench_figures_rate(const struct bench_test *test, const struct bench_result *result, int32_t i) {
    return result->seconds[i] > 0 ? tokens_of(test) / result->seconds[i] : 0;
}

/* One sample after the other (Welford). */
struct moments {
    int32_t n;
    double mean, squares;
};

static void add(struct moments *moments, double x) {
    const double before = x - moments->mean;
    moments->mean += before / ++moments->n;
    moments->squares += before * (x - moments->mean);
}

static double deviation(const struct moments *moments) {
    return moments->n > 1 ? sqrt(moments->squares / (moments->n - 1)) : 0;
}

struct bench_figures bench_figures_of(const struct bench_test *test, const struct bench_result *result) {
    struct moments seconds = {0}, rates = {0};
    for (int32_t i = 0; i < result->n_samples; i++) {
        add(&seconds, result->seconds[i]);
        add(&rates, bench_figures_rate(test, result, i));
    }
    const double n_tokens = tokens_of(test) * result->n_samples, ms = 1e3 / n_tokens;
    struct bench_figures figures = {
        .mean_ns = 1e9 * seconds.mean,
        .deviation_ns = 1e9 * deviation(&seconds),
        .mean_rate = rates.mean,
        .deviation_rate = deviation(&rates),
        .compute_ms = ms * result->times.compute,
        .sync_ms = ms * result->times.sync,
        .select_ms = ms * result->times.select,
        .agree_ms = ms * result->times.agree,
        .sample_ms = ms * result->sample_seconds,
    };
    if (test->n_prompt > 0) return figures;
    figures.bytes_per_token = (double)(result->weight_bytes_read + result->kv_bytes_read) / n_tokens;
    figures.bytes_per_second = figures.bytes_per_token * tokens_of(test) / seconds.mean;
    figures.share = result->read_rate > 0 ? figures.bytes_per_second / result->read_rate : 0;
    return figures;
}
