#include "base/terminal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/launcher.h"

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

int terminal_columns(void) {
    struct winsize size = {0};
    const int terminal = terminal_open(STDERR_FILENO);
    if (terminal >= 0) {
        if (ioctl(terminal, TIOCGWINSZ, &size) != 0) size.ws_col = 0;
        close(terminal);
    }
    return size.ws_col > 0 ? size.ws_col : 80;
}
