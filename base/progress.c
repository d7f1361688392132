#include "base/progress.h"

#include <stdio.h>

#include "base/terminal.h"
#include "base/timer.h"

static const double QUIET_SECONDS = 1.0, REFRESH_SECONDS = 0.1;
enum { BAR_WIDTH = 30 };

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool visible) {
    *progress = (struct progress){.label = label,
                                  .total = total,
                                  .begin = timer_seconds(),
                                  .visible = visible && terminal_is_terminal(2)};
}

void progress_update(struct progress *progress, uint64_t done) {
    if (!progress->visible || progress->total == 0) return;
    const double now = timer_seconds(), elapsed = now - progress->begin;
    if (elapsed < QUIET_SECONDS || now - progress->last_shown < REFRESH_SECONDS) return;
    const double share = done < progress->total ? (double)done / (double)progress->total : 1;
    const int filled = (int)(share * BAR_WIDTH);
    char bar[BAR_WIDTH + 1];
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3.0f %%  %.0f s left ", progress->label, bar, 100 * share,
            share > 0 ? elapsed / share - elapsed : 0);
    fflush(stderr);
    progress->last_shown = now;
    progress->shown = true;
}

void progress_hide(struct progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}

void progress_end(struct progress *progress) {
    progress_hide(progress);
    progress->visible = false;
}
