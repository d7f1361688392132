#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/watchdog_impl.h"

struct heartbeat *watchdog_own_heartbeat(const struct watchdog *watchdog) {
    return watchdog->peers.peers[watchdog->peers.comm->rank].shared;
}

/* A rank of this host whose end the others cannot see. */
static int lost_here(const struct watchdog *watchdog) {
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++)
        if (watchdog->peers.watched[rank].ended && watchdog->peers.peers[rank].shared) return rank;
    return WATCHDOG_NOBODY;
}

static void send_to(const struct watchdog_peers *peers, int rank, const unsigned char *data) {
    const struct watchdog_peer *peer = &peers->peers[rank];
    for (int i = 0; i < peer->n_addresses; i++)
        (void)!sendto(peers->socket, data, WATCHDOG_MESSAGE_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)(const void *)&peer->addresses[i], sizeof peer->addresses[i]);
}

void watchdog_send_beats(struct watchdog *watchdog, int n_ranks) {
    const struct watchdog_peers *peers = &watchdog->peers;
    const struct heartbeat *own = watchdog_own_heartbeat(watchdog);
    if (peers->socket < 0) return;
    unsigned char data[WATCHDOG_MESSAGE_BYTES];
    const struct watchdog_message message = {
        .rank = peers->comm->rank,
        .sequence = ++watchdog->sequence,
        .place = atomic_load(&own->place),
        .progress = atomic_load(&own->progress),
        .lost = lost_here(watchdog),
        .ending = atomic_load(&own->ending) != 0,
    };
    watchdog_message_write(&peers->job, &message, data);
    for (int i = 0; i < n_ranks; i++) {
        send_to(peers, watchdog->next_rank, data);
        watchdog->next_rank = (watchdog->next_rank + 1) % peers->comm->size;
    }
}

/* Of an end all hear at once. */
static int next_turn(const struct watchdog *watchdog) {
    const int size = watchdog->peers.comm->size;
    const bool ends = atomic_load(&watchdog_own_heartbeat(watchdog)->ending) != 0;
    return ends || lost_here(watchdog) != WATCHDOG_NOBODY ? size : watchdog_turn(size, watchdog->rounds);
}

static void note_progress(struct watchdog_peer *peer, struct watched *watched, uint64_t place,
                          uint64_t progress, double now) {
    watched->place = place;
    watched->heard = true;
    if (peer->progress == progress) return;
    peer->progress = progress;
    peer->progress_at = now;
}

static void take_message(struct watchdog *watchdog, const struct watchdog_message *message,
                         const struct sockaddr_in *from, double now) {
    struct watchdog_peer *peer = &watchdog->peers.peers[message->rank];
    if (peer->shared || message->sequence <= peer->sequence) return;
    peer->sequence = message->sequence;
    peer->addresses[0] = *from;
    peer->n_addresses = 1;
    peer->ending = message->ending;
    peer->beats_at = now;
    note_progress(peer, &watchdog->peers.watched[message->rank], message->place, message->progress, now);
    if (message->lost != WATCHDOG_NOBODY && message->lost != watchdog->peers.comm->rank &&
        !watchdog->peers.peers[message->lost].shared)
        watchdog->peers.watched[message->lost].ended = true;
}

/* No more at a time than all ranks send in one, so that no flood of datagrams keeps the thread here. */
static void receive_beats(struct watchdog *watchdog, double now) {
    for (int n = WATCHDOG_ADDRESSES_MAX * watchdog->peers.comm->size; n > 0; n--) {
        unsigned char data[WATCHDOG_MESSAGE_BYTES + 1];
        struct sockaddr_in from;
        socklen_t from_size = sizeof from;
        struct watchdog_message message;
        const ssize_t size = recvfrom(watchdog->peers.socket, data, sizeof data, MSG_DONTWAIT,
                                      (struct sockaddr *)(void *)&from, &from_size);
        if (size < 0) return;
        if (watchdog_message_read(&watchdog->peers.job, data, (size_t)size, &message))
            take_message(watchdog, &message, &from, now);
    }
}

/* Asked once: what is readable for ever would keep the thread from sleeping. */
static bool process_has_ended(struct watchdog_peer *peer) {
    struct pollfd polled = {.fd = peer->process, .events = POLLIN};
    if (peer->process < 0 || poll(&polled, 1, 0) != 1) return false;
    close(peer->process);
    peer->process = -1;
    return true;
}

static void look_at_host(struct watchdog *watchdog, double now) {
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++) {
        struct watchdog_peer *peer = &watchdog->peers.peers[rank];
        if (!peer->shared) continue;
        const bool ended = process_has_ended(peer); /* before its last words are read */
        const uint64_t beats = atomic_load(&peer->shared->beats);
        if (beats != peer->beats) peer->beats_at = now;
        peer->beats = beats;
        peer->ending = atomic_load(&peer->shared->ending) != 0;
        note_progress(peer, &watchdog->peers.watched[rank], atomic_load(&peer->shared->place),
                      atomic_load(&peer->shared->progress), now);
        watchdog->peers.watched[rank].ended |= ended && !peer->ending;
    }
}

void watchdog_forgive(struct watchdog *watchdog, double now) {
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++)
        watchdog->peers.peers[rank].beats_at = watchdog->peers.peers[rank].progress_at = now;
}

void watchdog_hurry(struct watchdog *watchdog, double rounds, double now) {
    const int size = watchdog->peers.comm->size;
    const bool takes_turns = watchdog_turn(size, watchdog->rounds) < size;
    watchdog->rounds = rounds;
    for (int rank = 0; takes_turns && rank < size; rank++)
        if (!watchdog->peers.peers[rank].shared) watchdog->peers.peers[rank].beats_at = now;
}

void watchdog_look_around(struct watchdog *watchdog, double now) {
    const double away = now - watchdog->looked_at;
    if (away > watchdog->timeout / 2 || away > 20 * watchdog->period) watchdog_forgive(watchdog, now);
    watchdog->looked_at = now;
    atomic_fetch_add(&watchdog_own_heartbeat(watchdog)->beats, 1);
    if (watchdog->peers.socket >= 0) receive_beats(watchdog, now);
    look_at_host(watchdog, now);
    for (int rank = 0; rank < watchdog->peers.comm->size; rank++) {
        watchdog->peers.watched[rank].silent_seconds = now - watchdog->peers.peers[rank].beats_at;
        watchdog->peers.watched[rank].still_seconds = now - watchdog->peers.peers[rank].progress_at;
    }
    watchdog_send_beats(watchdog, next_turn(watchdog));
}
