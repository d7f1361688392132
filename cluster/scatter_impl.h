/* cluster/scatter_impl.h - a sum between hosts that can be begun now and finished later.
 *
 * Each host gets one H-th of everybody's values, adds them up, and sends the sum to everybody. What it needs
 * in between is one look when the first messages are there, to send the second ones: scatter_progress.
 *
 * Memory:  the caller's, scatter_bytes; `values` too, which must not be touched until finish.
 * Threads: main thread only.
 * Ranks:   collective over the leaders; progress is local. */
#pragma once

#include "cluster/element_impl.h"
#include "cluster/leaders_impl.h"

struct scatter {
    struct leaders *leaders;
    struct messages messages;
    unsigned char *memory;
    int tag;

    const struct element *element;
    unsigned char *values;
    size_t n, room; /* room of a share */
    enum { SCATTER_DONE, SCATTER_PARTS, SCATTER_SUMS } travelling;
};

/* What n values of so many bytes take on H hosts. */
size_t scatter_bytes(size_t element_bytes, size_t n, int n_hosts);

/* memory [scatter_bytes] of the most that will be begun; the tag, and that after it, are its own. */
NODISCARD enum status scatter_create(struct leaders *leaders, unsigned char *memory, int tag,
                                     struct scatter *scatter_out);
void scatter_free(struct scatter *scatter);

void scatter_begin(struct scatter *scatter, const struct element *element, void *values, size_t n);
void scatter_progress(struct scatter *scatter);
void scatter_finish(struct scatter *scatter);
