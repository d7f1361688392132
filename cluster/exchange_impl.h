/* cluster/exchange_impl.h - ways of adding between hosts: each leader brings its host's sum and gets that of
 * all. One way, one file.
 *
 *   H hosts, n bytes, alpha seconds a message, beta seconds a byte
 *
 *   MPI        whatever the library thinks best
 *   doubling   log2(H) (alpha + n beta), up to 2 more where H is no power of two
 *   ring       2 (H - 1) alpha + 2 (H - 1)/H n beta, and only neighbours talk
 *   direct     alpha + (H - 1) n beta: everybody to everybody
 *   scatter    2 alpha + 2 (H - 1)/H n beta: everybody adds one H-th of everybody's and passes it on
 *
 * Memory:  the leaders' scratch.
 * Threads: main thread only.
 * Ranks:   collective over the leaders. */
#pragma once

#include "cluster/element_impl.h"
#include "cluster/leaders_impl.h"

struct exchange {
    const char *name;
    bool in_order;    /* adds as element_add_as_tree does; else integers alone may go this way */
    bool rounds_once; /* and rounds what travels (element.rounds) in the one way that all of these do: each
                       * host's part, and the sum */
    bool narrows;     /* writes messages of its own: integers may be element_i64_narrow */
    int most_hosts;
    size_t piece_bytes; /* longer arrays come in pieces of so much */
    void (*sum)(struct leaders *leaders, const struct element *element, void *values, size_t n);
};

extern const struct exchange exchange_mpi, exchange_doubling, exchange_ring, exchange_direct,
    exchange_scatter;

/* Where the share of `host` in n elements begins; that of host `n_hosts` is the end. */
static inline size_t exchange_share(size_t n, int host, int n_hosts) {
    return n / (size_t)n_hosts * (size_t)host + n % (size_t)n_hosts * (size_t)host / (size_t)n_hosts;
}

/* All pieces of an array of any length. */
void exchange_sum(const struct exchange *exchange, struct leaders *leaders, const struct element *element,
                  void *values, size_t n);
