/* cluster/watchdog_message_impl.h - what watchdogs of different hosts send each other, in one datagram.
 *
 * Whatever comes in is a stranger's until it is parsed: a message counts only with the job's token, which
 * rank 0 draws at random and which travels through MPI.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCHDOG_MESSAGE_BYTES = 56, WATCHDOG_NOBODY = -1 };

struct watchdog_message {
    int32_t rank;      /* who sends */
    uint64_t sequence; /* 1, 2, 3, … */
    uint64_t place;    /* as in heartbeat.h */
    uint64_t progress;
    int32_t lost; /* a rank of the sender's host whose process has ended; WATCHDOG_NOBODY */
    bool ending;  /* the sender ends on purpose */
};

/* The same on all ranks of a job. */
struct watchdog_job {
    uint64_t token;
    int32_t size;
};

void watchdog_message_write(const struct watchdog_job *job, const struct watchdog_message *message,
                            unsigned char data_out[WATCHDOG_MESSAGE_BYTES]);

/* False: not a message of this job. */
bool watchdog_message_read(const struct watchdog_job *job, const void *data, size_t size,
                           struct watchdog_message *message_out);
