#include "coordinator/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/terminal.h"

enum { CTRL_C = 3, CTRL_D = 4, NEVER = -1 };

static const size_t MAX_LINE_BYTES = (size_t)64 << 20;

/* Where the signal handler writes: it must find that by itself. A pipe can be waited for together with the
 * input, whichever thread the signal comes to. */
static volatile sig_atomic_t interrupt_pipe;

struct console {
    struct bytes input; /* read, but not yet handed out */
    size_t n_searched;  /* bytes of it that hold no newline */
    bool end_of_input;
    bool control_is_typed; /* Ctrl-C and Ctrl-D are bytes of the input */
    bool interrupted;
    int interrupts; /* the other end of interrupt_pipe */
    struct sigaction saved_action;
};

static void note_interrupt(int signal_number) {
    (void)signal_number;
    const int saved_errno = errno;
    (void)!write(interrupt_pipe, "", 1); /* a full pipe says it already */
    errno = saved_errno;
}

/* Makes Ctrl-C and Ctrl-D bytes that end the line. As the end of input, Ctrl-D in the midst of an answer
 * would make mpirun close its standard input, and Ctrl-C would find no way to us any more. */
static bool take_terminal(void) {
    const int terminal = isatty(STDIN_FILENO) ? -1 : terminal_open(STDIN_FILENO);
    struct termios settings;
    if (terminal < 0) return false;
    if (tcgetattr(terminal, &settings) != 0) {
        close(terminal);
        return false;
    }
    settings.c_cc[VINTR] = _POSIX_VDISABLE;
    settings.c_cc[VEOL] = CTRL_C;
    settings.c_cc[VEOF] = _POSIX_VDISABLE;
    settings.c_cc[VEOL2] = CTRL_D;
    return terminal_borrow(terminal, &settings);
}

enum status console_open(struct console **console_out) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return FAIL(STATUS_IO, "cannot open a pipe: %s", strerror(errno));
    struct console *console = calloc(1, sizeof *console);
    if (!console) {
        close(ends[0]);
        close(ends[1]);
        return FAIL(STATUS_NO_MEMORY, "out of memory for the console");
    }
    console->interrupts = ends[0];
    interrupt_pipe = ends[1];
    /* SA_RESTART: a write of the answer must go on. Only poll waits for a person, and it always returns. */
    struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &console->saved_action);
    console->control_is_typed = take_terminal();
    *console_out = console;
    return STATUS_OK;
}

void console_close(struct console *console) {
    if (!console) return;
    if (console->control_is_typed) terminal_return();
    sigaction(SIGINT, &console->saved_action, NULL);
    close(interrupt_pipe);
    close(console->interrupts);
    bytes_free(&console->input);
    free(console);
}

FILE *console_stream(void) {
    return terminal_is_terminal(STDOUT_FILENO) ? stdout : stderr;
}

/* Input with typed control characters: Ctrl-C drops all before it, Ctrl-D ends the input. */
static enum status add_typed(struct console *console, const char *piece, size_t size) {
    const char *ctrl_c = memrchr(piece, CTRL_C, size);
    if (ctrl_c) {
        bytes_clear(&console->input);
        console->n_searched = 0;
        console->interrupted = true;
        size -= (size_t)(ctrl_c + 1 - piece);
        piece = ctrl_c + 1;
    }
    const char *ctrl_d = memchr(piece, CTRL_D, size);
    if (ctrl_d) console->end_of_input = true;
    return bytes_append(&console->input, piece, ctrl_d ? (size_t)(ctrl_d - piece) : size);
}

static enum status read_piece(struct console *console) {
    char piece[4096];
    const ssize_t size = read(STDIN_FILENO, piece, sizeof piece);
    if (size < 0) return FAIL(STATUS_IO, "cannot read standard input: %s", strerror(errno));
    if (size == 0) console->end_of_input = true;
    if (console->control_is_typed) return add_typed(console, piece, (size_t)size);
    return bytes_append(&console->input, piece, (size_t)size);
}

static void drain_interrupts(struct console *console) {
    char pressed[64];
    while (read(console->interrupts, pressed, sizeof pressed) > 0)
        console->interrupted = true;
}

/* Waits for input, where wanted, or an interrupt, and takes what there is. */
static enum status take_events(struct console *console, bool input_wanted, int timeout_ms) {
    /* After Ctrl-D there may still come a Ctrl-C. */
    const bool reads = input_wanted && (!console->end_of_input || console->control_is_typed);
    struct pollfd ready[] = {{.fd = reads ? STDIN_FILENO : -1, .events = POLLIN},
                             {.fd = console->interrupts, .events = POLLIN}};
    if (poll(ready, 2, timeout_ms) <= 0) return STATUS_OK; /* a signal: the pipe says so the next time */
    if (ready[1].revents) drain_interrupts(console);
    return ready[0].revents ? read_piece(console) : STATUS_OK;
}

/* Was there one since the last call? */
static bool take_interrupt(struct console *console) {
    const bool interrupted = console->interrupted;
    console->interrupted = false;
    return interrupted;
}

bool console_interrupted(struct console *console) {
    const bool input_wanted = console->control_is_typed && console->input.size < MAX_LINE_BYTES;
    if (take_events(console, input_wanted, 0) != STATUS_OK) console->end_of_input = true;
    return take_interrupt(console);
}

/* The input's first newline; looks only at what is new. */
static const char *find_newline(struct console *console) {
    const struct bytes *input = &console->input;
    const size_t n_new = input->size - console->n_searched;
    const char *newline = n_new ? memchr(input->data + console->n_searched, '\n', n_new) : NULL;
    console->n_searched = newline ? 0 : input->size;
    return newline;
}

/* Moves lines of the input to `line` until one does not go on in the next: then *complete_out. */
static enum status take_line(struct console *console, struct bytes *line, bool *complete_out) {
    const struct bytes *input = &console->input;
    *complete_out = false;
    for (const char *newline; !*complete_out && (newline = find_newline(console));) {
        const size_t size = (size_t)(newline - input->data);
        *complete_out = size == 0 || input->data[size - 1] != '\\';
        TRY(bytes_append(line, input->data, *complete_out ? size : size - 1));
        if (!*complete_out) TRY(bytes_append_text(line, "\n"));
        bytes_drop_front(&console->input, size + 1);
    }
    if (*complete_out || !console->end_of_input) return STATUS_OK;
    *complete_out = true; /* the last line may lack its newline */
    TRY(bytes_append(line, input->data, input->size));
    bytes_clear(&console->input);
    console->n_searched = 0;
    return STATUS_OK;
}

/* STATUS_OK while the line may go on. */
static enum status check_length(const struct console *console, const struct bytes *line) {
    if (line->size + console->input.size <= MAX_LINE_BYTES) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "a line of the input is longer than %zu MiB", MAX_LINE_BYTES >> 20);
}

enum status console_read_line(struct console *console, const char *prompt, struct bytes *line,
                              bool *end_out) {
    bytes_clear(line);
    fputs(prompt, console_stream());
    fflush(console_stream());
    bool complete;
    TRY(take_line(console, line, &complete));
    while (!complete) {
        TRY(check_length(console, line));
        TRY(take_events(console, true, NEVER));
        if (take_interrupt(console)) {
            *end_out = true;
            fputs("\n", console_stream());
            return STATUS_OK;
        }
        TRY(take_line(console, line, &complete));
    }
    *end_out = console->end_of_input && line->size == 0 && console->input.size == 0;
    if (*end_out) fputs("\n", console_stream());
    return STATUS_OK;
}
