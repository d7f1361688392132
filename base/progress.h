/* base/progress.h - a progress bar with an estimate of the time left, on a terminal's standard error.
 *
 * Says nothing in the first second, so that short work stays silent, and nothing where standard error is
 * no terminal.
 *
 * Memory:  plain data; zero-initialise through progress_begin.
 * Threads: one at a time.
 * Ranks:   rank 0 shows; give the others visible = false. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    uint64_t total;
    double begin;
    double last_shown;
    bool visible;
    bool shown;
};

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool visible);
void progress_update(struct progress *progress, uint64_t done);
void progress_hide(struct progress *progress); /* until the next update: something else is printed */
void progress_end(struct progress *progress);  /* wipes the bar */
