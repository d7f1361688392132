#include "coordinator/eval_figure_impl.h"

#include <math.h>
#include <string.h>

/* ---- series ---- */

bool eval_series_has(const struct eval_method *a, const struct eval_method *b) {
    return strcmp(a->policy, b->policy) == 0 && strcmp(a->options, b->options) == 0;
}

static int series_of(const struct eval_series *list, const struct eval_method *method) {
    for (int i = 0; i < list->n; i++)
        if (eval_series_has(list->methods[i], method)) return i;
    return -1;
}

struct eval_series eval_series_list(const struct eval_summary *summary) {
    struct eval_series list = {0};
    for (size_t i = 0; i < summary->n && list.n < EVAL_MAX_SERIES; i++)
        if (series_of(&list, &summary->rows[i].method) < 0) list.methods[list.n++] = &summary->rows[i].method;
    return list;
}

enum status eval_series_print_title(const struct eval_method *method, struct bytes *out) {
    TRY(bytes_append_text(out, " title '"));
    TRY(figure_print_quoted(method->policy, out));
    if (*method->options) {
        TRY(bytes_append_text(out, " "));
        TRY(figure_print_quoted(method->options, out));
    }
    return bytes_append_text(out, "'");
}

/* ---- against budget ---- */

static double accuracy_of(const struct eval_row *row, double *low_out, double *high_out) {
    *low_out = 100 * row->accuracy.low;
    *high_out = 100 * row->accuracy.high;
    return 100 * row->accuracy.share;
}

static double length_of(const struct eval_row *row, double *low_out, double *high_out) {
    *low_out = row->tokens - row->tokens_error;
    *high_out = row->tokens + row->tokens_error;
    return row->tokens;
}

const struct eval_budget_figure eval_accuracy_figure = {"accuracy", "accuracy (%), 95 % interval", "-2:102",
                                                        accuracy_of};
const struct eval_budget_figure eval_length_figure = {"length", "generated tokens (mean, 95 % interval)",
                                                      "0:*", length_of};

/* Where a row is drawn: a policy without a budget, at what it reads. */
static double place_of(const struct eval_row *row) {
    return row->method.budget > 0 ? row->method.budget : row->attended;
}

/* What it reads may not be known, as of samples without a decode step. */
static bool has_place(const struct eval_row *row) {
    return place_of(row) > 0;
}

static bool any_to_place(const struct eval_summary *summary) {
    for (size_t r = 0; r < summary->n; r++)
        if (!eval_method_is_full(&summary->rows[r].method) && has_place(&summary->rows[r])) return true;
    return false;
}

/* Neighbours are moved aside, so that their intervals do not hide each other. */
static double moved_aside(const struct eval_row *row, int i, int n) {
    return place_of(row) * pow(2, n > 1 ? 0.2 * ((double)i / (n - 1) - 0.5) : 0);
}

static enum status print_budget_points(const struct eval_budget_figure *kind,
                                       const struct eval_summary *summary, const struct eval_series *list,
                                       int i, struct bytes *data) {
    const int n_others = list->n - eval_method_is_full(list->methods[0]),
              place = i - eval_method_is_full(list->methods[0]);
    TRY(bytes_printf(data, "# %s %s\n# budget x value low high\n", list->methods[i]->policy,
                     list->methods[i]->options));
    for (size_t r = 0; r < summary->n; r++) {
        const struct eval_row *row = &summary->rows[r];
        if (!eval_series_has(&row->method, list->methods[i])) continue;
        double low, high;
        const double value = kind->value(row, &low, &high);
        TRY(bytes_printf(data, "%d %.6g %.6g %.6g %.6g\n", row->method.budget,
                         moved_aside(row, place, n_others), value, low, high));
    }
    return bytes_append_text(data, "\n\n");
}

static enum status print_budget_tics(const struct eval_summary *summary, struct bytes *out) {
    double least = INFINITY, most = 0;
    const char *separator = "";
    TRY(bytes_append_text(out, "set xtics ("));
    for (size_t r = 0; r < summary->n; r++) {
        const struct eval_row *row = &summary->rows[r];
        if (eval_method_is_full(&row->method) || !has_place(row)) continue;
        least = fmin(least, place_of(row));
        most = fmax(most, place_of(row));
        if (row->method.budget == 0) continue;
        TRY(bytes_printf(out, "%s'%d' %d", separator, row->method.budget, row->method.budget));
        separator = ", ";
    }
    return bytes_printf(out, ")\nset xrange [%g:%g]\n", least / 1.3, most * 1.3);
}

static enum status print_full_line(const struct eval_budget_figure *kind, const struct eval_row *full,
                                   struct bytes *out) {
    double low, high;
    const double value = kind->value(full, &low, &high);
    if (high > low)
        TRY(bytes_printf(out,
                         "set object rectangle from graph 0, first %.6g to graph 1, first %.6g "
                         "fc rgb 'black' fs transparent solid 0.08 noborder behind\n",
                         low, high));
    return bytes_printf(out, "full = %.6g\n", value);
}

static enum status print_budget_plot(const struct eval_budget_figure *kind, const struct eval_series *list,
                                     struct bytes *out) {
    const bool has_full = eval_method_is_full(list->methods[0]);
    const char *separator = "plot ";
    if (has_full) {
        TRY(bytes_append_text(out, "plot full lc rgb 'black' dt 2 lw 2 title 'full'"));
        separator = ", \\\n     ";
    }
    for (int i = has_full; i < list->n; i++) {
        TRY(bytes_printf(out, "%s'%s.dat' index %d using 2:3:4:5 with yerrorlines", separator, kind->name,
                         i));
        TRY(figure_print_style(i - has_full, out));
        TRY(eval_series_print_title(list->methods[i], out));
        separator = ", \\\n     ";
    }
    return bytes_append_text(out, "\n");
}

static enum status print_budget_commands(const struct eval_budget_figure *kind,
                                         const struct eval_summary *summary, const struct eval_series *list,
                                         struct bytes *out) {
    TRY(bytes_printf(
        out,
        "set encoding utf8\nset logscale x 2\nset xlabel 'budget (without one: tokens read)'\nset ylabel '%s'\n"
        "set grid ytics lt 1 lc rgb '#DDDDDD' lw 1\nset border 3\nset tics nomirror\n"
        "set yrange [%s]\nset key noenhanced outside right center vertical Left reverse samplen 2 maxcols 1 spacing 0.9 "
        "font ',11'\n",
        kind->y_label, kind->y_range));
    TRY(print_budget_tics(summary, out));
    if (eval_method_is_full(list->methods[0])) TRY(print_full_line(kind, &summary->rows[0], out));
    TRY(figure_print_svg(kind->name, 900, 540, out));
    TRY(print_budget_plot(kind, list, out));
    TRY(figure_print_png(kind->name, 900, 540, out));
    return bytes_append_text(out, "replot\n");
}

enum status eval_figure_by_budget(const struct eval_budget_figure *kind, const struct eval_summary *summary,
                                  struct figure *figure_out) {
    struct figure figure = {.name = kind->name};
    const struct eval_series list = eval_series_list(summary);
    const bool anything = any_to_place(summary);
    enum status status = STATUS_OK;
    for (int i = 0; i < list.n && status == STATUS_OK && anything; i++)
        status = print_budget_points(kind, summary, &list, i, &figure.data);
    if (status == STATUS_OK && anything)
        status = print_budget_commands(kind, summary, &list, &figure.commands);
    if (status != STATUS_OK) {
        figure_free(&figure);
        return status;
    }
    *figure_out = figure;
    return STATUS_OK;
}
