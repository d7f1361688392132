#include "coordinator/scale_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"
#include "coordinator/bench_report_impl.h"

void scale_study_free(struct scale_study *study) {
    for (size_t i = 0; i < study->n; i++)
        free(study->rows[i].rates);
    free(study->rows);
    *study = (struct scale_study){0};
}

bool scale_same_case(const struct scale_case *a, const struct scale_case *b) {
    return strcmp(a->policy, b->policy) == 0 && a->budget == b->budget && a->n_threads == b->n_threads &&
           a->test.n_prompt == b->test.n_prompt && a->test.n_gen == b->test.n_gen &&
           a->test.n_depth == b->test.n_depth && a->test.n_parallel == b->test.n_parallel;
}

void scale_test_name(const struct scale_study *study, const struct scale_case *what,
                     char name[SCALE_NAME_MAX]) {
    char test[BENCH_NAME_MAX];
    bench_test_name(&what->test, test);
    snprintf(name, SCALE_NAME_MAX, "%s%s", test, study->weak && what->test.n_depth > 0 ? "/rank" : "");
}

/* ---- records ---- */

struct record {
    const char *policy;
    json_int_t budget, n_prompt, n_gen, n_depth;
    int n_parallel, n_threads;
    double rate, compute_ms, sync_ms, select_ms, sample_ms;
};

static enum status read_record(json_t *json, struct record *record) {
    json_error_t error;
    if (json_unpack_ex(json, &error, 0, "{s:s, s:I, s:I, s:I, s:I, s:i, s:i, s:F, s:F, s:F, s:F, s:F}",
                       "policy", &record->policy, "budget", &record->budget, "n_prompt", &record->n_prompt,
                       "n_gen", &record->n_gen, "n_depth", &record->n_depth, "n_parallel",
                       &record->n_parallel, "n_threads", &record->n_threads, "avg_ts", &record->rate,
                       "compute_ms", &record->compute_ms, "sync_ms", &record->sync_ms, "select_ms",
                       &record->select_ms, "sample_ms", &record->sample_ms) != 0)
        return FAIL(STATUS_BAD_INPUT, "this is no record of bench: %s", error.text);
    if (strlen(record->policy) >= ENGINE_NAME_MAX || !(record->rate > 0) || record->n_depth < 0)
        return FAIL(STATUS_BAD_INPUT, "this is no record of bench: a policy, depth or rate out of range");
    return STATUS_OK;
}

static struct scale_case case_of(const struct record *record, const struct config *config, int32_t n_ranks) {
    struct scale_case what = {
        .budget = bench_plan_has_budget(record->policy) ? (int32_t)record->budget : 0,
        .test = {record->n_prompt, record->n_gen, record->n_depth, record->n_parallel},
        .n_threads = config->n_thread_counts > 1 ? record->n_threads : 0,
    };
    snprintf(what.policy, sizeof what.policy, "%s", record->policy);
    if (config->weak) what.test.n_depth /= n_ranks;
    return what;
}

/* The case's row, a new one behind those of the same case. */
static enum status row_of(struct scale_study *study, const struct scale_case *what, int32_t n_ranks,
                          struct scale_row **row_out) {
    size_t place = study->n;
    for (size_t i = 0; i < study->n; i++) {
        if (!scale_same_case(&study->rows[i].what, what)) continue;
        *row_out = &study->rows[i];
        if (study->rows[i].n_ranks == n_ranks) return STATUS_OK;
        place = i + 1;
    }
    struct scale_row *rows = realloc(study->rows, (study->n + 1) * sizeof *rows);
    if (!rows) return FAIL(STATUS_NO_MEMORY, "out of memory for the measurements");
    study->rows = rows;
    memmove(rows + place + 1, rows + place, (study->n - place) * sizeof *rows);
    study->n++;
    rows[place] = (struct scale_row){.what = *what, .n_ranks = n_ranks};
    *row_out = &rows[place];
    return STATUS_OK;
}

static enum status add_rate(struct scale_row *row, double rate) {
    double *rates = realloc(row->rates, ((size_t)row->n_rates + 1) * sizeof *rates);
    if (!rates) return FAIL(STATUS_NO_MEMORY, "out of memory for the measurements");
    row->rates = rates;
    row->rates[row->n_rates++] = rate;
    return STATUS_OK;
}

static void add_mean(double *mean, double value, int32_t n) {
    *mean += (value - *mean) / n;
}

enum status scale_study_add(struct scale_study *study, const struct config *config, int32_t n_ranks,
                            json_t *json) {
    struct record record;
    struct scale_row *row;
    TRY(read_record(json, &record));
    const struct scale_case what = case_of(&record, config, n_ranks);
    TRY(row_of(study, &what, n_ranks, &row));
    TRY(add_rate(row, record.rate));
    row->n_threads = record.n_threads;
    add_mean(&row->compute_ms, record.compute_ms, row->n_rates);
    add_mean(&row->sync_ms, record.sync_ms, row->n_rates);
    add_mean(&row->select_ms, record.select_ms, row->n_rates);
    add_mean(&row->sample_ms, record.sample_ms, row->n_rates);
    return STATUS_OK;
}

/* ---- what follows ---- */

static int by_ranks(const void *left, const void *right) {
    const struct scale_row *a = left, *b = right;
    return (a->n_ranks > b->n_ranks) - (a->n_ranks < b->n_ranks);
}

/* Of two rounds neither is the middle one. */
static double middle_of(double *values, int32_t n) {
    const double upper = median_of(values, n);
    return n % 2 ? upper : (values[n / 2 - 1] + upper) / 2;
}

/* rows [n] of one case. In a weak study each rank has as much to do as before, so that the same rate is a
 * perfect one. */
static void compare(bool weak, struct scale_row *rows, size_t n) {
    qsort(rows, n, sizeof *rows, by_ranks);
    for (size_t i = 0; i < n; i++)
        rows[i].rate = middle_of(rows[i].rates, rows[i].n_rates);
    for (size_t i = 0; i < n; i++) {
        const double more_ranks = (double)rows[i].n_ranks / rows[0].n_ranks;
        rows[i].speed_up = rows[i].rate / rows[0].rate * (weak ? more_ranks : 1);
        rows[i].efficiency = rows[i].speed_up / more_ranks;
    }
}

void scale_study_finish(struct scale_study *study) {
    for (size_t begin = 0, end; begin < study->n; begin = end) {
        for (end = begin + 1; end < study->n; end++)
            if (!scale_same_case(&study->rows[begin].what, &study->rows[end].what)) break;
        compare(study->weak, study->rows + begin, end - begin);
    }
}
