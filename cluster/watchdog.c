#include "cluster/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/terminal.h"
#include "base/timer.h"
#include "cluster/leftovers.h"
#include "cluster/survivors_impl.h"
#include "cluster/watchdog_impl.h"

/* How often a watchdog beats and looks: often enough that a place is fresh, seldom enough to cost nothing. */
static const double beats_per_timeout = 40, shortest_period = 0.02, longest_period = 0.2;

/* Between SIGTERM and SIGKILL mpirun leaves a second at most. All ranks beat fast then, and the one that is
 * silent is the one for which the others are ended. In jobs so large that ranks take turns nobody is named:
 * who was not sent the signal beats as slowly as before, and is not to be accused of it. */
static const double silence_after_term = 0.45, patience_after_term = 0.7;

/* For the rank whose turn it is to speak; then the next one does. */
static const double speaker_seconds = 1.5;

/* Who is ended because he may be lost has so long to be gone. */
static const double mercy_seconds = 1.5;

/* mpirun drops what a rank has written when it sees all ranks end before it has read that. */
static const struct timespec linger = {.tv_nsec = 200000000};

/* For whoever reads what the rank writes. */
static const int reader_ms = 300;

/* ---- the end ---- */

static void take_leave(struct watchdog *watchdog) {
    leftovers_remove();
    atomic_store(&watchdog_own_heartbeat(watchdog)->ending, 1);
    for (int i = 0; i < 3; i++) /* a datagram may get lost */
        watchdog_send_beats(watchdog, watchdog->peers.comm->size);
}

/* Where nobody reads, a write would keep the rank here. A pipe that can be written to takes PIPE_BUF bytes at
 * once: more than a sentence, and all that stdio holds back for a pipe. */
static bool is_read(int file) {
    struct pollfd polled = {.fd = file, .events = POLLOUT};
    return poll(&polled, 1, reader_ms) == 1 && polled.revents & POLLOUT;
}

/* No MPI call is allowed here, no lock that the main thread may hold, and no wait but a short one
 * for a reader. mpirun ends what is left
 * of the job when a rank leaves without MPI_Finalize and with a status that is not 0. */
static _Noreturn void leave(struct watchdog *watchdog) {
    take_leave(watchdog);
    terminal_return();
    if (is_read(STDOUT_FILENO) && ftrylockfile(stdout) == 0) fflush_unlocked(stdout);
    _exit(WATCHDOG_EXIT_STATUS);
}

/* One write, so that it stays one line whatever others write. */
static void say(const char *sentence) {
    char line[WATCHDOG_SENTENCE_MAX + 16];
    const int size = snprintf(line, sizeof line, "caucus: %s\n", sentence);
    if (is_read(STDERR_FILENO)) (void)!write(STDERR_FILENO, line, (size_t)size);
}

/* Nobody is missing: SIGTERM came from outside, and does what it always does. */
static _Noreturn void end_by_signal(struct watchdog *watchdog) {
    sigset_t term;
    take_leave(watchdog);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    /* Where ranks may be lost, mpirun does not count those that end by a signal. */
    if (!survivors_allowed(watchdog->peers.comm)) raise(SIGTERM);
    _exit(128 + SIGTERM);
}

static bool somebody_is_ending(const struct watchdog *watchdog) {
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++)
        if (rank != watchdog->peers.comm->rank && watchdog->peers.peers[rank].ending) return true;
    return false;
}

/* Seconds until a rank that has not heard of SIGTERM has beaten to everybody. */
static double round_seconds(const struct watchdog *watchdog) {
    const int size = watchdog->peers.comm->size;
    const int turn = watchdog_turn(size, watchdog->timeout / watchdog->period);
    return (size + turn - 1) / turn * watchdog->period;
}

static double patience(const struct watchdog *watchdog) {
    if (watchdog->term_at == 0) return watchdog->timeout;
    const double twice = 2 * round_seconds(watchdog);
    const double silence = twice > silence_after_term ? twice : silence_after_term;
    return silence < watchdog->timeout ? silence : watchdog->timeout;
}

