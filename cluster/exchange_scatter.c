#include <limits.h>
#include <string.h>

#include "base/check.h"
#include "cluster/exchange_impl.h"
#include "cluster/scatter_impl.h"

static size_t share_room(size_t element_bytes, size_t n, int n_hosts) {
    const struct element like = {.bytes = element_bytes};
    return element_room(&like, n / (size_t)n_hosts + 1);
}

size_t scatter_bytes(size_t element_bytes, size_t n, int n_hosts) {
    return (2 * (size_t)n_hosts + 1) * share_room(element_bytes, n, n_hosts);
}

enum status scatter_create(struct leaders *leaders, unsigned char *memory, int tag,
                           struct scatter *scatter_out) {
    *scatter_out = (struct scatter){.leaders = leaders, .memory = memory, .tag = tag};
    return messages_create(leaders, 2 * leaders->n, &scatter_out->messages);
}

void scatter_free(struct scatter *scatter) {
    messages_free(&scatter->messages);
}

static unsigned char *sent(const struct scatter *scatter, int host) {
    return scatter->memory + (size_t)host * scatter->room;
}

static unsigned char *received(const struct scatter *scatter, int host) {
    return sent(scatter, scatter->leaders->n + host);
}

static unsigned char *share_of(const struct scatter *scatter, int host) {
    return scatter->values + exchange_share(scatter->n, host, scatter->leaders->n) * scatter->element->bytes;
}

static size_t share_size(const struct scatter *scatter, int host) {
    const int n_hosts = scatter->leaders->n;
    return exchange_share(scatter->n, host + 1, n_hosts) - exchange_share(scatter->n, host, n_hosts);
}

void scatter_begin(struct scatter *scatter, const struct element *element, void *values, size_t n) {
    const int n_hosts = scatter->leaders->n, own = scatter->leaders->own;
    scatter->element = element;
    scatter->values = values;
    scatter->n = n;
    scatter->room = share_room(element->bytes, n, n_hosts);
    scatter->travelling = SCATTER_PARTS;
    for (int host = 0; host < n_hosts; host++)
        if (host != own)
            messages_receive(&scatter->messages, host, scatter->tag, received(scatter, host), scatter->room);
    for (int i = 1; i < n_hosts; i++) { /* not all to the same one first */
        const int host = (own + i) % n_hosts;
        const size_t bytes =
            element->pack(share_of(scatter, host), share_size(scatter, host), sent(scatter, host));
        messages_send(&scatter->messages, host, scatter->tag, sent(scatter, host), bytes);
    }
}

/* This host's share of all: to the first of `received`. Its own part, too, loses what packing loses. */
static void add_parts(struct scatter *scatter) {
    struct leaders *leaders = scatter->leaders;
    const struct element *element = scatter->element;
    const size_t n = share_size(scatter, leaders->own);
    for (int host = 0, number = 0; host < leaders->n; host++) {
        leaders->parts[host] = received(scatter, host);
        const size_t bytes = host == leaders->own
                                 ? element->pack(share_of(scatter, host), n, leaders->parts[host])
                                 : messages_bytes(&scatter->messages, number++);
        element->unpack(leaders->parts[host], bytes, n);
    }
    element_add_as_tree(element, leaders->parts, leaders->n, n);
}

/* What was sent has left by now, so the others' sums can come to its place; this host's own sum is unpacked
 * from a message like theirs. */
static void pass_on_sums(struct scatter *scatter) {
    const struct element *element = scatter->element;
    const int n_hosts = scatter->leaders->n, own = scatter->leaders->own;
    unsigned char *message = received(scatter, n_hosts);
    add_parts(scatter);
    for (int host = 0; host < n_hosts; host++)
        if (host != own)
            messages_receive(&scatter->messages, host, scatter->tag + 1, sent(scatter, host), scatter->room);
    const size_t n = share_size(scatter, own), bytes = element->pack(received(scatter, 0), n, message);
    for (int i = 1; i < n_hosts; i++)
        messages_send(&scatter->messages, (own + i) % n_hosts, scatter->tag + 1, message, bytes);
    memcpy(sent(scatter, own), message, bytes);
    element->unpack(sent(scatter, own), bytes, n);
    scatter->travelling = SCATTER_SUMS;
}

void scatter_progress(struct scatter *scatter) {
    if (messages_arrived(&scatter->messages) && scatter->travelling == SCATTER_PARTS) pass_on_sums(scatter);
}

void scatter_finish(struct scatter *scatter) {
    if (scatter->travelling == SCATTER_PARTS) {
        messages_wait(&scatter->messages);
        pass_on_sums(scatter);
    }
    messages_wait(&scatter->messages);
    for (int host = 0, number = 0; host < scatter->leaders->n; host++) {
        const size_t n = share_size(scatter, host);
        if (host != scatter->leaders->own)
            scatter->element->unpack(sent(scatter, host), messages_bytes(&scatter->messages, number++), n);
        memcpy(share_of(scatter, host), sent(scatter, host), n * scatter->element->bytes);
    }
    scatter->travelling = SCATTER_DONE;
}

static void sum(struct leaders *leaders, const struct element *element, void *values, size_t n) {
    struct scatter scatter = {.leaders = leaders, /* its messages are borrowed: nothing else has any now */
                              .messages = leaders->messages,
                              .memory = leaders->memory,
                              .tag = TAG_SCATTER};
    DCHECK(scatter_bytes(element->bytes, n, leaders->n) <= LEADERS_MEMORY);
    scatter_begin(&scatter, element, values, n);
    scatter_finish(&scatter);
}

const struct exchange exchange_scatter = {.name = "scatter",
                                          .in_order = true,
                                          .rounds_once = true,
                                          .narrows = true,
                                          .most_hosts = 4096,
                                          .piece_bytes = LEADERS_PIECE,
                                          .sum = sum};
