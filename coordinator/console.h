/* coordinator/console.h - the person at the terminal: lines typed, and Ctrl-C that stops an answer.
 *
 * Without a launcher Ctrl-C arrives as SIGINT. mpirun would take that signal as the order to kill the job,
 * so under mpirun the console makes Ctrl-C an ordinary byte of the terminal that ends the input line; mpirun
 * hands it on to rank 0's standard input, where console_interrupted finds it. The terminal's settings are
 * put back by console_close, and by whatever ends the job before (base/terminal.h): so a console is open only
 * while answers are computed or a person is asked.
 *
 * Memory:  the console owns its input buffer.
 * Threads: one console per process; main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/status.h"

struct console;

NODISCARD enum status console_open(struct console **console_out);
void console_close(struct console *console); /* NULL is allowed */

/* Where to speak to the person: standard output where that is the terminal, so that the order of what is said
 * and answered is kept (mpirun forwards the two outputs each on its own); else standard error. */
FILE *console_stream(void);

/* Was Ctrl-C pressed since the last call? Does not wait. What was typed before it is dropped. */
bool console_interrupted(struct console *console);

/* Shows `prompt` (console_stream) and waits for a line (without its newline). *end_out: nothing more will
 * come (end of input, or Ctrl-C at the prompt). Lines that end in a backslash go on in the next. Longer than
 * 64 MiB: STATUS_BAD_INPUT. */
NODISCARD enum status console_read_line(struct console *console, const char *prompt, struct bytes *line,
                                        bool *end_out);
