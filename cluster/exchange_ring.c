/* The ring: shares go from neighbour to neighbour, each adding its own, until each host has the whole sum of
 * one share; then these go round once more. Every share is added in another order, beginning behind another
 * host. */
#include <limits.h>
#include <string.h>

#include "cluster/exchange_impl.h"

struct ring {
    struct leaders *leaders;
    const struct element *element;
    unsigned char *values;
    size_t n, room;
    unsigned char *sent, *received;
};

/* Share numbers are taken round the ring, too. */
static size_t share_begin(const struct ring *ring, int share) {
    return exchange_share(ring->n, share, ring->leaders->n);
}

static int around(const struct ring *ring, int host) {
    const int n = ring->leaders->n;
    return (host % n + n) % n;
}

/* Sends one share to the next host and gets another from the one before: to `received`, unpacked. */
static void shift(const struct ring *ring, int share_sent, int share_received) {
    struct leaders *leaders = ring->leaders;
    const size_t begin = share_begin(ring, share_sent), end = share_begin(ring, share_sent + 1);
    const int number = messages_receive(&leaders->messages, around(ring, leaders->own - 1), TAG_EXCHANGE,
                                        ring->received, ring->room);
    const size_t bytes =
        ring->element->pack(ring->values + begin * ring->element->bytes, end - begin, ring->sent);
    messages_send(&leaders->messages, around(ring, leaders->own + 1), TAG_EXCHANGE, ring->sent, bytes);
    messages_wait(&leaders->messages);
    ring->element->unpack(ring->received, messages_bytes(&leaders->messages, number),
                          share_begin(ring, share_received + 1) - share_begin(ring, share_received));
}

static void sum(struct leaders *leaders, const struct element *element, void *values, size_t n) {
    const size_t room = element_room(element, n / (size_t)leaders->n + 1);
    const struct ring ring = {leaders, element, values, n, room, leaders->memory, leaders->memory + room};
    for (int step = 0; step < leaders->n - 1; step++) {
        const int share = around(&ring, leaders->own - step - 1);
        shift(&ring, around(&ring, leaders->own - step), share);
        const size_t begin = share_begin(&ring, share), end = share_begin(&ring, share + 1);
        unsigned char *at = ring.values + begin * element->bytes;
        element_combine(element, (const void *[]){at, ring.received}, 2, 0, end - begin, at);
    }
    for (int step = 0; step < leaders->n - 1; step++) {
        const int share = around(&ring, leaders->own - step);
        shift(&ring, around(&ring, leaders->own + 1 - step), share);
        const size_t begin = share_begin(&ring, share), end = share_begin(&ring, share + 1);
        memcpy(ring.values + begin * element->bytes, ring.received, (end - begin) * element->bytes);
    }
}

const struct exchange exchange_ring = {
    .name = "ring", .narrows = true, .most_hosts = INT_MAX, .piece_bytes = LEADERS_PIECE, .sum = sum};
