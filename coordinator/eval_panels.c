/* Figures with a panel for each budget, since a curve of every policy at every budget would hide the others.
 */
#include <stdlib.h>

#include "coordinator/eval_figure_impl.h"

enum { PANEL_WIDTH = 440, PANEL_HEIGHT = 320 };

static struct eval_curve kv_curve(const struct eval_curves *curves) {
    return curves->kv;
}

static struct eval_curve time_curve(const struct eval_curves *curves) {
    return curves->seconds;
}

static struct eval_curve recall_curve(const struct eval_curves *curves) {
    return curves->recall;
}

const struct eval_panel_figure eval_kv_figure = {"kv",     "context (tokens)", "KV pages (MiB)",
                                                 kv_curve, 1.0 / (1 << 20),    false};
const struct eval_panel_figure eval_time_figure = {
    "time", "context (tokens)", "time per token (ms)", time_curve, 1e3, false};
const struct eval_panel_figure eval_recall_figure = {"recall",     "layer", "recall (share of mass)",
                                                     recall_curve, 1,       true};

/* All that a figure is made of. */
struct panels {
    const struct eval_panel_figure *kind;
    const struct eval_summary *summary;
    const struct eval_curves *curves; /* [summary->n] */
    struct eval_series series;
    int32_t budgets[EVAL_MAX_PANELS]; /* ascending; 0: of policies that have none */
    int n;
    bool lacks_budgets;
};

static struct eval_curve curve_of(const struct panels *panels, size_t row) {
    return panels->kind->curve(&panels->curves[row]);
}

static void insert_budget(struct panels *panels, int32_t budget) {
    int place = 0;
    while (place < panels->n && panels->budgets[place] < budget)
        place++;
    if (place < panels->n && panels->budgets[place] == budget) return;
    panels->lacks_budgets |= panels->n == EVAL_MAX_PANELS;
    if (panels->lacks_budgets) return;
    for (int i = panels->n++; i > place; i--)
        panels->budgets[i] = panels->budgets[i - 1];
    panels->budgets[place] = budget;
}

static void list_budgets(struct panels *panels) {
    for (size_t r = 0; r < panels->summary->n; r++) {
        const struct eval_method *method = &panels->summary->rows[r].method;
        if (!eval_method_is_full(method) && curve_of(panels, r).n > 0) insert_budget(panels, method->budget);
    }
    if (panels->n == 0 && panels->summary->n > 0 && curve_of(panels, 0).n > 0) insert_budget(panels, 0);
}

static enum status print_points(const struct panels *panels, struct bytes *data) {
    for (size_t r = 0; r < panels->summary->n; r++) {
        const struct eval_method *method = &panels->summary->rows[r].method;
        const struct eval_curve curve = curve_of(panels, r);
        TRY(bytes_printf(data, "# %s %d %s\n", method->policy, method->budget, method->options));
        if (curve.n == 0) TRY(bytes_append_text(data, "NaN NaN\n")); /* keeps the numbers of the blocks */
        for (size_t i = 0; i < curve.n; i++)
            TRY(bytes_printf(data, "%.9g %.9g\n", curve.x[i], panels->kind->scale * curve.y[i]));
        TRY(bytes_append_text(data, "\n\n"));
    }
    return STATUS_OK;
}

/* " lc … title …" of a method's curve, or in the key. */
static enum status print_look(const struct panels *panels, const struct eval_method *method, bool titled,
                              struct bytes *out) {
    if (eval_method_is_full(method)) {
        TRY(bytes_append_text(out, " with linespoints lc rgb 'black' dt 2 lw 2 pt 7 ps 0.3"));
    } else {
        int i = 0;
        while (i + 1 < panels->series.n && !eval_series_has(panels->series.methods[i], method))
            i++;
        TRY(bytes_append_text(out, " with linespoints"));
        TRY(figure_print_style(i - eval_method_is_full(panels->series.methods[0]), out));
    }
    return titled ? eval_series_print_title(method, out) : bytes_append_text(out, " notitle");
}

