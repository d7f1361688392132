#include "coordinator/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/timer.h"
#include "coordinator/supervised_output.h"

enum { STATUS_USAGE = 2, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

/* An attempt that ran so long was none in a row of failures. */
static const double long_run_seconds = 300, longest_backoff_seconds = 60;

/* For what the command left to end after SIGTERM. */
static const double orphan_seconds = 3;

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { N_PASSED_ON = sizeof passed_on / sizeof *passed_on };

struct supervisor {
    const struct supervisor_options *options;
    sigset_t before; /* the signal mask that the command gets */
    int signals;     /* a signalfd */
    struct supervised_output *output;
    pid_t child;
    bool ended; /* the child has, with … */
    int status; /* … this, as waitpid has it */
    bool told;  /* to end: nothing is run again */
};

enum { CHILDREN_MAX = 1024 };

struct children {
    pid_t pids[CHILDREN_MAX];
    int n;
};

/* ---- signals and children ---- */

static enum status take_signals(struct supervisor *supervisor) {
    sigset_t taken;
    signal(SIGCHLD, SIG_DFL); /* where it was ignored, nobody who has ended could be waited for */
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    for (int i = 0; i < N_PASSED_ON; i++)
        sigaddset(&taken, passed_on[i]);
    sigprocmask(SIG_BLOCK, &taken, &supervisor->before);
    supervisor->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signals >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot supervise: %s", strerror(errno));
}

static void give_signals_back(const struct supervisor *supervisor) {
    if (supervisor->signals >= 0) close(supervisor->signals);
    sigprocmask(SIG_SETMASK, &supervisor->before, NULL);
}

/* Everybody who has ended; the rest of the family is waited for so that no zombies stay. */
static void reap(struct supervisor *supervisor) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == supervisor->child) {
            supervisor->ended = true;
            supervisor->status = status;
        }
}

/* A terminal's Ctrl-C reaches the command by itself; mpirun takes a second one as an order to drop all. */
static void take_signal(struct supervisor *supervisor, const struct signalfd_siginfo *info) {
    if (info->ssi_signo == SIGCHLD) return;
    supervisor->told = true;
    if (info->ssi_code != SI_KERNEL && supervisor->child > 0 && !supervisor->ended)
        kill(supervisor->child, (int)info->ssi_signo);
}

/* Until a signal or output comes, or so many seconds have passed. */
static void wait_for_event(struct supervisor *supervisor, double seconds) {
    struct pollfd polled[1 + SUPERVISED_OUTPUT_POLLS] = {{.fd = supervisor->signals, .events = POLLIN}};
    struct signalfd_siginfo info;
    supervised_output_prepare(supervisor->output, polled + 1);
    if (poll(polled, sizeof polled / sizeof *polled, seconds < 0 ? -1 : (int)ceil(seconds * 1000)) > 0)
        supervised_output_advance(supervisor->output, polled + 1);
    while (read(supervisor->signals, &info, sizeof info) == sizeof info)
        take_signal(supervisor, &info);
    reap(supervisor);
}

/* What the command has left behind is among them. A list that does not fit whole goes on next time; a number
 * that it cuts short would be somebody else's. Returns whether there are any. */
static bool list_children(struct children *children) {
    char path[64], text[4096];
    children->n = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false; /* a kernel without that list: the command's own manners must do */
    const ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return false;
    text[size] = '\0';
    char *const last = strrchr(text, ' '); /* one follows every number */
    if (last) *last = '\0';
    for (char *at = text, *end; last && *at && children->n < CHILDREN_MAX; at = end) {
        const long pid = strtol(at, &end, 10);
        if (end == at) break;
        children->pids[children->n++] = (pid_t)pid;
    }
    return children->n > 0;
}

static bool is_among(const struct children *children, pid_t pid) {
    for (int i = 0; i < children->n; i++)
        if (children->pids[i] == pid) return true;
    return false;
}

/* SIGTERM once for each, as mpirun takes a second one as an order to drop all. */
static void end_children(const struct children *children, const struct children *told, bool by_force) {
    for (int i = 0; i < children->n; i++) {
        const pid_t pid = children->pids[i];
        if (!by_force && is_among(told, pid)) continue;
        kill(pid, SIGCONT); /* one that is stopped, too */
        kill(pid, by_force ? SIGKILL : SIGTERM);
    }
}

static void end_orphans(struct supervisor *supervisor) {
    const double begin = timer_seconds();
    struct children told = {0}, children;
    for (bool said = false; list_children(&children); told = children) {
        const double seconds = timer_seconds() - begin;
        end_children(&children, &told, seconds > orphan_seconds);
        if (seconds > 2 * orphan_seconds && !said) {
            said = true;
            fprintf(stderr, "caucus: waiting for process %d, which cannot be ended\n", (int)children.pids[0]);
        }
        wait_for_event(supervisor, 0.05);
    }
}

/* ---- the command ---- */

