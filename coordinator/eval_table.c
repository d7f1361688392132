/* What a row of eval's summary says, as cells and as fields. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "coordinator/eval_summary.h"
#include "coordinator/json_build.h"
#include "coordinator/table.h"

/* ---- columns ---- */

static void write_policy(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%s", row->method.policy);
}

static void write_budget(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    if (row->method.budget > 0) snprintf(cell, TABLE_CELL_MAX, "%d", row->method.budget);
}

static void write_options(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.*s", TABLE_CELL_MAX - 1, row->method.options);
}

static void write_n(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%lld", (long long)row->n);
}

static void write_accuracy(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.1f %% [%.1f, %.1f]", 100 * row->accuracy.share, 100 * row->accuracy.low,
             100 * row->accuracy.high);
}

static void write_versus_full(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    if (isnan(row->versus_full.share) || eval_method_is_full(&row->method)) return;
    snprintf(cell, TABLE_CELL_MAX, "%+.1f [%+.1f, %+.1f]", 100 * row->versus_full.share,
             100 * row->versus_full.low, 100 * row->versus_full.high);
}

static void write_number(const char *format, double value, char cell[TABLE_CELL_MAX]) {
    if (!isnan(value)) snprintf(cell, TABLE_CELL_MAX, format, value);
}

static void write_tokens(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.1f", row->tokens, cell);
}

static void write_correct_tokens(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.1f", row->correct_tokens, cell);
}

static void write_token_ratio(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.3f", row->versus_full_tokens, cell);
}

static void write_by_length(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.1f %%", 100 * row->by_length, cell);
}

static void write_attended(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.1f", row->attended, cell);
}

static void write_recall(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.4f", row->recall, cell);
}

static void write_rate(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    write_number("%.1f", row->tokens_per_second, cell);
}

static void write_kv(const void *data, char cell[TABLE_CELL_MAX]) {
    const struct eval_row *row = data;
    snprintf(cell, TABLE_CELL_MAX, "%.2f", (double)row->kv_bytes / (1 << 20));
}

static const struct table_column columns[] = {
    {"policy", true, write_policy, 0},
    {"budget", false, write_budget, 0},
    {"options", true, write_options, 0},
    {"n", false, write_n, 0},
    {"accuracy [95 %]", false, write_accuracy, 0},
    {"vs full", false, write_versus_full, 0},
    {"tokens", false, write_tokens, 0},
    {"if correct", false, write_correct_tokens, 0},
    {"x full", false, write_token_ratio, 0},
    {"cut off", false, write_by_length, 0},
    {"attended", false, write_attended, 0},
    {"recall", false, write_recall, 0},
    {"tok/s", false, write_rate, 0},
    {"peak KV MiB", false, write_kv, 0},
};

/* ---- fields ---- */

static json_t *real_or_null(double value) {
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *accuracy_json(const struct eval_row *row) {
    return json_pack("{s:I, s:I, s:f, s:f, s:f}", "n", (json_int_t)row->n, "n_correct",
                     (json_int_t)row->n_correct, "accuracy", row->accuracy.share, "accuracy_low",
                     row->accuracy.low, "accuracy_high", row->accuracy.high);
}

static json_t *versus_full_json(const struct eval_row *row) {
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o}", "n_versus_full", (json_int_t)row->n_versus_full, "full_accuracy",
        real_or_null(row->full_accuracy), "versus_full", real_or_null(row->versus_full.share),
        "versus_full_low", real_or_null(row->versus_full.low), "versus_full_high",
        real_or_null(row->versus_full.high), "versus_full_tokens", real_or_null(row->versus_full_tokens));
}

static json_t *cost_json(const struct eval_row *row) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "tokens", real_or_null(row->tokens),
                     "correct_tokens", real_or_null(row->correct_tokens), "cut_off",
                     real_or_null(row->by_length), "attended", real_or_null(row->attended), "recall",
                     real_or_null(row->recall), "tokens_per_second", real_or_null(row->tokens_per_second),
                     "peak_kv_bytes", (json_int_t)row->kv_bytes, "mean_kv_bytes",
                     real_or_null(row->mean_kv_bytes));
}

static json_t *row_json(const void *data) {
    const struct eval_row *row = data;
    json_t *budget = row->method.budget > 0 ? json_integer(row->method.budget) : json_null();
    json_t *object = json_pack("{s:s, s:o, s:s}", "policy", row->method.policy, "budget", budget, "options",
                               row->method.options);
    object = json_merged(object, accuracy_json(row));
    object = json_merged(object, versus_full_json(row));
    return json_merged(object, cost_json(row));
}

enum status eval_summary_print(const struct eval_summary *summary, enum bench_format format) {
    return table_print(&(struct table){.columns = columns,
                                       .n_columns = sizeof columns / sizeof *columns,
                                       .rows = summary->rows,
                                       .n_rows = summary->n,
                                       .row_size = sizeof *summary->rows,
                                       .row_json = row_json},
                       format);
}
