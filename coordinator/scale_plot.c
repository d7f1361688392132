/* Pictures of a study: speed-up and efficiency against ranks, a curve for each case, and for each case and
 * number of ranks what a token's time was spent on. */
#include <stdio.h>

#include "coordinator/figure.h"
#include "coordinator/scale_report.h"

static size_t case_end(const struct scale_study *study, size_t begin) {
    size_t end = begin + 1;
    while (end < study->n && scale_same_case(&study->rows[begin].what, &study->rows[end].what))
        end++;
    return end;
}

static enum status print_case_name(const struct scale_study *study, const struct scale_row *row,
                                   struct bytes *out) {
    char name[SCALE_NAME_MAX], threads[32] = "", budget[32] = "";
    scale_test_name(study, &row->what, name);
    if (row->what.budget > 0) snprintf(budget, sizeof budget, " K=%d", row->what.budget);
    if (row->what.n_threads > 0) snprintf(threads, sizeof threads, " t=%d", row->what.n_threads);
    TRY(figure_print_quoted(row->what.policy, out));
    return bytes_printf(out, "%s %s%s", budget, name, threads);
}

/* ---- curves ---- */

static enum status print_curve_points(const struct scale_study *study, struct bytes *data) {
    TRY(bytes_append_text(data, "# ranks speed-up efficiency\n"));
    for (size_t begin = 0, end; begin < study->n; begin = end) {
        end = case_end(study, begin);
        for (size_t i = begin; i < end; i++)
            TRY(bytes_printf(data, "%d %.6g %.6g\n", study->rows[i].n_ranks, study->rows[i].speed_up,
                             100 * study->rows[i].efficiency));
        TRY(bytes_append_text(data, "\n\n"));
    }
    return STATUS_OK;
}

struct curves {
    const char *name, *y_label;
    int column;
    const char *ideal;  /* a formula of x */
    const char *y_axis; /* commands */
};

static enum status print_curves(const struct scale_study *study, const struct curves *curves,
                                struct bytes *out) {
    int index = 0;
    TRY(bytes_printf(out, "plot %s with lines lc rgb 'black' dt 2 lw 2 title 'ideal'", curves->ideal));
    for (size_t begin = 0; begin < study->n; begin = case_end(study, begin), index++) {
        TRY(bytes_printf(out, ", \\\n     '%s.dat' index %d using 1:%d with linespoints", curves->name, index,
                         curves->column));
        TRY(figure_print_style(index, out));
        TRY(bytes_append_text(out, " title '"));
        TRY(print_case_name(study, &study->rows[begin], out));
        TRY(bytes_append_text(out, "'"));
    }
    return bytes_append_text(out, "\n");
}

static enum status draw_curves(const struct scale_study *study, const struct curves *curves,
                               const char *folder) {
    struct figure figure = {.name = curves->name};
    enum status status;
    TRY_GOTO(print_curve_points(study, &figure.data), done);
    TRY_GOTO(bytes_printf(&figure.commands,
                          "set encoding utf8\nset xlabel 'ranks'\nset ylabel '%s'\nset logscale x 2\n"
                          "set grid lt 1 lc rgb '#DDDDDD' lw 1\nset border 3\nset tics nomirror\n"
                          "%s\nset key noenhanced outside right center vertical Left reverse "
                          "samplen 2 maxcols 1 spacing 0.9 font ',11'\n",
                          curves->y_label, curves->y_axis),
             done);
    TRY_GOTO(figure_print_svg(curves->name, 900, 480, &figure.commands), done);
    TRY_GOTO(print_curves(study, curves, &figure.commands), done);
    TRY_GOTO(figure_print_png(curves->name, 900, 480, &figure.commands), done);
    TRY_GOTO(bytes_append_text(&figure.commands, "replot\n"), done);
    status = figure_draw(&figure, folder);
done:
    figure_free(&figure);
    return status;
}

/* ---- shares ---- */

static enum status print_share_points(const struct scale_study *study, struct bytes *data) {
    TRY(bytes_append_text(data, "# what, milliseconds per token: compute sync select sample\n"));
    for (size_t i = 0; i < study->n; i++) {
        const struct scale_row *row = &study->rows[i];
        TRY(bytes_append_text(data, "\""));
        TRY(print_case_name(study, row, data));
        TRY(bytes_printf(data, ", P=%d\" %.6g %.6g %.6g %.6g\n", row->n_ranks, row->compute_ms, row->sync_ms,
                         row->select_ms, row->sample_ms));
    }
    return STATUS_OK;
}

/* A bar for each row, downwards; its parts lie one behind the other. */
static enum status print_bars(struct bytes *out) {
    static const struct {
        const char *name, *begin, *end, *colour;
    } parts[] = {{"compute", "0", "$2", "#0072B2"},
                 {"sync", "$2", "$2+$3", "#D55E00"},
                 {"select", "$2+$3", "$2+$3+$4", "#009E73"},
                 {"sample", "$2+$3+$4", "$2+$3+$4+$5", "#7F7F7F"}};
    const char *separator = "plot 'shares.dat'";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        TRY(bytes_printf(out,
                         "%s using (0):0:(%s):(%s):($0-0.35):($0+0.35):ytic(1) with boxxyerror lc rgb '%s' "
                         "title '%s'",
                         separator, parts[i].begin, parts[i].end, parts[i].colour, parts[i].name));
        separator = ", \\\n     ''";
    }
    return bytes_append_text(out, "\n");
}

static enum status draw_shares(const struct scale_study *study, const char *folder) {
    static const char name[] = "shares";
    struct figure figure = {.name = name};
    const int height = 120 + 30 * (int)study->n;
    enum status status;
    TRY_GOTO(print_share_points(study, &figure.data), done);
    TRY_GOTO(
        bytes_printf(&figure.commands,
                     "set encoding utf8\nset style fill solid 0.9 border -1\nset xlabel 'ms per token'\n"
                     "set xrange [0:*]\nset yrange [%zu:-1]\nset border 1\nset tics nomirror\n"
                     "set ytics scale 0 noenhanced font ',11'\nset grid xtics lt 1 lc rgb '#DDDDDD' lw 1\n"
                     "set key outside right top vertical Left reverse samplen 1\n",
                     study->n),
        done);
    TRY_GOTO(figure_print_svg(name, 900, height, &figure.commands), done);
    TRY_GOTO(print_bars(&figure.commands), done);
    TRY_GOTO(figure_print_png(name, 900, height, &figure.commands), done);
    TRY_GOTO(bytes_append_text(&figure.commands, "replot\n"), done);
    status = figure_draw(&figure, folder);
done:
    figure_free(&figure);
    return status;
}

enum status scale_report_plot(const struct scale_study *study, const char *folder) {
    TRY(draw_curves(study, &(struct curves){"speedup", "speed-up", 2, "x", "set logscale y 2"}, folder));
    TRY(draw_curves(study, &(struct curves){"efficiency", "efficiency (%)", 3, "100", "set yrange [0:*]"},
                    folder));
    return draw_shares(study, folder);
}
