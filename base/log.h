/* base/log.h - what the program says on standard error beside its results.
 *
 * Level 0 says only warnings, 1 (-v) what was done and how long it took, 2 (-vv) details.
 *
 * Memory:  none.
 * Threads: log_install before any thread starts, log_renumber while none logs; the rest from any thread.
 * Ranks:   by default only rank 0 speaks; log_rank() speaks on every rank and names it. */
#pragma once

#include <stdbool.h>

#include "base/status.h"

void log_install(int rank, int verbosity);
void log_renumber(int rank); /* the rank has another number now */
bool log_enabled(int verbosity);

/* One line, "caucus: …". Rank 0 only. */
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(int verbosity, const char *format, ...) PRINTF_LIKE(2, 3);

/* One line, "caucus: rank R: …", on whichever rank calls. */
void log_rank(int verbosity, const char *format, ...) PRINTF_LIKE(2, 3);
