/* The table that `bench` prints unless told otherwise: llama-bench's columns, then ours. */
#include <stdio.h>

#include "coordinator/bench_figures.h"
#include "coordinator/bench_report_impl.h"
#include "coordinator/table.h"

struct row {
    const struct bench_record *record;
    struct bench_figures figures;
};

static bool generates_only(const struct row *row) {
    return row->record->test.n_prompt == 0;
}

static void write_model(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%s", row->record->model->type);
}

static void write_size(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    const double bytes = (double)row->record->model->bytes;
    if (bytes < 1 << 30)
        snprintf(cell, TABLE_CELL_MAX, "%.2f MiB", bytes / (1 << 20));
    else
        snprintf(cell, TABLE_CELL_MAX, "%.2f GiB", bytes / (1 << 30));
}

static void write_params(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    const double n = (double)row->record->model->n_weights;
    snprintf(cell, TABLE_CELL_MAX, "%.2f %s", n < 1e9 ? n / 1e6 : n / 1e9, n < 1e9 ? "M" : "B");
}

static void write_backend(const void *data, char cell[TABLE_CELL_MAX]) {
    (void)data;
    snprintf(cell, TABLE_CELL_MAX, "CPU");
}

static void write_ranks(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%d", (int)row->record->engine->n_ranks);
}

static void write_threads(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%d", (int)row->record->engine->n_threads);
}

static void write_policy(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%s", row->record->choice.policy);
}

static void write_budget(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    if (bench_plan_has_budget(row->record->choice.policy))
        snprintf(cell, TABLE_CELL_MAX, "%d", (int)row->record->choice.budget);
}

static void write_test(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    bench_test_name(&row->record->test, cell);
}

static void write_rate(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.2f ± %.2f", row->figures.mean_rate, row->figures.deviation_rate);
}

static void write_bytes_per_token(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    if (generates_only(row)) snprintf(cell, TABLE_CELL_MAX, "%.1f", row->figures.bytes_per_token / 1e6);
}

static void write_bandwidth(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    if (generates_only(row)) snprintf(cell, TABLE_CELL_MAX, "%.2f", row->figures.bytes_per_second / 1e9);
}

static void write_read_bandwidth(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.2f", row->record->result.read_rate / 1e9);
}

static void write_share(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    if (generates_only(row)) snprintf(cell, TABLE_CELL_MAX, "%.1f %%", 100 * row->figures.share);
}

static void write_compute(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.3f", row->figures.compute_ms);
}

static void write_sync(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.3f", row->figures.sync_ms);
}

static void write_select(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.3f", row->figures.select_ms);
}

static void write_sample(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.3f", row->figures.sample_ms);
}

static void write_resident(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.1f", (double)row->record->result.resident_bytes / (1 << 20));
}

static void write_overhead(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.1f", (double)row->record->result.overhead_bytes / (1 << 20));
}

static const struct table_column columns[] = {
    {"model", true, write_model, 24},
    {"size", false, write_size, 10},
    {"params", false, write_params, 10},
    {"backend", true, write_backend, 7},
    {"ranks", false, write_ranks, 5},
    {"threads", false, write_threads, 7},
    {"policy", true, write_policy, 10},
    {"budget", false, write_budget, 6},
    {"test", false, write_test, 15},
    {"t/s", false, write_rate, 20},
    {"MB/token", false, write_bytes_per_token, 8},
    {"GB/s", false, write_bandwidth, 6},
    {"read GB/s", false, write_read_bandwidth, 9},
    {"share", false, write_share, 7},
    {"compute ms", false, write_compute, 10},
    {"sync ms", false, write_sync, 7},
    {"select ms", false, write_select, 9},
    {"sample ms", false, write_sample, 9},
    {"MiB/rank", false, write_resident, 8},
    {"beyond MiB", false, write_overhead, 10},
};

enum { N_COLUMNS = sizeof columns / sizeof *columns };

void bench_markdown_begin(void) {
    table_print_titles(columns, N_COLUMNS);
}

void bench_markdown_record(const struct bench_record *record) {
    table_print_row(columns, N_COLUMNS,
                    &(struct row){record, bench_figures_of(&record->test, &record->result)});
}