/* The first row, which may be `full`, comes last: its dashes lie upon what agrees with it. */
static enum status print_panel(const struct panels *panels, int32_t budget, struct bytes *out) {
    const size_t n = panels->summary->n;
    const char *separator = "plot ";
    if (budget > 0)
        TRY(bytes_printf(out, "set title 'budget %d'\n", budget));
    else
        TRY(bytes_append_text(out, "set title 'no budget'\n"));
    for (size_t i = 1; i <= n; i++) {
        const struct eval_method *method = &panels->summary->rows[i % n].method;
        if (!eval_method_is_full(method) && method->budget != budget) continue;
        if (curve_of(panels, i % n).n == 0) continue;
        TRY(bytes_printf(out, "%s'%s.dat' index %zu using 1:2", separator, panels->kind->name, i % n));
        TRY(print_look(panels, method, false, out));
        separator = ", \\\n     ";
    }
    return bytes_append_text(out, "\n");
}

/* An empty panel: its lines lie outside of what it shows. */
static enum status print_key(const struct panels *panels, struct bytes *out) {
    TRY(bytes_append_text(
        out,
        "unset title\nunset xlabel\nunset ylabel\nunset border\nunset tics\nunset grid\n"
        "set key noenhanced center center vertical Left reverse samplen 3 maxcols 1 spacing 0.9 font ',11'\n"
        "set xrange [0:1]\nset yrange [0:1]\n"));
    for (int i = 0; i < panels->series.n; i++) {
        TRY(bytes_append_text(out, i == 0 ? "plot 2" : ", \\\n     2"));
        TRY(print_look(panels, panels->series.methods[i], true, out));
    }
    return bytes_append_text(out, "\n");
}

static enum status print_plots(const struct panels *panels, int across, int down, struct bytes *out) {
    TRY(bytes_printf(
        out,
        "set multiplot layout %d,%d\nset xlabel '%s'\nset ylabel '%s'\nset border 3\n"
        "set tics nomirror font ',12'\nset grid ytics lt 1 lc rgb '#DDDDDD' lw 1\nset xrange [0:*]\nset yrange [0:%s]\n",
        down, across, panels->kind->x_label, panels->kind->y_label, panels->kind->is_share ? "1.02" : "*"));
    for (int i = 0; i < panels->n; i++)
        TRY(print_panel(panels, panels->budgets[i], out));
    TRY(print_key(panels, out));
    return bytes_append_text(out, "unset multiplot\n");
}

static enum status print_commands(const struct panels *panels, struct bytes *out) {
    const int n_cells = panels->n + 1; /* and the key */
    const int across = n_cells <= 4 ? 2 : 3;
    const int down = (n_cells + across - 1) / across;
    TRY(bytes_append_text(out, "set encoding utf8\n"));
    TRY(figure_print_svg(panels->kind->name, across * PANEL_WIDTH, down * PANEL_HEIGHT, out));
    TRY(print_plots(panels, across, down, out));
    TRY(bytes_append_text(out, "reset\nset encoding utf8\n"));
    TRY(figure_print_png(panels->kind->name, across * PANEL_WIDTH, down * PANEL_HEIGHT, out));
    return print_plots(panels, across, down, out);
}

enum status eval_figure_by_panel(const struct eval_panel_figure *kind, const struct eval_summary *summary,
                                 const struct eval_curves *curves, struct figure *figure_out,
                                 bool *lacks_budgets_out) {
    struct figure figure = {.name = kind->name};
    struct panels panels = {.kind = kind, .summary = summary, .curves = curves};
    panels.series = eval_series_list(summary);
    list_budgets(&panels);
    *lacks_budgets_out = panels.lacks_budgets;
    enum status status = STATUS_OK;
    if (panels.n > 0) status = print_points(&panels, &figure.data);
    if (panels.n > 0 && status == STATUS_OK) status = print_commands(&panels, &figure.commands);
    if (status != STATUS_OK) {
        figure_free(&figure);
        return status;
    }
    *figure_out = figure;
    return STATUS_OK;
}
