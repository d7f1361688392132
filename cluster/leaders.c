#include "cluster/leaders_impl.h"

#include <limits.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/comm_impl.h"

enum status messages_create(const struct leaders *leaders, int capacity, struct messages *messages_out) {
    struct messages messages = {.comm = leaders->comm, .leaders = leaders->mpi, .capacity = capacity};
    messages.requests = calloc((size_t)capacity, sizeof *messages.requests);
    messages.statuses = calloc((size_t)capacity, sizeof *messages.statuses);
    for (int i = 0; messages.requests && i < capacity; i++)
        messages.requests[i] = MPI_REQUEST_NULL;
    *messages_out = messages;
    if (messages.requests && messages.statuses) return STATUS_OK;
    messages_free(messages_out);
    return FAIL(STATUS_NO_MEMORY, "out of memory for messages between %d hosts", leaders->n);
}

void messages_abandon(struct messages *messages) {
    for (int i = 0; i < messages->capacity; i++)
        if (messages->requests[i] != MPI_REQUEST_NULL) MPI_Wait(&messages->requests[i], MPI_STATUS_IGNORE);
    messages->n = messages->n_arrived = 0;
}

void messages_free(struct messages *messages) {
    free(messages->requests);
    free(messages->statuses);
    *messages = (struct messages){0};
}

enum status leaders_create(const struct comm *comm, const struct hosts *hosts, struct leaders **leaders_out) {
    struct leaders *leaders = calloc(1, sizeof *leaders);
    if (!leaders) return FAIL(STATUS_NO_MEMORY, "out of memory for the leaders of %d hosts", hosts->n);
    leaders->comm = comm;
    leaders->mpi = hosts->leaders;
    leaders->n = hosts->n;
    leaders->own = hosts->own;
    leaders->parts = calloc((size_t)hosts->n, sizeof *leaders->parts);
    leaders->memory = aligned_alloc(64, LEADERS_MEMORY);
    enum status status = messages_create(leaders, 2 * hosts->n, &leaders->messages);
    if (status == STATUS_OK && (!leaders->parts || !leaders->memory))
        status = FAIL(STATUS_NO_MEMORY, "out of memory for sums over %d hosts", hosts->n);
    if (status == STATUS_OK)
        *leaders_out = leaders;
    else
        leaders_destroy(leaders);
    return status;
}

void leaders_destroy(struct leaders *leaders) {
    if (!leaders) return;
    messages_free(&leaders->messages);
    free(leaders->parts);
    free(leaders->memory);
    free(leaders);
}

int messages_receive(struct messages *messages, int host, int tag, void *buffer, size_t room) {
    DCHECK(messages->n < messages->capacity && room <= INT_MAX);
    COMM_MUST(messages->comm, MPI_Irecv(buffer, (int)room, MPI_BYTE, host, tag, messages->leaders,
                                        &messages->requests[messages->n]));
    return messages->n++;
}

void messages_send(struct messages *messages, int host, int tag, const void *buffer, size_t bytes) {
    DCHECK(messages->n < messages->capacity && bytes <= INT_MAX);
    COMM_MUST(messages->comm, MPI_Isend(buffer, (int)bytes, MPI_BYTE, host, tag, messages->leaders,
                                        &messages->requests[messages->n]));
    messages->n++;
}

/* One after the other: SimGrid's MPI_Testall finishes those that are there and forgets how long they were
 * (docs/scaling.md). */
bool messages_arrived(struct messages *messages) {
    for (int there = 0; messages->n_arrived < messages->n; messages->n_arrived++) {
        COMM_MUST(messages->comm, MPI_Test(&messages->requests[messages->n_arrived], &there,
                                           &messages->statuses[messages->n_arrived]));
        if (!there) return false;
    }
    messages->n = messages->n_arrived = 0;
    return true;
}

/* Of several messages MPI says only that one failed; which error it was, its status says. */
static int wait_for_all(const struct messages *messages, int first) {
    int code = MPI_Waitall(messages->n - first, messages->requests + first, messages->statuses + first);
    for (int i = first; code == MPI_ERR_IN_STATUS && i < messages->n; i++)
        if (messages->statuses[i].MPI_ERROR != MPI_SUCCESS &&
            messages->statuses[i].MPI_ERROR != MPI_ERR_PENDING)
            code = messages->statuses[i].MPI_ERROR;
    return code;
}

void messages_wait(struct messages *messages) {
    comm_must(messages->comm, wait_for_all(messages, messages->n_arrived), "MPI_Waitall");
    messages->n = messages->n_arrived = 0;
}

size_t messages_bytes(const struct messages *messages, int number) {
    int bytes;
    COMM_MUST(messages->comm, MPI_Get_count(&messages->statuses[number], MPI_BYTE, &bytes));
    return (size_t)bytes;
}
