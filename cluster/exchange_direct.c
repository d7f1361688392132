/* Everybody sends everything to everybody, all at once, and adds it up by itself. */
#include <string.h>

#include "cluster/exchange_impl.h"

enum { HOSTS_MAX = 32, PIECE = 256 << 10 };
_Static_assert((HOSTS_MAX + 1) * (PIECE + 64) <= LEADERS_MEMORY, "all parts and what is sent are in memory");

static void sum(struct leaders *leaders, const struct element *element, void *values, size_t n) {
    const size_t room = element_room(element, n);
    struct messages *messages = &leaders->messages;
    unsigned char *sent = leaders->memory + (size_t)leaders->n * room;
    for (int host = 0; host < leaders->n; host++) {
        leaders->parts[host] = leaders->memory + (size_t)host * room;
        if (host != leaders->own) messages_receive(messages, host, TAG_EXCHANGE, leaders->parts[host], room);
    }
    const size_t bytes = element->pack(values, n, sent);
    for (int i = 1; i < leaders->n; i++) /* not all to the same one first */
        messages_send(messages, (leaders->own + i) % leaders->n, TAG_EXCHANGE, sent, bytes);
    messages_wait(messages);

    memcpy(leaders->parts[leaders->own], sent, bytes); /* with what was lost in packing it */
    for (int host = 0, number = 0; host < leaders->n; host++)
        element->unpack(leaders->parts[host],
                        host == leaders->own ? bytes : messages_bytes(messages, number++), n);
    element_add_as_tree(element, leaders->parts, leaders->n, n);
    element->unpack(sent, element->pack(leaders->memory, n, sent), n); /* as if the sum had travelled */
    memcpy(values, sent, n * element->bytes);
}

const struct exchange exchange_direct = {.name = "direct",
                                         .in_order = true,
                                         .rounds_once = true,
                                         .narrows = true,
                                         .most_hosts = HOSTS_MAX,
                                         .piece_bytes = PIECE,
                                         .sum = sum};
