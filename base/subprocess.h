/* base/subprocess.h - another program, run to its end.
 *
 * Its standard input is empty and its standard error is ours. It belongs to our process group, so that
 * Ctrl-C on a terminal reaches it, too.
 *
 * Memory:  what it writes is appended to the caller's bytes.
 * Threads: one at a time.
 * Ranks:   local; not from a process that has begun MPI where the other program begins it, too. */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

struct subprocess {
    char *const *argv;        /* argv[0] is looked for in PATH; NULL at the end */
    char *const *environment; /* NULL at the end; itself NULL: ours */
    const char *folder;       /* to run it in; NULL: ours */
    struct bytes *output;     /* gets its standard output; NULL: that goes to standard error */
};

/* exit_out: its exit status, or 128 + the signal that ended it. Not found, or not allowed to run:
 * STATUS_BAD_INPUT. */
NODISCARD enum status subprocess_run(const struct subprocess *subprocess, int *exit_out);
