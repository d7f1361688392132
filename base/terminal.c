#include "base/terminal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/launcher.h"

/* What ends a job from outside (mpirun passes SIGTERM on when another rank dies) or through abort(). */
static const int ending_signals[] = {SIGHUP, SIGTERM, SIGABRT};
enum { N_ENDING_SIGNALS = sizeof ending_signals / sizeof *ending_signals };

/* What is to be put back: the one thing that a signal handler must find by itself. */
static struct {
    volatile sig_atomic_t active;
    int terminal;
    struct termios settings;
    struct sigaction actions[N_ENDING_SIGNALS];
    bool returned_at_exit;
} loan;

/* The path of what the launcher has open there. */
static bool launcher_path(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)getppid(), descriptor);
    const ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size <= 0) return false;
    path[size] = '\0';
    return true;
}

int terminal_open(int descriptor) {
    char path[PATH_MAX];
    if (!launcher_present()) {
        if (!isatty(descriptor) || ttyname_r(descriptor, path, sizeof path) != 0) return -1;
    } else if (!launcher_path(descriptor, path) || strncmp(path, "/dev/", 5) != 0) {
        return -1;
    }
    const int terminal = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal >= 0 && !isatty(terminal)) {
        close(terminal);
        return -1;
    }
    return terminal;
}

bool terminal_is_terminal(int descriptor) {
    const int terminal = terminal_open(descriptor);
    if (terminal >= 0) close(terminal);
    return terminal >= 0;
}

/* A process of mpirun's is in the background of the terminal, where changing settings raises SIGTTOU unless
 * that is blocked. Called from signal handlers too. */
static bool set_settings(int terminal, const struct termios *settings) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const bool set = tcsetattr(terminal, TCSANOW, settings) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return set;
}

/* The signal then does what it would have done. */
static void return_and_end(int signal_number) {
    if (loan.active) set_settings(loan.terminal, &loan.settings);
    for (int i = 0; i < N_ENDING_SIGNALS; i++)
        if (ending_signals[i] == signal_number) sigaction(signal_number, &loan.actions[i], NULL);
    raise(signal_number);
}

static void catch_ending_signals(void) {
    struct sigaction action = {.sa_handler = return_and_end};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_ENDING_SIGNALS; i++) {
        sigaction(ending_signals[i], NULL, &loan.actions[i]);
        if (loan.actions[i].sa_handler != SIG_IGN) sigaction(ending_signals[i], &action, NULL);
    }
}

bool terminal_borrow(int terminal, const struct termios *settings) {
    CHECK(!loan.active);
    if (!loan.returned_at_exit) loan.returned_at_exit = atexit(terminal_return) == 0;
    loan.terminal = terminal;
    if (tcgetattr(terminal, &loan.settings) != 0) {
        close(terminal);
        return false;
    }
    catch_ending_signals();
    loan.active = 1;
    if (set_settings(terminal, settings)) return true;
    terminal_return();
    return false;
}

void terminal_return(void) {
    if (!loan.active) return;
    set_settings(loan.terminal, &loan.settings);
    loan.active = 0;
    for (int i = 0; i < N_ENDING_SIGNALS; i++)
        sigaction(ending_signals[i], &loan.actions[i], NULL);
    close(loan.terminal);
}
