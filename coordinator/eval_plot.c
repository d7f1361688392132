#include "coordinator/eval_plot.h"

#include <stdlib.h>

#include "base/log.h"
#include "coordinator/eval_figure_impl.h"

static enum status draw_by_budget(const struct eval_budget_figure *kind, const struct eval_summary *summary,
                                  const char *folder) {
    struct figure figure;
    TRY(eval_figure_by_budget(kind, summary, &figure));
    const enum status status = figure_draw(&figure, folder);
    figure_free(&figure);
    return status;
}

static enum status draw_by_panel(const struct eval_panel_figure *kind, const struct eval_summary *summary,
                                 const struct eval_curves *curves, const char *folder, bool *lacks_budgets) {
    struct figure figure;
    bool lacks = false;
    TRY(eval_figure_by_panel(kind, summary, curves, &figure, &lacks));
    *lacks_budgets |= lacks;
    const enum status status = figure_draw(&figure, folder);
    figure_free(&figure);
    return status;
}

static enum status draw_all(const struct eval_summary *summary, const struct eval_curves *curves,
                            const char *folder) {
    bool lacks_budgets = false;
    TRY(draw_by_budget(&eval_accuracy_figure, summary, folder));
    TRY(draw_by_budget(&eval_length_figure, summary, folder));
    TRY(draw_by_panel(&eval_kv_figure, summary, curves, folder, &lacks_budgets));
    TRY(draw_by_panel(&eval_time_figure, summary, curves, folder, &lacks_budgets));
    TRY(draw_by_panel(&eval_recall_figure, summary, curves, folder, &lacks_budgets));
    if (lacks_budgets)
        log_warn("kv, time and recall have panels for %d budgets: the others are left out", EVAL_MAX_PANELS);
    return STATUS_OK;
}

enum status eval_plot(const struct eval_summary *summary, const struct eval_results *results,
                      const char *folder) {
    struct eval_curves *curves = calloc(summary->n + 1, sizeof *curves);
    if (!curves) return FAIL(STATUS_NO_MEMORY, "out of memory for the pictures");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < summary->n && status == STATUS_OK; i++)
        status =
            eval_curves_create(results->records + summary->rows[i].first, summary->rows[i].n, &curves[i]);
    if (status == STATUS_OK) status = draw_all(summary, curves, folder);
    for (size_t i = 0; i < summary->n; i++)
        eval_curves_free(&curves[i]);
    free(curves);
    return status;
}
