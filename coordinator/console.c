#include "coordinator/console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/terminal.h"

enum { CTRL_C = 3 };

/* Set by the signal handler: the one thing that must be global. */
static volatile sig_atomic_t interrupted;

struct console {
    struct bytes input; /* read, but not yet handed out */
    bool end_of_input;
    int terminal; /* whose settings were changed; -1: none */
    struct termios saved_settings;
    struct sigaction saved_action;
};

static void note_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* Makes Ctrl-C a byte that ends the line. A process of mpirun's is in the background of the terminal, where
 * changing settings raises SIGTTOU unless that is blocked. */
static void take_terminal(struct console *console) {
    console->terminal = isatty(STDIN_FILENO) ? -1 : terminal_open(STDIN_FILENO);
    if (console->terminal < 0) return;
    if (tcgetattr(console->terminal, &console->saved_settings) != 0) {
        close(console->terminal);
        console->terminal = -1;
        return;
    }
    struct termios settings = console->saved_settings;
    settings.c_cc[VINTR] = _POSIX_VDISABLE;
    settings.c_cc[VEOL] = CTRL_C;
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTOU);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    tcsetattr(console->terminal, TCSANOW, &settings);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void return_terminal(struct console *console) {
    if (console->terminal < 0) return;
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTOU);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    tcsetattr(console->terminal, TCSANOW, &console->saved_settings);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(console->terminal);
}

enum status console_open(struct console **console_out) {
    struct console *console = calloc(1, sizeof *console);
    if (!console) return FAIL(STATUS_NO_MEMORY, "out of memory for the console");
    struct sigaction action = {.sa_handler = note_interrupt}; /* no SA_RESTART: a read must return */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &console->saved_action);
    interrupted = 0;
    take_terminal(console);
    *console_out = console;
    return STATUS_OK;
}

void console_close(struct console *console) {
    if (!console) return;
    return_terminal(console);
    sigaction(SIGINT, &console->saved_action, NULL);
    bytes_free(&console->input);
    free(console);
}

FILE *console_stream(void) {
    return terminal_is_terminal(STDOUT_FILENO) ? stdout : stderr;
}

/* Reads what there is; waits for it only if `wait`. */
static enum status read_input(struct console *console, bool wait) {
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    if (console->end_of_input || (poll(&ready, 1, wait ? -1 : 0) <= 0)) return STATUS_OK;
    char piece[4096];
    const ssize_t size = read(STDIN_FILENO, piece, sizeof piece);
    if (size < 0 && errno == EINTR) return STATUS_OK;
    if (size < 0) return FAIL(STATUS_IO, "cannot read standard input: %s", strerror(errno));
    if (size == 0) console->end_of_input = true;
    return bytes_append(&console->input, piece, (size_t)size);
}

/* A Ctrl-C among the input: drops everything up to it. */
static bool take_ctrl_c(struct console *console) {
    const char *found = console->input.size ? memchr(console->input.data, CTRL_C, console->input.size) : NULL;
    if (!found) return false;
    bytes_drop_front(&console->input, (size_t)(found - console->input.data) + 1);
    return true;
}

bool console_interrupted(struct console *console) {
    if (console->terminal >= 0 && read_input(console, false) != STATUS_OK) console->end_of_input = true;
    const bool typed = take_ctrl_c(console), signalled = interrupted;
    interrupted = 0;
    return typed || signalled;
}

/* Moves the first line of the input to `line`; true when the line is complete. */
static bool take_line(struct console *console, struct bytes *line, enum status *status) {
    const char *newline = console->input.size ? memchr(console->input.data, '\n', console->input.size) : NULL;
    if (!newline && !console->end_of_input) return false;
    size_t size = newline ? (size_t)(newline - console->input.data) : console->input.size;
    const bool continues = newline && size > 0 && console->input.data[size - 1] == '\\';
    *status = bytes_append(line, console->input.data ? console->input.data : "", continues ? size - 1 : size);
    if (*status == STATUS_OK && continues) *status = bytes_append_text(line, "\n");
    bytes_drop_front(&console->input, size + (newline != NULL));
    return !continues;
}

enum status console_read_line(struct console *console, const char *prompt, struct bytes *line,
                              bool *end_out) {
    bytes_clear(line);
    fputs(prompt, console_stream());
    fflush(console_stream());
    enum status status = STATUS_OK;
    while (!take_line(console, line, &status)) {
        if (status == STATUS_OK) status = read_input(console, true);
        if (status != STATUS_OK) return status;
        if (take_ctrl_c(console) || interrupted) {
            interrupted = 0;
            *end_out = true;
            fputs("\n", console_stream());
            return STATUS_OK;
        }
    }
    *end_out = console->end_of_input && line->size == 0 && console->input.size == 0;
    return status;
}
