/* The summary of eval as a table, CSV or JSON. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/eval_summary.h"
#include "coordinator/json_print.h"

/* ---- Markdown ---- */

enum { CELL_MAX = 160 };

struct column {
    const char *title;
    bool left;
    void (*write)(const struct eval_row *row, char cell[CELL_MAX]);
};

static void write_policy(const struct eval_row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%s", row->method.policy);
}

static void write_budget(const struct eval_row *row, char cell[CELL_MAX]) {
    if (row->method.budget > 0) snprintf(cell, CELL_MAX, "%d", row->method.budget);
}

static void write_options(const struct eval_row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.*s", CELL_MAX - 1, row->method.options);
}

static void write_n(const struct eval_row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%lld", (long long)row->n);
}

static void write_accuracy(const struct eval_row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.1f %% [%.1f, %.1f]", 100 * row->accuracy.share, 100 * row->accuracy.low,
             100 * row->accuracy.high);
}

static void write_versus_full(const struct eval_row *row, char cell[CELL_MAX]) {
    if (isnan(row->versus_full.share) || eval_method_is_full(&row->method)) return;
    snprintf(cell, CELL_MAX, "%+.1f [%+.1f, %+.1f]", 100 * row->versus_full.share, 100 * row->versus_full.low,
             100 * row->versus_full.high);
}

static void write_number(const char *format, double value, char cell[CELL_MAX]) {
    if (!isnan(value)) snprintf(cell, CELL_MAX, format, value);
}

static void write_tokens(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.1f", row->tokens, cell);
}

static void write_correct_tokens(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.1f", row->correct_tokens, cell);
}

static void write_token_ratio(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.3f", row->versus_full_tokens, cell);
}

static void write_by_length(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.1f %%", 100 * row->by_length, cell);
}

static void write_attended(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.1f", row->attended, cell);
}

static void write_recall(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.4f", row->recall, cell);
}

static void write_rate(const struct eval_row *row, char cell[CELL_MAX]) {
    write_number("%.1f", row->tokens_per_second, cell);
}

static void write_kv(const struct eval_row *row, char cell[CELL_MAX]) {
    snprintf(cell, CELL_MAX, "%.2f", (double)row->kv_bytes / (1 << 20));
}

static const struct column columns[] = {
    {"policy", true, write_policy},
    {"budget", false, write_budget},
    {"options", true, write_options},
    {"n", false, write_n},
    {"accuracy [95 %]", false, write_accuracy},
    {"vs full", false, write_versus_full},
    {"tokens", false, write_tokens},
    {"if correct", false, write_correct_tokens},
    {"x full", false, write_token_ratio},
    {"cut off", false, write_by_length},
    {"attended", false, write_attended},
    {"recall", false, write_recall},
    {"tok/s", false, write_rate},
    {"peak KV MiB", false, write_kv},
};

enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* Characters of UTF-8: all bytes but those that continue one. */
static int characters(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* 0: the column has nothing to say. Otherwise room for its rule, "--:". */
static int width_of(const struct column *column, const struct eval_summary *summary) {
    int width = 0;
    for (size_t i = 0; i < summary->n; i++) {
        char cell[CELL_MAX] = "";
        column->write(&summary->rows[i], cell);
        width = characters(cell) > width ? characters(cell) : width;
    }
    const int least = characters(column->title) > 3 ? characters(column->title) : 3;
    return width > 0 && width < least ? least : width;
}

static void print_cell(const struct column *column, int width, const char *text) {
    const int padding = width - characters(text);
    if (width > 0)
        printf("| %*s%s%*s ", column->left ? 0 : padding, "", text, column->left ? padding : 0, "");
}

static void print_rule(const struct column *column, int width) {
    if (width == 0) return;
    printf("| ");
    for (int i = 0; i < width - !column->left; i++)
        putchar('-');
    printf("%s ", column->left ? "" : ":");
}

static void print_markdown(const struct eval_summary *summary) {
    int widths[N_COLUMNS];
    for (size_t c = 0; c < N_COLUMNS; c++)
        widths[c] = width_of(&columns[c], summary);
    for (size_t c = 0; c < N_COLUMNS; c++)
        print_cell(&columns[c], widths[c], columns[c].title);
    puts("|");
    for (size_t c = 0; c < N_COLUMNS; c++)
        print_rule(&columns[c], widths[c]);
    puts("|");
    for (size_t i = 0; i < summary->n; i++) {
        for (size_t c = 0; c < N_COLUMNS; c++) {
            char cell[CELL_MAX] = "";
            columns[c].write(&summary->rows[i], cell);
            print_cell(&columns[c], widths[c], cell);
        }
        puts("|");
    }
}

/* ---- JSON and CSV: the same fields ---- */

static json_t *real_or_null(double value) {
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *merged(json_t *object, json_t *more) {
    const bool failed = !object || !more || json_object_update_missing(object, more) != 0;
    json_decref(more);
    if (!failed) return object;
    json_decref(object);
    return NULL;
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

static json_t *row_json(const struct eval_row *row) {
    json_t *budget = row->method.budget > 0 ? json_integer(row->method.budget) : json_null();
    json_t *object = json_pack("{s:s, s:o, s:s}", "policy", row->method.policy, "budget", budget, "options",
                               row->method.options);
    object = merged(object, accuracy_json(row));
    object = merged(object, versus_full_json(row));
    return merged(object, cost_json(row));
}

static json_t *rows_json(const struct eval_summary *summary) {
    json_t *rows = json_array();
    for (size_t i = 0; i < summary->n; i++)
        if (json_array_append_new(rows, row_json(&summary->rows[i])) != 0) {
            json_decref(rows);
            return NULL;
        }
    return rows;
}

static void print_csv_value(const json_t *value) {
    if (json_is_string(value)) {
        putchar('"');
        for (const char *c = json_string_value(value); *c; c++)
            printf(*c == '"' ? "\"\"" : "%c", *c);
        putchar('"');
    } else if (json_is_integer(value)) {
        printf("%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        printf("%.9g", json_real_value(value));
    }
}

static enum status print_csv_row(const struct eval_row *row, bool titles) {
    json_t *object = row_json(row), *value;
    if (!object) return FAIL(STATUS_NO_MEMORY, "out of memory for the summary");
    const char *name, *separator = "";
    json_object_foreach(object, name, value) {
        fputs(separator, stdout);
        if (titles)
            fputs(name, stdout);
        else
            print_csv_value(value);
        separator = ",";
    }
    putchar('\n');
    json_decref(object);
    return STATUS_OK;
}

static enum status print_csv(const struct eval_summary *summary) {
    TRY(print_csv_row(&(struct eval_row){0}, true));
    for (size_t i = 0; i < summary->n; i++)
        TRY(print_csv_row(&summary->rows[i], false));
    return STATUS_OK;
}

static enum status print_json_lines(const struct eval_summary *summary) {
    for (size_t i = 0; i < summary->n; i++)
        TRY(json_print(row_json(&summary->rows[i]), false));
    return STATUS_OK;
}

enum status eval_summary_print(const struct eval_summary *summary, enum bench_format format) {
    switch (format) {
    case BENCH_MARKDOWN:
        print_markdown(summary);
        break;
    case BENCH_CSV:
        TRY(print_csv(summary));
        break;
    case BENCH_JSON:
        TRY(json_print(rows_json(summary), true));
        break;
    case BENCH_JSON_LINES:
        TRY(print_json_lines(summary));
        break;
    }
    if (fflush(stdout) == 0 && !ferror(stdout)) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot write the summary: %s", strerror(errno));
}
