/* cluster/watchdog_impl.h - the inside of a watchdog.
 *
 * Memory:  see each.
 * Threads: peers are made on the main thread; then they are the watchdog thread's, as are rounds and beats.
 * Ranks:   watchdog_peers_create and _destroy are collective. */
#pragma once

#include <mpi.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/comm_impl.h"
#include "cluster/heartbeat.h"
#include "cluster/watchdog_judge_impl.h"
#include "cluster/watchdog_message_impl.h"

enum { WATCHDOG_ADDRESSES_MAX = 8 };

/* Another rank. */
struct watchdog_peer {
    struct heartbeat *shared; /* on this host; NULL: elsewhere, and then … */
    struct sockaddr_in addresses[WATCHDOG_ADDRESSES_MAX];
    int n_addresses; /* … to be tried; the one that answers first stays */
    int process;     /* a pidfd, readable once the process has ended; -1: none */
    uint64_t sequence;
    uint64_t beats, progress;     /* as last seen … */
    double beats_at, progress_at; /* … and when they changed */
    bool ending;
    double doomed_at; /* when it was ended because it may be lost; 0: it was not */
};

struct watchdog_peers {
    struct comm *comm;
    struct watchdog_job job;
    MPI_Comm host;
    MPI_Win window;              /* of the host's heartbeats */
    struct watchdog_peer *peers; /* [size]; this rank's own is used for its heartbeat alone */
    struct watched *watched;     /* [size] what is known of them, kept up by the thread */
    int socket;                  /* -1: all ranks are on this host */
};

NODISCARD enum status watchdog_peers_create(struct comm *comm, struct watchdog_peers *peers_out);
void watchdog_peers_destroy(struct watchdog_peers *peers);

struct watchdog {
    struct watchdog_peers peers;
    double timeout;
    double period;
    pthread_t thread;
    bool runs;
    sigset_t signals;      /* of the main thread before */
    int wake;              /* an eventfd: look again, or … */
    _Atomic bool stop;     /* … end */
    int terminated;        /* a signalfd: SIGTERM */
    struct pollfd *polled; /* [2 + size] what the thread sleeps on */

    /* The thread's. */
    uint64_t sequence; /* of the messages sent */
    int next_rank;     /* to send one to */
    double rounds;     /* within which a rank must be heard */
    double looked_at;  /* when it last went round */
    double term_at;    /* when SIGTERM came; 0: it has not */
    double fault_at;   /* when a fault was first seen; 0: none */
    bool warned;
};

struct heartbeat *watchdog_own_heartbeat(const struct watchdog *watchdog);

/* One round: beats, hears the others' and brings what is known of them up to date. */
void watchdog_look_around(struct watchdog *watchdog, double now);

/* Who was away himself cannot say how long others were silent. */
void watchdog_forgive(struct watchdog *watchdog, double now);

/* From now on so few rounds make silence: ranks elsewhere that had their time until now begin it anew. */
void watchdog_hurry(struct watchdog *watchdog, double rounds, double now);

/* To the next n ranks, in turn. */
void watchdog_send_beats(struct watchdog *watchdog, int n_ranks);
