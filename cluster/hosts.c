#include "cluster/hosts_impl.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "cluster/comm_impl.h"
#include "cluster/survivors_impl.h"

static const char variable[] = "CAUCUS_TEST_HOSTS";

/* What MPI keeps in /dev/shm beside what it is asked for. */
enum { SPARE_BYTES = 64 << 10 };

enum status hosts_parse(const char *text, int n_ranks, int *hosts_out) {
    const char *at = text;
    for (int rank = 0; rank < n_ranks; rank++) {
        char *end;
        errno = 0;
        const long host = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : -1;
        if (host < 0 || host > INT_MAX || errno || *end != (rank + 1 < n_ranks ? ',' : '\0'))
            return FAIL(STATUS_BAD_INPUT, "%s=%.40s: %d numbers of hosts with commas between them are wanted",
                        variable, text, n_ranks);
        hosts_out[rank] = (int)host;
        at = end + 1;
    }
    return STATUS_OK;
}

/* This rank's host as the environment says; it speaks of the ranks there were at first. */
static enum status read_variable(const struct comm *comm, int *pretended_out) {
    const char *text = getenv(variable);
    if (!text) return STATUS_OK;
    const int n_ranks = survivors_first_size(comm);
    int *pretended = calloc((size_t)n_ranks, sizeof *pretended);
    if (!pretended) return FAIL(STATUS_NO_MEMORY, "out of memory for %d hosts", n_ranks);
    const enum status status = hosts_parse(text, n_ranks, pretended);
    if (status == STATUS_OK) *pretended_out = pretended[survivors_first_rank(comm)];
    free(pretended);
    return status;
}

/* The ranks that share memory with this one, and of these the ones that are not pretended away. */
static void split(struct comm *comm, int pretended, struct hosts *hosts) {
    MPI_Comm real;
    COMM_MUST(comm, MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &real));
    comm_adopt(comm, real);
    COMM_MUST(comm, MPI_Comm_split(real, pretended, comm->rank, &hosts->ranks));
    comm_release(comm, &real);
    comm_adopt(comm, hosts->ranks);
    COMM_MUST(comm, MPI_Comm_size(hosts->ranks, &hosts->n_ranks));
    COMM_MUST(comm, MPI_Comm_rank(hosts->ranks, &hosts->position));
    COMM_MUST(comm, MPI_Comm_split(comm->world, hosts->position == 0 ? 0 : MPI_UNDEFINED, comm->rank,
                                   &hosts->leaders));
    hosts->overlap = MPI_COMM_NULL;
    if (hosts->position > 0) return;
    comm_adopt(comm, hosts->leaders);
    COMM_MUST(comm, MPI_Comm_dup(hosts->leaders, &hosts->overlap));
    comm_adopt(comm, hosts->overlap);
}

static void number(struct comm *comm, struct hosts *hosts) {
    int told[2]; /* by the leader, who alone is in that communicator */
    if (hosts->position == 0) {
        COMM_MUST(comm, MPI_Comm_size(hosts->leaders, &told[0]));
        COMM_MUST(comm, MPI_Comm_rank(hosts->leaders, &told[1]));
    }
    COMM_MUST(comm, MPI_Bcast(told, 2, MPI_INT, 0, hosts->ranks));
    hosts->n = told[0];
    hosts->own = told[1];
}

enum status hosts_find(struct comm *comm, const int *pretended, struct hosts *hosts_out) {
    int host = pretended ? pretended[comm->rank] : 0;
    if (!pretended) TRY(comm_agree(comm, read_variable(comm, &host)));
    struct hosts hosts = {0};
    split(comm, host, &hosts);
    number(comm, &hosts);
    *hosts_out = hosts;
    return STATUS_OK;
}

void hosts_free(struct comm *comm, struct hosts *hosts) {
    if (hosts->n == 0) return;
    comm_release(comm, &hosts->ranks);
    if (hosts->position == 0) {
        comm_release(comm, &hosts->overlap);
        comm_release(comm, &hosts->leaders);
    }
    *hosts = (struct hosts){0};
}

bool hosts_have_room(const struct comm *comm, MPI_Comm ranks, size_t bytes) {
    struct statvfs shared;
    int has_room = 1; /* where it cannot be looked at, MPI may use something else */
    if (statvfs("/dev/shm", &shared) == 0)
        has_room = (double)shared.f_bavail * (double)shared.f_frsize >= (double)(bytes + SPARE_BYTES);
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &has_room, 1, MPI_INT, MPI_MIN, ranks));
    return has_room;
}
