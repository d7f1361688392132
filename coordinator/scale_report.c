#include "coordinator/scale_report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/json_build.h"
#include "coordinator/table.h"

/* A row knows its study, which the name of its test depends on. */
struct line {
    const struct scale_study *study;
    const struct scale_row *row;
};

/* ---- columns ---- */

static void write_policy(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%s", line->row->what.policy);
}

static void write_budget(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    if (line->row->what.budget > 0) snprintf(cell, TABLE_CELL_MAX, "%d", line->row->what.budget);
}

static void write_test(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    char name[SCALE_NAME_MAX];
    scale_test_name(line->study, &line->row->what, name);
    snprintf(cell, TABLE_CELL_MAX, "%s", name);
}

static void write_ranks(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%d", line->row->n_ranks);
}

static void write_threads(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%d", line->row->n_threads);
}

static void write_rate(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%.2f", line->row->rate);
}

static void write_range(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    if (line->row->n_rates > 1)
        snprintf(cell, TABLE_CELL_MAX, "%.2f–%.2f", line->row->rates[0],
                 line->row->rates[line->row->n_rates - 1]);
}

static void write_speed_up(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%.2f", line->row->speed_up);
}

static void write_efficiency(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    snprintf(cell, TABLE_CELL_MAX, "%.0f %%", 100 * line->row->efficiency);
}

static double total_ms(const struct scale_row *row) {
    return row->compute_ms + row->sync_ms + row->select_ms + row->sample_ms;
}

static void write_share(double part, const struct scale_row *row, char cell[TABLE_CELL_MAX]) {
    if (total_ms(row) > 0) snprintf(cell, TABLE_CELL_MAX, "%.1f %%", 100 * part / total_ms(row));
}

static void write_compute(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    write_share(line->row->compute_ms, line->row, cell);
}

static void write_sync(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    write_share(line->row->sync_ms, line->row, cell);
}

static void write_select(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    write_share(line->row->select_ms, line->row, cell);
}

static void write_sample(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct line *line = data;
    write_share(line->row->sample_ms, line->row, cell);
}

static const struct table_column columns[] = {
    {"policy", true, write_policy, 0},
    {"budget", false, write_budget, 0},
    {"test", true, write_test, 0},
    {"ranks", false, write_ranks, 0},
    {"threads", false, write_threads, 0},
    {"t/s", false, write_rate, 0},
    {"range", false, write_range, 0},
    {"speed-up", false, write_speed_up, 0},
    {"efficiency", false, write_efficiency, 0},
    {"compute", false, write_compute, 0},
    {"sync", false, write_sync, 0},
    {"select", false, write_select, 0},
    {"sample", false, write_sample, 0},
};

/* ---- fields ---- */

static json_t *case_json(const struct line *line) {
    const struct scale_case *what = &line->row->what;
    char name[SCALE_NAME_MAX];
    scale_test_name(line->study, what, name);
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:i}", "scaling",
                     line->study->weak ? "weak" : "strong", "policy", what->policy, "budget",
                     what->budget > 0 ? json_integer(what->budget) : json_null(), "test", name, "n_prompt",
                     (json_int_t)what->test.n_prompt, "n_gen", (json_int_t)what->test.n_gen, "n_depth",
                     (json_int_t)what->test.n_depth * (line->study->weak ? line->row->n_ranks : 1),
                     "n_parallel", (int)what->test.n_parallel);
}

static json_t *figures_json(const struct scale_row *row) {
    return json_pack("{s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "n_ranks",
                     (int)row->n_ranks, "n_threads", (int)row->n_threads, "n_samples", (int)row->n_rates,
                     "median_ts", row->rate, "min_ts", row->rates[0], "max_ts", row->rates[row->n_rates - 1],
                     "speed_up", row->speed_up, "efficiency", row->efficiency, "compute_ms", row->compute_ms,
                     "sync_ms", row->sync_ms, "select_ms", row->select_ms, "sample_ms", row->sample_ms);
}

static json_t *line_json(const void *data) {
    const struct line *line = data;
    json_t *rates = json_array();
    for (int32_t i = 0; i < line->row->n_rates; i++)
        rates = json_appended(rates, json_real(line->row->rates[i]));
    return json_with(json_merged(case_json(line), figures_json(line->row)), "samples_ts", rates);
}

enum status scale_report_print(const struct scale_study *study, enum bench_format format) {
    struct line *lines = calloc(study->n + 1, sizeof *lines);
    if (!lines) return FAIL(STATUS_NO_MEMORY, "out of memory for the table");
    for (size_t i = 0; i < study->n; i++)
        lines[i] = (struct line){study, &study->rows[i]};
    const enum status status = table_print(&(struct table){.columns = columns,
                                                           .n_columns = sizeof columns / sizeof *columns,
                                                           .rows = lines,
                                                           .n_rows = study->n,
                                                           .row_size = sizeof *lines,
                                                           .row_json = line_json},
                                           format);
    free(lines);
    return status;
}