static void act(struct watchdog *watchdog, struct verdict verdict, double now) {
    const struct watchdog_peers *peers = &watchdog->peers;
    const int self = peers->comm->rank;
    if (watchdog->fault_at == 0) watchdog->fault_at = now;
    const bool my_turn = watchdog_speaker(peers->watched, peers->comm->size, patience(watchdog)) == self;
    if (!my_turn && now - watchdog->fault_at < speaker_seconds) return;
    char sentence[WATCHDOG_SENTENCE_MAX];
    watchdog_sentence(peers->watched, verdict, self, sentence);
    say(sentence);
    take_leave(watchdog); /* before mpirun ends this one: nobody has to say it again */
    nanosleep(&linger, NULL);
    leave(watchdog);
}

/* The others have been told, or end for a reason of their own: mpirun will end this rank, too. */
static void follow(struct watchdog *watchdog, double now) {
    if (watchdog->term_at > 0) end_by_signal(watchdog);
    if (watchdog->fault_at == 0) watchdog->fault_at = now;
    if (now - watchdog->fault_at > speaker_seconds) leave(watchdog);
}

/* Is it being ended, or has it ended? */
static bool is_missing(const struct watchdog *watchdog, int rank, double now) {
    const double doomed_at = watchdog->peers.peers[rank].doomed_at;
    return watchdog->peers.watched[rank].ended || (doomed_at > 0 && now - doomed_at < mercy_seconds);
}

/* May the others go on without those that are missing, and so many more? MPI tells the main threads of a rank
 * that has ended, and they close this watchdog. */
static bool may_lose_missing(const struct watchdog *watchdog, int n_more, double now) {
    const struct watchdog_peers *peers = &watchdog->peers;
    int n_missing = n_more;
    for (int rank = 0; rank < peers->comm->size; rank++)
        n_missing += is_missing(watchdog, rank, now);
    return !peers->watched[0].ended && survivors_may_lose(peers->comm->survivors, n_missing);
}

/* Who waited for one of them has to be given time to learn of it. */
static void excuse_missing(struct watchdog *watchdog, double now) {
    const struct watchdog_peers *peers = &watchdog->peers;
    const bool may_lose = may_lose_missing(watchdog, 0, now);
    bool more = false;
    for (int rank = 1; rank < peers->comm->size; rank++) {
        const bool excused = may_lose && is_missing(watchdog, rank, now);
        more |= excused && !peers->watched[rank].excused;
        peers->watched[rank].excused = excused;
    }
    for (int rank = 0; more && rank < peers->comm->size; rank++) {
        peers->peers[rank].progress_at = now;
        peers->watched[rank].still_seconds = 0;
    }
}

/* Ends a rank that may be lost and gives no sign or gets no further: one of its host does, or it does so
 * itself. False: that is not allowed, or was in vain. */
static bool end_faulty(struct watchdog *watchdog, struct verdict verdict, double now) {
    const struct watchdog_peers *peers = &watchdog->peers;
    struct watchdog_peer *peer = &peers->peers[verdict.rank];
    if (verdict.fault != FAULT_SILENT && verdict.fault != FAULT_STILL) return false;
    if (verdict.rank == 0 || peer->doomed_at > 0 || !may_lose_missing(watchdog, 1, now)) return false;
    peer->doomed_at = now;
    if (verdict.fault == FAULT_STILL && verdict.rank == peers->comm->rank) {
        char sentence[WATCHDOG_SENTENCE_MAX];
        watchdog_sentence(peers->watched, verdict, verdict.rank, sentence);
        say(sentence);
        raise(SIGKILL);
    }
    if (verdict.fault == FAULT_SILENT && peer->process >= 0)
        pidfd_send_signal(peer->process, SIGKILL, NULL, 0);
    return true;
}

