#include "coordinator/figure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"

/* Okabe and Ito's palette, which colour-blind people tell apart too, without its yellow; black is not
 * among them. Beyond seven series the points and dashes change. */
static const char *const colors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                     "#E69F00", "#56B4E9", "#7F7F7F"};
static const int points[] = {7, 5, 9, 13, 11, 6, 4, 8, 12, 10};
enum { N_COLORS = sizeof colors / sizeof *colors, N_POINTS = sizeof points / sizeof *points };

void figure_free(struct figure *figure) {
    bytes_free(&figure->data);
    bytes_free(&figure->commands);
}

enum status figure_print_svg(const char *name, int width, int height, struct bytes *commands) {
    return bytes_printf(commands,
                        "set terminal svg size %d,%d dynamic background 'white' font 'Helvetica,14'\n"
                        "set output '%s.svg'\n",
                        width, height, name);
}

/* One and a half times as large. */
enum status figure_print_png(const char *name, int width, int height, struct bytes *commands) {
    return bytes_printf(
        commands,
        "set terminal pngcairo size %d,%d background 'white' font 'Helvetica,21' linewidth 1.5 "
        "pointscale 1.5\nset output '%s.png'\n",
        width * 3 / 2, height * 3 / 2, name);
}

enum status figure_print_quoted(const char *text, struct bytes *out) {
    for (; *text; text++)
        if (*text != '\'' && (unsigned char)*text >= ' ') TRY(bytes_append(out, text, 1));
    return STATUS_OK;
}

enum status figure_print_style(int i, struct bytes *out) {
    return bytes_printf(out, " lc rgb '%s' dt %d lw 2 pt %d ps 0.9", colors[i % N_COLORS],
                        1 + i / N_COLORS % 4, points[i % N_POINTS]);
}

/* ---- gnuplot ---- */

/* Runs it in the folder with one argument; its output goes to standard error. Its locale has all the
 * characters of the pictures, whatever ours is, and no settings of the user's change them. */
static enum status run_gnuplot(const char *folder, char *argument, int *exit_out) {
    char name[] = "gnuplot", *const argv[] = {name, argument, NULL};
    char locale[] = "LC_ALL=C.UTF-8", *const environment[] = {locale, NULL};
    const enum status status = subprocess_run(
        &(struct subprocess){.argv = argv, .environment = environment, .folder = folder}, exit_out);
    if (status != STATUS_BAD_INPUT) return status;
    return FAIL(STATUS_BAD_INPUT,
                "--plot needs gnuplot, which is not installed (Debian's package gnuplot-nox)");
}

static enum status check_gnuplot(void) {
    char argument[] = "/dev/null"; /* no commands */
    int exit_status = 0;
    TRY(run_gnuplot("/", argument, &exit_status));
    return exit_status == 0 ? STATUS_OK
                            : FAIL(STATUS_IO, "gnuplot does not run: exit status %d", exit_status);
}

/* ---- files ---- */

static enum status check_folder(const char *folder) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return FAIL(STATUS_IO, "cannot make the folder %s: %s", folder, strerror(errno));
    if (!file_is_directory(folder)) return FAIL(STATUS_IO, "%s is no folder", folder);
    if (access(folder, W_OK | X_OK) != 0)
        return FAIL(STATUS_IO, "cannot write to the folder %s: %s", folder, strerror(errno));
    return STATUS_OK;
}

enum status figure_check(const char *folder) {
    TRY(check_folder(folder));
    return check_gnuplot();
}

static enum status write_file(const char *folder, const char *name, const char *ending,
                              const struct bytes *content) {
    char file_name[64], path[FILE_PATH_MAX];
    snprintf(file_name, sizeof file_name, "%s.%s", name, ending);
    TRY(file_join(folder, file_name, path));
    return file_write(path, content);
}

enum status figure_draw(const struct figure *figure, const char *folder) {
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
