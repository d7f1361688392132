/* The table that `bench` prints unless told otherwise: llama-bench's columns, then ours. */
#include <stdio.h>
#include <string.h>

#include "coordinator/bench_figures.h"
#include "coordinator/bench_report_impl.h"

enum { CELL_MAX = 128 };

struct row {
    const struct bench_record *record;
    struct bench_figures figures;
};

struct column {
    const char *title;
    int width; /* at least; of characters, not bytes */
    bool left;
    void (*write)(const struct row *row, char cell[CELL_MAX]);
};

static bool generates_only(const struct row *row) {
    return row->record->test.n_prompt == 0;
}

static void write_model(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%s", row->record->model->type);
}

static void write_size(const struct row *row, char cell[CELL_MAX]) {
    const double bytes = (double)row->record->model->bytes;
    if (bytes < 1 << 30)
        snprintf(cell, CELL_MAX, "%.2f MiB", bytes / (1 << 20));
    else
        snprintf(cell, CELL_MAX, "%.2f GiB", bytes / (1 << 30));
}

static void write_params(const struct row *row, char cell[CELL_MAX]) {
    const double n = (double)row->record->model->n_weights;
    snprintf(cell, CELL_MAX, "%.2f %s", n < 1e9 ? n / 1e6 : n / 1e9, n < 1e9 ? "M" : "B");
}

static void write_backend(const struct row *row, char cell[CELL_MAX]) {
    (void)row;
    snprintf(cell, CELL_MAX, "CPU");
}

static void write_ranks(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%d", (int)row->record->engine->n_ranks);
}

static void write_threads(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%d", (int)row->record->engine->n_threads);
}

static void write_policy(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%s", row->record->choice.policy);
}

static void write_budget(const struct row *row, char cell[CELL_MAX]) {
    if (bench_plan_has_budget(row->record->choice.policy))
        snprintf(cell, CELL_MAX, "%d", (int)row->record->choice.budget);
}

static void write_test(const struct row *row, char cell[CELL_MAX]) {
    bench_test_name(&row->record->test, cell);
}

static void write_rate(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.2f ± %.2f", row->figures.mean_rate, row->figures.deviation_rate);
}

static void write_bytes_per_token(const struct row *row, char cell[CELL_MAX]) {
    if (generates_only(row)) snprintf(cell, CELL_MAX, "%.1f", row->figures.bytes_per_token / 1e6);
}

static void write_bandwidth(const struct row *row, char cell[CELL_MAX]) {
    if (generates_only(row)) snprintf(cell, CELL_MAX, "%.2f", row->figures.bytes_per_second / 1e9);
}

static void write_read_bandwidth(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.2f", row->record->result.read_rate / 1e9);
}

static void write_share(const struct row *row, char cell[CELL_MAX]) {
    if (generates_only(row)) snprintf(cell, CELL_MAX, "%.1f %%", 100 * row->figures.share);
}

static void write_compute(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.3f", row->figures.compute_ms);
}

static void write_sync(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.3f", row->figures.sync_ms);
}

static void write_select(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.3f", row->figures.select_ms);
}

static void write_sample(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.3f", row->figures.sample_ms);
}

static void write_resident(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.1f", (double)row->record->result.resident_bytes / (1 << 20));
}

static void write_overhead(const struct row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.1f", (double)row->record->result.overhead_bytes / (1 << 20));
}

static const struct column columns[] = {
    {"model", 24, true, write_model},
    {"size", 10, false, write_size},
    {"params", 10, false, write_params},
    {"backend", 7, true, write_backend},
    {"ranks", 5, false, write_ranks},
    {"threads", 7, false, write_threads},
    {"policy", 10, true, write_policy},
    {"budget", 6, false, write_budget},
    {"test", 15, false, write_test},
    {"t/s", 20, false, write_rate},
    {"MB/token", 8, false, write_bytes_per_token},
    {"GB/s", 6, false, write_bandwidth},
    {"read GB/s", 9, false, write_read_bandwidth},
    {"share", 7, false, write_share},
    {"compute ms", 10, false, write_compute},
    {"sync ms", 7, false, write_sync},
    {"select ms", 9, false, write_select},
    {"sample ms", 9, false, write_sample},
    {"MiB/rank", 8, false, write_resident},
    {"beyond MiB", 10, false, write_overhead},
};

enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* Characters of UTF-8: all bytes but those that continue one. */
static int characters(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void print_cell(const struct column *column, const char *text) {
    const int padding = column->width > characters(text) ? column->width - characters(text) : 0;
    printf("| %*s%s%*s ", column->left ? 0 : padding, "", text, column->left ? padding : 0, "");
}

static void print_rule(const struct column *column) {
    static const char dashes[] = "--------------------------------";
    printf("| %.*s%s ", column->width - !column->left, dashes, column->left ? "" : ":");
}

void bench_markdown_begin(void) {
    for (size_t i = 0; i < N_COLUMNS; i++)
        print_cell(&columns[i], columns[i].title);
    puts("|");
    for (size_t i = 0; i < N_COLUMNS; i++)
        print_rule(&columns[i]);
    puts("|");
}

void bench_markdown_record(const struct bench_record *record) {
    const struct row row = {record, bench_figures_of(&record->test, &record->result)};
    for (size_t i = 0; i < N_COLUMNS; i++) {
        char cell[CELL_MAX] = "";
        columns[i].write(&row, cell);
        print_cell(&columns[i], cell);
    }
    puts("|");
}