/* mpirun notices a host that is out of reach within seconds, not hours, unless the user says otherwise. Open
 * MPI 4.1 reads the first three, 5 the others. */
static void shorten_keepalive(void) {
    setenv("OMPI_MCA_oob_tcp_keepalive_time", "5", 0);
    setenv("OMPI_MCA_oob_tcp_keepalive_intvl", "2", 0);
    setenv("OMPI_MCA_oob_tcp_keepalive_probes", "3", 0);
    setenv("PRTE_MCA_oob_tcp_keepalive_time", "5", 0);
    setenv("PRTE_MCA_oob_tcp_keepalive_intvl", "2", 0);
    setenv("PRTE_MCA_oob_tcp_keepalive_probes", "3", 0);
}

static _Noreturn void become_command(const struct supervisor *supervisor, pid_t parent, int output) {
    char *const *command = supervisor->options->command;
    if (output >= 0) dup2(output, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(128 + SIGTERM);
    sigprocmask(SIG_SETMASK, &supervisor->before, NULL);
    signal(SIGPIPE, SIG_DFL);
    shorten_keepalive();
    execvp(command[0], command);
    const int error = errno;
    fprintf(stderr, "caucus: cannot run %s: %s\n", command[0], strerror(error));
    _exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

static enum status start(struct supervisor *supervisor) {
    const pid_t self = getpid();
    int output;
    TRY(supervised_output_begin(supervisor->output, &output));
    supervisor->ended = false;
    fflush(NULL);
    supervisor->child = fork();
    const int error = errno;
    if (supervisor->child == 0) become_command(supervisor, self, output);
    if (output >= 0) close(output);
    if (supervisor->child > 0) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot start another process: %s", strerror(error));
}

/* The rest of what was printed; who has told us to end does not wait for long. */
static void finish_output(struct supervisor *supervisor) {
    const double begin = timer_seconds();
    while (!supervised_output_is_done(supervisor->output) &&
           (!supervisor->told || timer_seconds() - begin < orphan_seconds))
        wait_for_event(supervisor, supervisor->told ? 0.05 : -1);
}

/* Runs the command once; the result is in `status`. */
static enum status attempt(struct supervisor *supervisor) {
    TRY(start(supervisor));
    while (!supervisor->ended)
        wait_for_event(supervisor, -1);
    end_orphans(supervisor);
    finish_output(supervisor);
    return supervised_output_check(supervisor->output);
}

static int exit_status(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What the user, not another attempt, can mend: caucus itself ends with 2 for input, files and full disks. */
static bool is_final(const struct supervisor *supervisor) {
    const int status = exit_status(supervisor->status);
    return supervisor->told || status == 0 || status == STATUS_USAGE || status == STATUS_CANNOT_RUN ||
           status == STATUS_NOT_FOUND;
}

static void describe(const struct supervisor *supervisor, char *text, size_t room) {
    const int status = supervisor->status;
    const char *name = supervisor->options->command[0];
    if (WIFSIGNALED(status))
        snprintf(text, room, "%s was ended by signal %d (%s)", name, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, room, "%s ended with status %d", name, WEXITSTATUS(status));
}

static void pause_before(struct supervisor *supervisor, double seconds) {
    const double end = timer_seconds() + seconds;
    for (double left; !supervisor->told && (left = end - timer_seconds()) > 0;)
        wait_for_event(supervisor, left);
}

static enum status run_all(struct supervisor *supervisor) {
    const struct supervisor_options *options = supervisor->options;
    for (int32_t n_restarts = 0;;) {
        char what[256];
        const double begin = timer_seconds();
        TRY(attempt(supervisor));
        if (is_final(supervisor)) return STATUS_OK;
        describe(supervisor, what, sizeof what);
        if (timer_seconds() - begin > long_run_seconds) n_restarts = 0;
        if (n_restarts == options->max_restarts) {
            fprintf(stderr, "caucus: %s; given up after %d restarts\n", what, (int)n_restarts);
            return STATUS_OK;
        }
        double delay = ldexp(options->backoff_seconds, n_restarts < 30 ? n_restarts : 30);
        if (delay > longest_backoff_seconds) delay = longest_backoff_seconds;
        n_restarts++;
        fprintf(stderr, "caucus: %s; restart %d of %d in %g s\n", what, (int)n_restarts,
                (int)options->max_restarts, delay);
        pause_before(supervisor, delay);
        if (supervisor->told) return STATUS_OK;
    }
}

enum status supervisor_run(const struct supervisor_options *options, int *exit_status_out) {
    struct supervisor supervisor = {.options = options, .signals = -1};
    enum status status = take_signals(&supervisor);
    if (status == STATUS_OK) status = supervised_output_create(&supervisor.output);
    if (status == STATUS_OK) status = run_all(&supervisor);
    supervised_output_destroy(supervisor.output);
    give_signals_back(&supervisor);
    *exit_status_out = exit_status(supervisor.status);
    return status;
}
