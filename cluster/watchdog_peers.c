/* How watchdogs get to know each other: the one part of them that uses MPI, before the thread starts and
 * after it has ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "cluster/hosts_impl.h"
#include "cluster/watchdog_impl.h"

/* What a rank tells all others, through MPI. */
struct introduction {
    char host[WATCHDOG_HOST_MAX];
    int32_t first_on_host;                      /* the lowest rank there stands for the host */
    int32_t pid;                                /* means something only … */
    uint64_t pid_namespace;                     /* … to those in the same one */
    uint32_t addresses[WATCHDOG_ADDRESSES_MAX]; /* IPv4, network byte order */
    int32_t n_addresses;
    uint16_t port; /* network byte order; 0: none */
};

/* ---- the own part ---- */

static uint64_t pid_namespace(void) {
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? (uint64_t)info.st_ino : 0;
}

/* Every address that may serve: which one does, the others find out. */
static void list_addresses(struct introduction *own) {
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) return;
    for (const struct ifaddrs *at = list; at && own->n_addresses < WATCHDOG_ADDRESSES_MAX;
         at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET) continue;
        if (!(at->ifa_flags & IFF_UP) || at->ifa_flags & IFF_LOOPBACK) continue;
        struct sockaddr_in address;
        memcpy(&address, at->ifa_addr, sizeof address);
        own->addresses[own->n_addresses++] = address.sin_addr.s_addr;
    }
    freeifaddrs(list);
}

static enum status open_socket(int *socket_out, uint16_t *port_out) {
    const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return FAIL(STATUS_IO, "cannot open a socket for heartbeats: %s", strerror(errno));
    struct sockaddr_in any = {.sin_family = AF_INET}, bound;
    socklen_t size = sizeof bound;
    const struct sockaddr *address = (const struct sockaddr *)(const void *)&any;
    if (bind(descriptor, address, sizeof any) != 0 ||
        getsockname(descriptor, (struct sockaddr *)(void *)&bound, &size) != 0) {
        close(descriptor);
        return FAIL(STATUS_IO, "cannot bind a socket for heartbeats: %s", strerror(errno));
    }
    *socket_out = descriptor;
    *port_out = bound.sin_port;
    return STATUS_OK;
}

static enum status introduce(struct watchdog_peers *peers, struct introduction *own) {
    struct comm *comm = peers->comm;
    int first = comm->rank;
    gethostname(own->host, sizeof own->host - 1);
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, peers->host));
    own->first_on_host = first;
    own->pid = (int32_t)getpid();
    own->pid_namespace = pid_namespace();
    if (comm->ranks_on_this_host == comm->size) return STATUS_OK;
    list_addresses(own);
    return open_socket(&peers->socket, &own->port);
}

/* ---- the others ---- */

/* All memory is in the name of the host's first rank. */
static enum status share_heartbeats(struct watchdog_peers *peers, struct heartbeat **first_out) {
    struct comm *comm = peers->comm;
    int rank, size, unit;
    MPI_Aint bytes;
    void *own;
    COMM_MUST(comm, MPI_Comm_rank(peers->host, &rank));
    COMM_MUST(comm, MPI_Comm_size(peers->host, &size));
    if (!hosts_have_room(comm, peers->host, (size_t)(size + 1) * sizeof(struct heartbeat)))
        return FAIL(STATUS_IO, "no shared memory for heartbeats");
    bytes = rank == 0 ? (MPI_Aint)((size_t)(size + 1) * sizeof(struct heartbeat)) : 0;
    if (MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, peers->host, (void *)&own, &peers->window) !=
        MPI_SUCCESS) {
        peers->window = MPI_WIN_NULL;
        return FAIL(STATUS_IO, "no shared memory for heartbeats; make room in /dev/shm");
    }
    unsigned char *base;
    COMM_MUST(comm, MPI_Win_shared_query(peers->window, 0, &bytes, &unit, (void *)&base));
    base += (0 - (uintptr_t)base) % HEARTBEAT_BYTES; /* the same on all: pages are mapped */
    *first_out = (struct heartbeat *)(void *)base;
    return STATUS_OK;
}

static void add_addresses(const struct introduction *from, struct watchdog_peer *peer) {
    for (int i = 0; i < from->n_addresses && i < WATCHDOG_ADDRESSES_MAX; i++)
        peer->addresses[peer->n_addresses++] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = from->port, .sin_addr = {.s_addr = from->addresses[i]}};
}

