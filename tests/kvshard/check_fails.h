/* tests/kvshard/check_fails.h - does a call end the process in a failed CHECK? Runs it in a child. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

enum { CHECK_FAILED_EXIT = 70 };

static void leave_child(void) {
    _exit(CHECK_FAILED_EXIT);
}

static inline bool check_fails(void (*call)(void *), void *argument) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        const int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO); /* the message is expected */
        check_install(0, leave_child);
        call(argument);
        _exit(0);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == CHECK_FAILED_EXIT;
}