static void judge(struct watchdog *watchdog, double now) {
    const struct watchdog_peers *peers = &watchdog->peers;
    excuse_missing(watchdog, now);
    const struct verdict verdict = watchdog_judge(peers->watched, peers->comm->size, patience(watchdog));
    if (end_faulty(watchdog, verdict, now)) return;
    const bool missing = verdict.fault == FAULT_ENDED || verdict.fault == FAULT_SILENT;
    const bool terminated = watchdog->term_at > 0;
    if (somebody_is_ending(watchdog)) {
        follow(watchdog, now);
    } else if (missing || (!terminated && verdict.fault != FAULT_NONE)) {
        act(watchdog, verdict, now);
    } else {
        watchdog->fault_at = 0;
        if (terminated && now - watchdog->term_at > patience_after_term) end_by_signal(watchdog);
    }
}

/* Said once, after the timeout: faults of these ranks will show in MPI alone. */
static void warn_of_unheard(struct watchdog *watchdog, double now, double began) {
    if (watchdog->warned || watchdog->peers.socket < 0 || now - began < watchdog->timeout) return;
    watchdog->warned = true;
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++) {
        if (watchdog->peers.watched[rank].heard) continue;
        log_warn(
            "no heartbeat of rank %d (host %s) comes through: is UDP blocked? Its faults will be noticed late",
            rank, watchdog->peers.watched[rank].host);
        return;
    }
}

/* ---- the thread ---- */

/* Or until a process of this host ends: Open MPI ends the others soon after, and then nobody would have said
 * why. */
static void sleep_until_next(struct watchdog *watchdog) {
    const struct watchdog_peers *peers = &watchdog->peers;
    const double period = watchdog->term_at > 0 ? shortest_period : watchdog->period;
    nfds_t n = 0;
    uint64_t count;
    watchdog->polled[n++] = (struct pollfd){.fd = watchdog->wake, .events = POLLIN};
    watchdog->polled[n++] = (struct pollfd){.fd = watchdog->terminated, .events = POLLIN};
    for (int rank = 0; rank < peers->comm->size; rank++)
        if (peers->peers[rank].process >= 0)
            watchdog->polled[n++] = (struct pollfd){.fd = peers->peers[rank].process, .events = POLLIN};
    (void)!poll(watchdog->polled, n, (int)(period * 1000));
    (void)!read(watchdog->wake, &count, sizeof count);
}

static void *run(void *argument) {
    struct watchdog *watchdog = argument;
    const double began = timer_seconds();
    watchdog->looked_at = began;
    watchdog_forgive(watchdog, began);
    while (!atomic_load(&watchdog->stop)) {
        const double now = timer_seconds();
        struct signalfd_siginfo signal;
        if (read(watchdog->terminated, &signal, sizeof signal) > 0 && watchdog->term_at == 0) {
            watchdog->term_at = now;
            leftovers_remove(); /* first: Open MPI 5's mpirun leaves no more than a quarter of a second */
            terminal_return();
            watchdog_hurry(watchdog, silence_after_term / shortest_period, now);
        }
        watchdog_look_around(watchdog, now);
        judge(watchdog, now);
        warn_of_unheard(watchdog, now, began);
        sleep_until_next(watchdog);
    }
    return NULL;
}

static void wake_up(struct watchdog *watchdog) {
    const uint64_t once = 1;
    (void)!write(watchdog->wake, &once, sizeof once);
}

void watchdog_farewell(struct watchdog *watchdog) {
    if (!watchdog || atomic_load(&watchdog->stop)) return; /* or while it is closed */
    struct heartbeat *own = watchdog_own_heartbeat(watchdog);
    const uint64_t beats = atomic_load(&own->beats);
    atomic_store(&own->ending, 1);
    wake_up(watchdog);
    for (int tries = 0; tries < 100 && atomic_load(&own->beats) < beats + 2; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- its life ---- */

/* SIGTERM comes to the thread that can wait for it: no other thread may take it. Those of MPI were started
 * with it blocked (comm_open). */
static enum status take_signals(struct watchdog *watchdog) {
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    watchdog->terminated = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    watchdog->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watchdog->terminated < 0 || watchdog->wake < 0)
        return FAIL(STATUS_IO, "cannot watch for signals: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &term, &watchdog->signals);
    return STATUS_OK;
}

static void give_signals_back(struct watchdog *watchdog) {
    if (watchdog->terminated >= 0) close(watchdog->terminated);
    if (watchdog->wake >= 0) close(watchdog->wake);
    pthread_sigmask(SIG_SETMASK, &watchdog->signals, NULL);
}

static enum status start(struct watchdog *watchdog) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&watchdog->thread, NULL, run, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    watchdog->runs = error == 0;
    return error == 0 ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "cannot start the watchdog: %s", strerror(error));
}

