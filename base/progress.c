#include "base/progress.h"

#include <stdio.h>

#include "base/terminal.h"
#include "base/timer.h"

static const double QUIET_SECONDS = 1.0, REFRESH_SECONDS = 0.1, LINE_SECONDS = 60;
enum { BAR_WIDTH = 30 };

void progress_print_time(double seconds, char text[PROGRESS_TIME_MAX]) {
    const long long s = seconds < 1e9 ? (long long)(seconds + 0.5) : 1000000000, minutes = s / 60;
    if (s < 100)
        snprintf(text, PROGRESS_TIME_MAX, "%lld s", s);
    else if (minutes < 60)
        snprintf(text, PROGRESS_TIME_MAX, "%lld min", minutes);
    else if (minutes < 24 * 60)
        snprintf(text, PROGRESS_TIME_MAX, "%lld h %02lld min", minutes / 60, minutes % 60);
    else
        snprintf(text, PROGRESS_TIME_MAX, "%lld d %lld h", minutes / (24 * 60), minutes / 60 % 24);
}

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool visible) {
    const double now = timer_seconds();
    *progress = (struct progress){.label = label,
                                  .total = total,
                                  .begin = now,
                                  .last_shown = now,
                                  .visible = visible,
                                  .terminal = terminal_is_terminal(2)};
}

static bool is_due(const struct progress *progress, double now) {
    if (!progress->terminal) return now - progress->last_shown >= LINE_SECONDS;
    return now - progress->begin >= QUIET_SECONDS && now - progress->last_shown >= REFRESH_SECONDS;
}

static void print_bar(const struct progress *progress, double share, const char *left) {
    const int filled = (int)(share * BAR_WIDTH);
    char bar[BAR_WIDTH + 1];
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3.0f %%  %s left \033[K", progress->label, bar, 100 * share, left);
}

void progress_update(struct progress *progress, uint64_t done) {
    const double now = timer_seconds();
    if (!progress->visible || progress->total == 0 || !is_due(progress, now)) return;
    const double share = done < progress->total ? (double)done / (double)progress->total : 1;
    const double elapsed = now - progress->begin;
    char left[PROGRESS_TIME_MAX] = "unknown time";
    if (share > 0) progress_print_time(elapsed / share - elapsed, left);
    if (progress->terminal)
        print_bar(progress, share, left);
    else
        fprintf(stderr, "%s: %.0f %%, %s left\n", progress->label, 100 * share, left);
    fflush(stderr);
    progress->last_shown = now;
    progress->shown = progress->terminal;
}

void progress_hide(struct progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}

void progress_end(struct progress *progress) {
    progress_hide(progress);
    progress->visible = false;
}
