/* cluster/leaders_impl.h - one rank of each host, and messages between them.
 *
 * Memory:  create allocates the object and what its exchanges work in; destroy frees both.
 * Threads: main thread only.
 * Ranks:   those that lead a host; messages are local, but for the wait for their partners. */
#pragma once

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cluster/element_impl.h"
#include "cluster/hosts_impl.h"

/* Messages under way. Each may be tested for or waited for only together with the others. */
struct messages {
    const struct comm *comm;
    MPI_Comm leaders;
    int n, capacity;
    int n_arrived;         /* the first so many were seen to be there, but not yet all */
    MPI_Request *requests; /* [capacity] */
    MPI_Status *statuses;  /* likewise, once they have arrived */
};

struct leaders {
    const struct comm *comm;
    MPI_Comm mpi;
    int n, own; /* hosts; this one */
    struct messages messages;
    void **parts;          /* [n] scratch */
    unsigned char *memory; /* [LEADERS_MEMORY] scratch of an exchange, which sees to it how much it takes */
};

/* Room for a message of this piece and one like it, with every host where hosts are few. */
enum { LEADERS_PIECE = 2 << 20, LEADERS_MEMORY = 9 << 20 };

/* Local; memory alone can be lacking. */
NODISCARD enum status leaders_create(const struct comm *comm, const struct hosts *hosts,
                                     struct leaders **leaders_out);
void leaders_destroy(struct leaders *leaders); /* NULL is allowed */

/* What leaders send to each other is told apart by these. Each sum that is begun early has two of its own,
 * from TAG_BEGUN on: it meets others that are under way. */
enum leaders_tag { TAG_EXCHANGE, TAG_SCATTER, TAG_COLLECT, TAG_BEGUN };

NODISCARD enum status messages_create(const struct leaders *leaders, int capacity,
                                      struct messages *messages_out);
void messages_free(struct messages *messages);

/* After the loss of a rank: nothing is under way any more, and the memory of messages may be given back. */
void messages_abandon(struct messages *messages);

/* A message may be up to `room` bytes; returns its number. */
int messages_receive(struct messages *messages, int host, int tag, void *buffer, size_t room);
void messages_send(struct messages *messages, int host, int tag, const void *buffer, size_t bytes);

/* All there? Then there are none any more: the next has number 0. */
bool messages_arrived(struct messages *messages);
void messages_wait(struct messages *messages);

/* Bytes of a message that was received, until the next is begun. */
size_t messages_bytes(const struct messages *messages, int number);
