/* coordinator/supervisor.h - runs another command, anew when it fails, and leaves nothing of it behind.
 *
 * What the command starts and leaves (mpirun killed, its ranks not) becomes the supervisor's child and is
 * ended before the command is run again: two of them never write one file. Should the supervisor itself be
 * killed, the command gets SIGTERM. What attempt after attempt prints is passed on once
 * (supervised_output.h).
 *
 * Memory:  nothing outlives the call.
 * Threads: main thread only; signals that end or interrupt are taken while it runs, and passed on.
 * Ranks:   no rank: it starts them. */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct supervisor_options {
    char *const *command;   /* NULL at its end */
    int32_t max_restarts;   /* without a long run between them */
    double backoff_seconds; /* before the first of them; twice as long before each further one */
};

/* *exit_status_out: the command's last one, as a shell has it (128 + signal). */
NODISCARD enum status supervisor_run(const struct supervisor_options *options, int *exit_status_out);
