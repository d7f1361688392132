/* coordinator/table.h - measurements as a Markdown table, CSV, JSON or a JSON object per line.
 *
 * A column of the table writes its cell of a row as text; the other formats have the fields of the row's
 * JSON object.
 *
 * Memory:  nothing outlives a call.
 * Threads: one at a time.
 * Ranks:   rank 0; writes to standard output. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "coordinator/config.h"

enum { TABLE_CELL_MAX = 160 };

struct table_column {
    const char *title;
    bool left;                                                 /* where its text stands */
    void (*write)(const void *row, char cell[TABLE_CELL_MAX]); /* the cell is empty before */
    int width; /* characters, at least; for rows that are printed one by one */
};

struct table {
    const struct table_column *columns; /* [n_columns]; one whose cells are all empty is left out */
    size_t n_columns;
    const void *rows; /* [n_rows] of row_size bytes */
    size_t n_rows, row_size;
    json_t *(*row_json)(const void *row); /* NULL when memory ends; the same fields in each */
};

NODISCARD enum status table_print(const struct table *table, enum bench_format format);

/* A Markdown table whose rows are not known yet. */
void table_print_titles(const struct table_column *columns, size_t n_columns);
void table_print_row(const struct table_column *columns, size_t n_columns, const void *row);
