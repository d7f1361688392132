#include "coordinator/eval_plot.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "coordinator/eval_figure_impl.h"

extern char **environ;

/* ---- gnuplot ---- */

/* Runs it in the folder with one argument; its output goes to standard error. */
static enum status run_gnuplot(const char *folder, char *argument, int *exit_out) {
    char name[] = "gnuplot", *const argv[] = {name, argument, NULL};
    posix_spawn_file_actions_t actions;
    pid_t process;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return FAIL(STATUS_NO_MEMORY, "out of memory for gnuplot");
    int error = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (!error) error = posix_spawnp(&process, name, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    int state = 0;
    while (!error && waitpid(process, &state, 0) < 0)
        if (errno != EINTR) error = errno;
    if (error == ENOENT)
        return FAIL(STATUS_BAD_INPUT,
                    "--plot needs gnuplot, which is not installed (Debian's package gnuplot-nox)");
    if (error) return FAIL(STATUS_IO, "cannot run gnuplot: %s", strerror(error));
    *exit_out = WIFEXITED(state) ? WEXITSTATUS(state) : -1;
    return STATUS_OK;
}

enum status eval_plot_check(void) {
    char argument[] = "/dev/null"; /* no commands */
    int exit_status = 0;
    TRY(run_gnuplot("/", argument, &exit_status));
    return exit_status == 0 ? STATUS_OK
                            : FAIL(STATUS_IO, "gnuplot does not run: exit status %d", exit_status);
}

/* ---- files ---- */

static enum status write_file(const char *folder, const char *name, const char *ending,
                              const struct bytes *content) {
    char file_name[64], path[FILE_PATH_MAX];
    snprintf(file_name, sizeof file_name, "%s.%s", name, ending);
    TRY(file_join(folder, file_name, path));
    FILE *file = fopen(path, "w");
    const bool written = file && fwrite(content->data, 1, content->size, file) == content->size;
    const bool closed = file && fclose(file) == 0;
    return written && closed ? STATUS_OK : FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}

static enum status draw(const struct eval_figure *figure, const char *folder) {
    if (figure->commands.size == 0) return STATUS_OK;
    char script[64];
    int exit_status = 0;
    snprintf(script, sizeof script, "%s.gp", figure->name);
    TRY(write_file(folder, figure->name, "dat", &figure->data));
    TRY(write_file(folder, figure->name, "gp", &figure->commands));
    TRY(run_gnuplot(folder, script, &exit_status));
    if (exit_status != 0)
        return FAIL(STATUS_IO, "gnuplot could not draw %s/%s: exit status %d", folder, script, exit_status);
    log_info(1, "drew %s/%s.svg and .png", folder, figure->name);
    return STATUS_OK;
}

static enum status draw_by_budget(const struct eval_budget_figure *kind, const struct eval_summary *summary,
                                  const char *folder) {
    struct eval_figure figure;
    TRY(eval_figure_by_budget(kind, summary, &figure));
    const enum status status = draw(&figure, folder);
    eval_figure_free(&figure);
    return status;
}

static enum status draw_by_panel(const struct eval_panel_figure *kind, const struct eval_summary *summary,
                                 const struct eval_curves *curves, const char *folder, bool *lacks_budgets) {
    struct eval_figure figure;
    TRY(eval_figure_by_panel(kind, summary, curves, &figure));
    *lacks_budgets |= figure.lacks_budgets;
    const enum status status = draw(&figure, folder);
    eval_figure_free(&figure);
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
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return FAIL(STATUS_IO, "cannot make the folder %s: %s", folder, strerror(errno));
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
