/* base/terminal.h - is a person looking? And the loan of his terminal's settings.
 *
 * Under mpirun a process cannot simply ask isatty(): its standard output is a pseudo-terminal even where
 * mpirun's own goes to a file, and its standard input is a pipe even where a person types. So the launcher,
 * the parent process, is asked instead (through /proc, on the launcher's host).
 *
 * Memory:  none.
 * Threads: any, but for terminal_borrow: main thread only.
 * Ranks:   local; meaningful on rank 0, which alone prints. */
#pragma once

#include <stdbool.h>
#include <termios.h>

/* `descriptor`: 0, 1 or 2. */
bool terminal_is_terminal(int descriptor);

/* Opens the terminal behind that descriptor for ioctl and termios; -1 where there is none. */
int terminal_open(int descriptor);

/* Gives the terminal other settings until terminal_return, which exit() and the signals that end a job call
 * too: a shell must never be left with them. Takes the descriptor over. One loan at a time; false: refused.
 */
bool terminal_borrow(int terminal, const struct termios *settings);
void terminal_return(void); /* without a loan: nothing */
