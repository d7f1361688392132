#include "coordinator/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/json_print.h"

/* ---- Markdown ---- */

/* Characters of UTF-8: all bytes but those that continue one. */
static int characters(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void print_cell(const struct table_column *column, int width, const char *text) {
    const int padding = width > characters(text) ? width - characters(text) : 0;
    printf("| %*s%s%*s ", column->left ? 0 : padding, "", text, column->left ? padding : 0, "");
}

static void print_rule(const struct table_column *column, int width) {
    printf("| ");
    for (int i = 0; i < width - !column->left; i++)
        putchar('-');
    printf("%s ", column->left ? "" : ":");
}

void table_print_titles(const struct table_column *columns, size_t n_columns) {
    for (size_t c = 0; c < n_columns; c++)
        print_cell(&columns[c], columns[c].width, columns[c].title);
    puts("|");
    for (size_t c = 0; c < n_columns; c++)
        print_rule(&columns[c], columns[c].width);
    puts("|");
}

void table_print_row(const struct table_column *columns, size_t n_columns, const void *row) {
    for (size_t c = 0; c < n_columns; c++) {
        char cell[TABLE_CELL_MAX] = "";
        columns[c].write(row, cell);
        print_cell(&columns[c], columns[c].width, cell);
    }
    puts("|");
}

static const void *row_at(const struct table *table, size_t i) {
    return (const char *)table->rows + i * table->row_size;
}

/* 0: the column has nothing to say. Otherwise room for its title and its rule, "--:". */
static int width_of(const struct table *table, const struct table_column *column) {
    int width = 0;
    for (size_t i = 0; i < table->n_rows; i++) {
        char cell[TABLE_CELL_MAX] = "";
        column->write(row_at(table, i), cell);
        width = characters(cell) > width ? characters(cell) : width;
    }
    const int least = characters(column->title) > 3 ? characters(column->title) : 3;
    return width > 0 && width < least ? least : width;
}

static enum status print_markdown(const struct table *table) {
    struct table_column *columns = calloc(table->n_columns + 1, sizeof *columns);
    if (!columns) return FAIL(STATUS_NO_MEMORY, "out of memory for a table");
    size_t n = 0;
    for (size_t c = 0; c < table->n_columns; c++) {
        columns[n] = table->columns[c];
        columns[n].width = width_of(table, &table->columns[c]);
        n += columns[n].width > 0;
    }
    table_print_titles(columns, n);
    for (size_t i = 0; i < table->n_rows; i++)
        table_print_row(columns, n, row_at(table, i));
    free(columns);
    return STATUS_OK;
}

/* ---- JSON and CSV ---- */

static json_t *rows_json(const struct table *table) {
    json_t *rows = json_array();
    for (size_t i = 0; i < table->n_rows; i++)
        if (json_array_append_new(rows, table->row_json(row_at(table, i))) != 0) {
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

static enum status print_csv_row(const struct table *table, size_t i, bool titles) {
    json_t *object = table->row_json(row_at(table, i)), *value;
    if (!object) return FAIL(STATUS_NO_MEMORY, "out of memory for a table");
    const char *name, *separator = "";
    json_object_foreach(object, name, value) {
        if (json_is_array(value)) continue;
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

static enum status print_csv(const struct table *table) {
    if (table->n_rows > 0) TRY(print_csv_row(table, 0, true));
    for (size_t i = 0; i < table->n_rows; i++)
        TRY(print_csv_row(table, i, false));
    return STATUS_OK;
}

static enum status print_json_lines(const struct table *table) {
    for (size_t i = 0; i < table->n_rows; i++)
        TRY(json_print(table->row_json(row_at(table, i)), false));
    return STATUS_OK;
}

enum status table_print(const struct table *table, enum bench_format format) {
    switch (format) {
    case BENCH_MARKDOWN:
        TRY(print_markdown(table));
        break;
    case BENCH_CSV:
        TRY(print_csv(table));
        break;
    case BENCH_JSON:
        TRY(json_print(rows_json(table), true));
        break;
    case BENCH_JSON_LINES:
        TRY(print_json_lines(table));
        break;
    }
    if (fflush(stdout) == 0 && !ferror(stdout)) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot write standard output: %s", strerror(errno));
}