static void meet(struct watchdog_peers *peers, const struct introduction *all, struct heartbeat *shared) {
    const struct introduction *own = &all[peers->comm->rank];
    int n_on_host = 0;
    for (int rank = 0; rank < peers->comm->size; rank++) {
        struct watchdog_peer *peer = &peers->peers[rank];
        *peer = (struct watchdog_peer){.process = -1};
        memcpy(peers->watched[rank].host, all[rank].host, WATCHDOG_HOST_MAX - 1);
        if (all[rank].first_on_host != own->first_on_host) {
            add_addresses(&all[rank], peer);
            continue;
        }
        peer->shared = &shared[n_on_host++];
        if (rank != peers->comm->rank && all[rank].pid_namespace == own->pid_namespace)
            peer->process = pidfd_open(all[rank].pid, 0); /* an older kernel has none: silence must do */
    }
}

/* The page may hold anything: each rank begins its own. */
static void move_in(struct watchdog_peers *peers) {
    struct comm *comm = peers->comm;
    struct heartbeat *own = peers->peers[comm->rank].shared;
    atomic_store(&own->place, atomic_load(&comm->heartbeat->place));
    atomic_store(&own->progress, atomic_load(&comm->heartbeat->progress));
    atomic_store(&own->beats, 0);
    atomic_store(&own->ending, 0);
    comm->heartbeat = own;
    COMM_MUST(comm, MPI_Barrier(peers->host));
}

static enum status draw_token(struct watchdog_peers *peers) {
    struct watchdog_job *job = &peers->job;
    enum status status = STATUS_OK;
    job->size = peers->comm->size;
    if (peers->comm->rank == 0 && getrandom(&job->token, sizeof job->token, 0) != sizeof job->token)
        status = FAIL(STATUS_IO, "no random numbers for heartbeats: %s", strerror(errno));
    TRY(comm_agree(peers->comm, status));
    comm_broadcast(peers->comm, &job->token, sizeof job->token);
    return STATUS_OK;
}

static enum status take_memory(struct watchdog_peers *peers, struct introduction **all_out) {
    const size_t n = (size_t)peers->comm->size;
    peers->peers = calloc(n, sizeof *peers->peers);
    peers->watched = calloc(n, sizeof *peers->watched);
    *all_out = calloc(n, sizeof **all_out);
    if (peers->peers && peers->watched && *all_out) return STATUS_OK;
    return FAIL(STATUS_NO_MEMORY, "out of memory for heartbeats");
}

static enum status get_to_know(struct watchdog_peers *peers, struct introduction *all) {
    struct comm *comm = peers->comm;
    struct heartbeat *shared = NULL;
    struct introduction own = {0};
    TRY(comm_agree(comm, introduce(peers, &own)));
    TRY(draw_token(peers));
    COMM_MUST(comm, MPI_Allgather(&own, sizeof own, MPI_BYTE, all, sizeof own, MPI_BYTE, comm->world));
    TRY(comm_agree(comm, share_heartbeats(peers, &shared)));
    meet(peers, all, shared);
    move_in(peers);
    return STATUS_OK;
}

enum status watchdog_peers_create(struct comm *comm, struct watchdog_peers *peers_out) {
    struct watchdog_peers peers = {.comm = comm, .window = MPI_WIN_NULL, .socket = -1};
    struct introduction *all = NULL;
    COMM_MUST(comm,
              MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &peers.host));
    comm_adopt(comm, peers.host);
    enum status status = comm_agree(comm, take_memory(&peers, &all));
    if (status == STATUS_OK) status = get_to_know(&peers, all);
    free(all);
    if (status != STATUS_OK) {
        watchdog_peers_destroy(&peers);
        return status;
    }
    *peers_out = peers;
    return STATUS_OK;
}

static void move_out(struct watchdog_peers *peers) {
    struct comm *comm = peers->comm;
    atomic_store(&comm->own_heartbeat.place, atomic_load(&comm->heartbeat->place));
    comm->heartbeat = &comm->own_heartbeat;
}

void watchdog_peers_destroy(struct watchdog_peers *peers) {
    struct comm *comm = peers->comm;
    if (comm->heartbeat != &comm->own_heartbeat) move_out(peers);
    for (int rank = 0; peers->peers && rank < comm->size; rank++)
        if (peers->peers[rank].process > 0) close(peers->peers[rank].process);
    if (peers->socket >= 0) close(peers->socket);
    if (peers->window != MPI_WIN_NULL) COMM_MUST(comm, MPI_Win_free(&peers->window));
    comm_release(comm, &peers->host);
    free(peers->watched);
    free(peers->peers);
}
