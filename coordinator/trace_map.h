/* coordinator/trace_map.h - a trace as a page-by-step map.
 *
 * Columns are decode steps and rows pages of 16 tokens, several to one where there are many. Layers that
 * attend to everything in every step say nothing about a selection and are left out, unless all do or one is
 * asked for.
 *
 * Memory:  owns its cells.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "coordinator/trace_file.h"

enum { TRACE_PAGE_TOKENS = 16, TRACE_MAP_MAX_COLUMNS = 1000, TRACE_MAP_MAX_ROWS = 600 };

struct trace_cell { /* over the steps, pages, layers and heads that it stands for */
    int64_t pages;  /* that existed */
    int64_t tokens; /* in them */
    int64_t pages_attended, tokens_attended;
};

struct trace_map {
    int32_t layer, kv_head; /* -1: all */
    bool *layer_shown;      /* [n_layers] */
    int64_t n_steps;        /* recorded */
    int64_t n_prompt, n_tokens;
    double mean_cached, mean_attended; /* tokens of a step, by a head that is shown */
    int64_t steps_per_column, pages_per_row;
    int32_t n_columns, n_rows;
    struct trace_cell *cells; /* [n_rows, n_columns] */
};

/* Reads the trace twice. A layer or KV head that it lacks, or a trace without a step: STATUS_BAD_INPUT. */
NODISCARD enum status trace_map_create(const void *data, size_t size, const char *name, int32_t layer,
                                       int32_t kv_head, struct trace_map *map_out);
void trace_map_free(struct trace_map *map);
