#include "base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int prepare(posix_spawn_file_actions_t *actions, const struct subprocess *subprocess, int output) {
    int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    if (!error && subprocess->folder)
        error = posix_spawn_file_actions_addchdir_np(actions, subprocess->folder);
    return error;
}

/* A closed pipe is to end it, even if we pass that over, and so is SIGTERM, which we may have blocked. */
static int restore_signals(posix_spawnattr_t *attributes) {
    sigset_t signals;
    sigemptyset(&signals);
    int error = posix_spawnattr_setsigmask(attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &signals);
    return error ? error
                 : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int start(const struct subprocess *subprocess, int output, pid_t *process_out) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = restore_signals(&attributes);
        if (!error) error = prepare(&actions, subprocess, output);
        if (!error)
            error = posix_spawnp(process_out, subprocess->argv[0], &actions, &attributes, subprocess->argv,
                                 subprocess->environment ? subprocess->environment : environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static enum status read_all(int descriptor, struct bytes *output) {
    char part[4096];
    for (;;) {
        const ssize_t n = read(descriptor, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(STATUS_IO, "cannot read what a program writes: %s", strerror(errno));
        if (n == 0) return STATUS_OK;
        TRY(bytes_append(output, part, (size_t)n));
    }
}

static enum status wait_for(pid_t process, const char *name, int *exit_out) {
    int state = 0;
    while (waitpid(process, &state, 0) < 0)
        if (errno != EINTR) return FAIL(STATUS_IO, "cannot wait for %s: %s", name, strerror(errno));
    *exit_out = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return STATUS_OK;
}

static enum status run_into(const struct subprocess *subprocess, int output, int input, int *exit_out) {
    pid_t process = 0;
    const int error = start(subprocess, output, &process);
    if (output != STDERR_FILENO) close(output); /* so that its end is the pipe's end */
    enum status status = STATUS_OK;
    if (error)
        status = FAIL(error == ENOENT || error == EACCES ? STATUS_BAD_INPUT : STATUS_IO, "cannot run %s: %s",
                      subprocess->argv[0], strerror(error));
    else if (subprocess->output)
        status = read_all(input, subprocess->output);
    if (input >= 0) close(input); /* where reading failed, it must not wait for a reader */
    if (error) return status;
    const enum status waited = wait_for(process, subprocess->argv[0], exit_out);
    return status == STATUS_OK ? waited : status;
}

enum status subprocess_run(const struct subprocess *subprocess, int *exit_out) {
    int ends[2];
    if (!subprocess->output) return run_into(subprocess, STDERR_FILENO, -1, exit_out);
    if (pipe2(ends, O_CLOEXEC) != 0) return FAIL(STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    return run_into(subprocess, ends[1], ends[0], exit_out);
}
