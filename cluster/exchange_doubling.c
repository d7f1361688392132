/* Recursive doubling: partners at distance 1, 2, 4, … swap what they have so far. Where the hosts are no
 * power of two, the first few pair up before, and the second of a pair waits for the result. */
#include <limits.h>
#include <string.h>

#include "cluster/exchange_impl.h"

struct doubling {
    struct leaders *leaders;
    const struct element *element;
    void *values;
    size_t n, room;
    unsigned char *sent, *received;
};

static void send(const struct doubling *doubling, int host) {
    const size_t bytes = doubling->element->pack(doubling->values, doubling->n, doubling->sent);
    messages_send(&doubling->leaders->messages, host, TAG_EXCHANGE, doubling->sent, bytes);
}

static void receive(const struct doubling *doubling, int host) {
    messages_receive(&doubling->leaders->messages, host, TAG_EXCHANGE, doubling->received, doubling->room);
}

/* What was received first, here or by a wait before. */
static void unpack(const struct doubling *doubling) {
    messages_wait(&doubling->leaders->messages);
    doubling->element->unpack(doubling->received, messages_bytes(&doubling->leaders->messages, 0),
                              doubling->n);
}

static void add(const struct doubling *doubling) {
    unpack(doubling);
    element_combine(doubling->element, (const void *[]){doubling->values, doubling->received}, 2, 0,
                    doubling->n, doubling->values);
}

static void take(const struct doubling *doubling) {
    unpack(doubling);
    memcpy(doubling->values, doubling->received, doubling->n * doubling->element->bytes);
}

static void swap_and_add(const struct doubling *doubling, int host) {
    receive(doubling, host);
    send(doubling, host);
    add(doubling);
}

/* Its second half has nothing to do but to hand over and wait. */
static void stand_aside(const struct doubling *doubling, int host) {
    send(doubling, host);
    messages_wait(&doubling->leaders->messages);
    receive(doubling, host);
    take(doubling);
}

static void sum(struct leaders *leaders, const struct element *element, void *values, size_t n) {
    const int power = element_power_of_two(leaders->n), n_pairs = leaders->n - power, own = leaders->own;
    const size_t room = element_room(element, n);
    const struct doubling doubling = {
        leaders, element, values, n, room, leaders->memory, leaders->memory + room};
    const bool paired = own < 2 * n_pairs;
    if (paired && own % 2 == 1) {
        stand_aside(&doubling, own - 1);
        return;
    }
    if (paired) {
        receive(&doubling, own + 1);
        add(&doubling);
    }
    const int place = paired ? own / 2 : own - n_pairs;
    for (int distance = 1; distance < power; distance *= 2) {
        const int partner = place ^ distance;
        swap_and_add(&doubling, partner < n_pairs ? 2 * partner : partner + n_pairs);
    }
    if (paired) {
        send(&doubling, own + 1);
        messages_wait(&leaders->messages);
    }
}

const struct exchange exchange_doubling = {.name = "doubling",
                                           .in_order = true,
                                           .narrows = true,
                                           .most_hosts = INT_MAX,
                                           .piece_bytes = LEADERS_PIECE,
                                           .sum = sum};