static void end_thread(struct watchdog *watchdog) {
    if (!watchdog->runs) return;
    atomic_store(&watchdog->stop, true);
    wake_up(watchdog);
    pthread_join(watchdog->thread, NULL);
}

static double period_of(double timeout) {
    const double period = timeout / beats_per_timeout;
    if (period < shortest_period) return shortest_period;
    return period < longest_period ? period : longest_period;
}

enum status watchdog_open(struct comm *comm, double timeout_seconds, struct watchdog **watchdog_out) {
    CHECK(timeout_seconds >= 1);
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (watchdog) watchdog->polled = calloc((size_t)comm->size + 2, sizeof *watchdog->polled);
    enum status status = comm_agree(comm, watchdog && watchdog->polled
                                              ? STATUS_OK
                                              : FAIL(STATUS_NO_MEMORY, "out of memory for a watchdog"));
    if (status != STATUS_OK) goto free_watchdog;
    watchdog->timeout = timeout_seconds;
    watchdog->period = period_of(timeout_seconds);
    watchdog->rounds = timeout_seconds / watchdog->period;
    watchdog->next_rank = comm->rank; /* not all begin with the same one */
    watchdog->wake = watchdog->terminated = -1;
    pthread_sigmask(SIG_BLOCK, NULL, &watchdog->signals);
    TRY_GOTO(watchdog_peers_create(comm, &watchdog->peers), free_watchdog);
    TRY_GOTO(comm_agree(comm, take_signals(watchdog)), destroy_peers);
    *watchdog_out = watchdog; /* while it runs it can be found, also where a rank is lost in this */
    TRY_GOTO(comm_agree(comm, start(watchdog)), end_thread);
    return STATUS_OK;

end_thread:
    *watchdog_out = NULL;
    end_thread(watchdog);
destroy_peers:
    give_signals_back(watchdog);
    watchdog_peers_destroy(&watchdog->peers);
free_watchdog:
    if (watchdog) free(watchdog->polled);
    free(watchdog);
    return status;
}

void watchdog_halt(struct watchdog *watchdog) {
    if (!watchdog) return;
    end_thread(watchdog);
    give_signals_back(watchdog);
}

void watchdog_describe_end(const struct watchdog *watchdog, int rank,
                           char sentence_out[WATCHDOG_SENTENCE_MAX]) {
    const struct verdict ended = {.fault = FAULT_ENDED, .rank = rank};
    if (watchdog)
        watchdog_sentence(watchdog->peers.watched, ended, rank, sentence_out);
    else
        snprintf(sentence_out, WATCHDOG_SENTENCE_MAX, "rank %d has ended unexpectedly", rank);
}

static void destroy(struct watchdog *watchdog) {
    watchdog_peers_destroy(&watchdog->peers);
    free(watchdog->polled);
    free(watchdog);
}

void watchdog_abandon(struct watchdog *watchdog) {
    if (!watchdog) return;
    watchdog->peers.window = MPI_WIN_NULL; /* it would take all ranks to free it */
    destroy(watchdog);
}

/* No thread may look while another rank takes its own down: hence the barrier. */
void watchdog_close(struct watchdog *watchdog) {
    if (!watchdog) return;
    comm_barrier(watchdog->peers.comm);
    watchdog_halt(watchdog);
    destroy(watchdog);
}
