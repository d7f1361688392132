/* base/progress.h - how far long work is, with an estimate of the time left, on standard error.
 *
 * On a terminal it is a bar, which says nothing in the first second, so that short work stays silent.
 * Anywhere else, as in a batch job's file, it is a line every minute.
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
    bool terminal; /* standard error is one */
    bool shown;
};

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool visible);
void progress_update(struct progress *progress, uint64_t done);
void progress_hide(struct progress *progress); /* until the next update: something else is printed */
void progress_end(struct progress *progress);  /* wipes the bar */

/* "42 s", "7 min", "3 h 05 min", "2 d 4 h" */
enum { PROGRESS_TIME_MAX = 32 };
void progress_print_time(double seconds, char text[PROGRESS_TIME_MAX]);
