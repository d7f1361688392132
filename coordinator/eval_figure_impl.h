/* coordinator/eval_figure_impl.h - the figures of eval: the numbers of each, and the gnuplot commands that
 * draw them.
 *
 * Memory:  appends to the caller's bytes.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_curves.h"
#include "coordinator/eval_summary.h"
#include "coordinator/figure.h"

enum { EVAL_MAX_SERIES = 64, EVAL_MAX_PANELS = 12 };

/* A series is one policy with its options, at all budgets. */
struct eval_series {
    const struct eval_method *methods[EVAL_MAX_SERIES]; /* one of each; [0] is `full` where it is there */
    int n;
};
struct eval_series eval_series_list(const struct eval_summary *summary);
bool eval_series_has(const struct eval_method *one, const struct eval_method *method);
/* For a plot command. */
NODISCARD enum status eval_series_print_title(const struct eval_method *method, struct bytes *commands);

/* One value of each method against its budget, `full` as a horizontal line. */
struct eval_budget_figure {
    const char *name, *y_label, *y_range;
    double (*value)(const struct eval_row *row, double *low_out, double *high_out);
};
extern const struct eval_budget_figure eval_accuracy_figure, eval_length_figure;
NODISCARD enum status eval_figure_by_budget(const struct eval_budget_figure *kind,
                                            const struct eval_summary *summary, struct figure *figure_out);

/* One curve of each method, in one panel for each budget; not all budgets may have one. */
struct eval_panel_figure {
    const char *name, *x_label, *y_label;
    struct eval_curve (*curve)(const struct eval_curves *curves);
    double scale;  /* of the values, for the unit in y_label */
    bool is_share; /* from 0 to 1 */
};
extern const struct eval_panel_figure eval_kv_figure, eval_time_figure, eval_recall_figure;
NODISCARD enum status eval_figure_by_panel(const struct eval_panel_figure *kind,
                                           const struct eval_summary *summary,
                                           const struct eval_curves *curves, /* [summary->n] */
                                           struct figure *figure_out, bool *lacks_budgets_out);
