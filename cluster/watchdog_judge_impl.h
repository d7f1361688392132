/* cluster/watchdog_judge_impl.h - from what is known of all ranks to who is missing, and who says so.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local: every watchdog judges for itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/watchdog.h"

enum { WATCHDOG_HOST_MAX = 64 };

/* What a watchdog knows of a rank, its own included. */
struct watched {
    char host[WATCHDOG_HOST_MAX];
    uint64_t place;        /* as in heartbeat.h */
    double silent_seconds; /* since its watchdog was last heard of */
    double still_seconds;  /* since it last made progress */
    bool heard;            /* ever: silence means nothing where messages never came through */
    bool ended;            /* its process is known to be gone */
    bool excused;          /* the others go on without it: nothing of it is a fault */
};

enum fault {
    FAULT_NONE,
    FAULT_ENDED,  /* a process is gone */
    FAULT_SILENT, /* stopped, or out of reach */
    FAULT_STILL,  /* works on something, but makes no progress */
    FAULT_ALL,    /* every rank waits for another */
};

struct verdict {
    enum fault fault;
    int rank;       /* who is missing; of FAULT_ALL who is furthest behind */
    double seconds; /* since when */
};

/* `ranks` [n_ranks]; what lasts longer than `timeout` seconds is a fault. */
struct verdict watchdog_judge(const struct watched *ranks, int n_ranks, double timeout);

/* The lowest rank that can be expected to speak. */
int watchdog_speaker(const struct watched *ranks, int n_ranks, double timeout);

/* To how many ranks one beats in a round, taking turns, so that each is heard eight times in the `rounds`
 * that make silence, and no job, however large, sends much more than that. */
int watchdog_turn(int n_ranks, double rounds);

/* What `self` says of it, without "caucus: " and newline. */
void watchdog_sentence(const struct watched *ranks, struct verdict verdict, int self,
                       char sentence_out[WATCHDOG_SENTENCE_MAX]);
