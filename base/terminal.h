/* base/terminal.h - is a person looking, and at how many columns?
 *
 * Under mpirun a process cannot simply ask isatty(): its standard output is a pseudo-terminal even where
 * mpirun's own goes to a file, and its standard input is a pipe even where a person types. So the launcher,
 * the parent process, is asked instead (through /proc, on the launcher's host).
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; meaningful on rank 0, which alone prints. */
#pragma once

#include <stdbool.h>

/* `descriptor`: 0, 1 or 2. */
bool terminal_is_terminal(int descriptor);

/* Opens the terminal behind that descriptor for ioctl and termios; -1 where there is none. */
int terminal_open(int descriptor);

/* Columns of the terminal behind standard error; 80 where unknown. */
int terminal_columns(void);
