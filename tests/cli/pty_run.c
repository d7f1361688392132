/* pty_run - what a person at a terminal does, for tests.
 *
 *   pty_run [MARK ACTION]… -- COMMAND…
 *
 * Runs the command on a terminal of its own. Whenever the next MARK has been printed behind the one before,
 * its ACTION is typed; one that begins with '!' is a shell command instead, which finds the process in
 * $CHILD. Prints all that was seen, and last what a shell would be left with: "[exit status N]" or "[signal
 * N]", and whether Ctrl-C interrupts again. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { SEEN_MAX = 1 << 20, LIMIT_SECONDS = 60, POLL_MS = 20, SETTLE_MS = 2000, CTRL_C = 3 };

struct watch {
    int terminal;             /* the master's side */
    pid_t leader, child;      /* of the terminal's session; the command */
    int report;               /* what the leader tells */
    size_t n_seen, n_matched; /* bytes of `seen`; those up to the last mark */
    char seen[SEEN_MAX + 1];
};

static void act(const struct watch *watch, const char *action) {
    if (action[0] != '!') {
        if (write(watch->terminal, action, strlen(action)) < 0) perror("pty_run: write");
        return;
    }
    char child[32];
    snprintf(child, sizeof child, "%d", (int)watch->child);
    setenv("CHILD", child, 1);
    if (system(action + 1) != 0) fprintf(stderr, "pty_run: %s failed\n", action + 1);
}

/* Takes what was printed; false: nothing came for a while. */
static bool see(struct watch *watch) {
    struct pollfd ready = {.fd = watch->terminal, .events = POLLIN};
    if (poll(&ready, 1, POLL_MS) <= 0 || watch->n_seen == SEEN_MAX) return false;
    const ssize_t size = read(watch->terminal, watch->seen + watch->n_seen, SEEN_MAX - watch->n_seen);
    if (size <= 0) return false;
    for (char *c = watch->seen + watch->n_seen; c < watch->seen + watch->n_seen + size; c++)
        if (*c == '\0') *c = '?';
    watch->n_seen += (size_t)size;
    watch->seen[watch->n_seen] = '\0';
    return true;
}

static bool match(struct watch *watch, const char *mark) {
    const char *found = strstr(watch->seen + watch->n_matched, mark);
    if (found) watch->n_matched = (size_t)(found - watch->seen) + strlen(mark);
    return found != NULL;
}

/* The terminal belongs to a session's first process, as to a shell: with its end the settings would be made
 * anew. So it starts the command, tells its id and how it ended, and stays. */
static void lead(int report, char **command) {
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    int status = 0;
    bool told = write(report, &child, sizeof child) == sizeof child;
    told = told && waitpid(child, &status, 0) == child && write(report, &status, sizeof status) > 0;
    while (told)
        pause();
    _exit(1);
}

static bool start(struct watch *watch, char **command) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return false;
    const struct winsize size = {.ws_row = 25, .ws_col = 80};
    watch->leader = forkpty(&watch->terminal, NULL, NULL, &size);
    if (watch->leader == 0) lead(report[1], command);
    close(report[1]);
    watch->report = report[0];
    return watch->leader > 0 && read(report[0], &watch->child, sizeof watch->child) == sizeof watch->child;
}

static bool has_ended(const struct watch *watch, int *status_out) {
    struct pollfd ready = {.fd = watch->report, .events = POLLIN};
    return poll(&ready, 1, 0) > 0 && read(watch->report, status_out, sizeof *status_out) > 0;
}

/* The command's status as of waitpid; it command is killed when the time is over. */
static int follow(struct watch *watch, char **pairs, int n_pairs) {
    const time_t deadline = time(NULL) + LIMIT_SECONDS;
    for (int done = 0, status;;) {
        const bool ended = has_ended(watch, &status);
        while (see(watch) && ended)
            ;
        for (; done < n_pairs && match(watch, pairs[2 * done]); done++)
            act(watch, pairs[2 * done + 1]);
        if (ended) return status;
        if (time(NULL) > deadline) {
            fprintf(stderr, "pty_run: no end in sight%s%s\n", done < n_pairs ? ", nor " : "",
                    done < n_pairs ? pairs[2 * done] : "");
            kill(watch->child, SIGTERM);
            sleep(3);
            kill(watch->child, SIGKILL);
            return SIGKILL;
        }
    }
}

/* A rank may outlive its mpirun by a moment, so the settings have a while to come back. */
static bool ctrl_c_interrupts(int terminal) {
    struct termios settings;
    for (int waited_ms = 0; waited_ms < SETTLE_MS; waited_ms += POLL_MS) {
        if (tcgetattr(terminal, &settings) != 0) return false;
        if (settings.c_cc[VINTR] == CTRL_C) return true;
        poll(NULL, 0, POLL_MS);
    }
    return false;
}

int main(int argc, char **argv) {
    static struct watch watch;
    int command = 1;
    while (command < argc && strcmp(argv[command], "--") != 0)
        command++;
    if (command + 1 >= argc || command % 2 == 0) {
        fprintf(stderr, "usage: pty_run [MARK ACTION]... -- COMMAND...\n");
        return 2;
    }
    if (!start(&watch, argv + command + 1)) {
        perror("pty_run: cannot start");
        return 2;
    }
    const int status = follow(&watch, argv + 1, (command - 1) / 2);
    fwrite(watch.seen, 1, watch.n_seen, stdout);
    if (WIFSIGNALED(status))
        printf("[signal %d]\n", WTERMSIG(status));
    else
        printf("[exit status %d]\n", WEXITSTATUS(status));
    puts(ctrl_c_interrupts(watch.terminal) ? "[Ctrl-C interrupts]" : "[Ctrl-C does nothing]");
    kill(watch.leader, SIGKILL);
    return 0;
}
