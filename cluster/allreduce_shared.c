/* All-reduces through the shared window of a host. Whatever the algorithm, an element is ((part 0 + part 1) +
 * part 2) + … in the order of the host's ranks, computed once or by every rank alike: so all ranks have the
 * same bits, of floats too, and one algorithm has the other's. */
#include <string.h>

#include "cluster/allreduce_impl.h"

/* What a leader adds by itself; with more, and with several ranks to share it with, they do so. */
enum { LEADER_BYTES_MAX = 32 << 10 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t slot_elements(const struct comm *comm, enum shared_lane lane, const struct element *element) {
    return shared_window_slot_bytes(comm->window, lane) / element->bytes;
}

static void publish(struct comm *comm, enum shared_lane lane, const void *data, size_t bytes) {
    memcpy(shared_window_slot(comm->window, lane), data, bytes);
    shared_window_publish(comm->window, lane);
}

/* Elements [begin, end) of what all ranks passed in this exchange, to `out`. This rank's part is read where
 * it came from, `own`. */
static void combine_range(struct comm *comm, enum shared_lane lane, const struct element *element,
                          const void *own, size_t begin, size_t end, void *out) {
    const struct hosts *hosts = &comm->hosts;
    for (int rank = 0; rank < hosts->n_ranks; rank++)
        comm->parts[rank] = shared_window_read(comm->window, lane, rank);
    comm->parts[hosts->position] = own;
    element_combine(element, comm->parts, hosts->n_ranks, begin, end - begin, out);
}

static void one_shot(struct comm *comm, enum shared_lane lane, const struct element *element, void *values,
                     size_t n) {
    publish(comm, lane, values, n * element->bytes);
    shared_window_wait(comm->window, lane);
    combine_range(comm, lane, element, values, 0, n, values);
}

/* Where the share of `rank` in n elements begins; that of rank `n_ranks` is the end. */
static size_t share_begin(const struct comm *comm, size_t n, int rank) {
    return n * (size_t)rank / (size_t)comm->hosts.n_ranks;
}

/* Everything but this rank's own share, which nobody else reads. */
static void publish_shares(struct comm *comm, enum shared_lane lane, const struct element *element,
                           const unsigned char *values, size_t n) {
    const size_t begin = share_begin(comm, n, comm->hosts.position) * element->bytes;
    const size_t end = share_begin(comm, n, comm->hosts.position + 1) * element->bytes;
    unsigned char *slot = shared_window_slot(comm->window, lane);
    memcpy(slot, values, begin);
    memcpy(slot + end, values + end, n * element->bytes - end);
    shared_window_publish(comm->window, lane);
    shared_window_wait(comm->window, lane);
}

static void publish_sums(struct comm *comm, enum shared_lane lane, const struct element *element,
                         const unsigned char *values, size_t n) {
    const int position = comm->hosts.position;
    combine_range(comm, lane, element, values, share_begin(comm, n, position),
                  share_begin(comm, n, position + 1), shared_window_slot(comm->window, lane));
    shared_window_publish(comm->window, lane);
    shared_window_wait(comm->window, lane);
}

static void collect_sums(struct comm *comm, enum shared_lane lane, const struct element *element,
                         unsigned char *values, size_t n) {
    for (int rank = 0; rank < comm->hosts.n_ranks; rank++) {
        const size_t begin = share_begin(comm, n, rank), end = share_begin(comm, n, rank + 1);
        memcpy(values + begin * element->bytes, shared_window_read(comm->window, lane, rank),
               (end - begin) * element->bytes);
    }
}

static void split(struct comm *comm, enum shared_lane lane, const struct element *element, void *values,
                  size_t n) {
    publish_shares(comm, lane, element, values, n);
    publish_sums(comm, lane, element, values, n);
    collect_sums(comm, lane, element, values, n);
}

/* To the leader's values; what the others' become does not count. */
static void reduce(struct comm *comm, enum shared_lane lane, const struct element *element, void *values,
                   size_t n) {
    if (comm->hosts.n_ranks > 2 && n * element->bytes > LEADER_BYTES_MAX) {
        publish_shares(comm, lane, element, values, n);
        publish_sums(comm, lane, element, values, n);
        if (comm->leaders) collect_sums(comm, lane, element, values, n);
    } else if (comm->leaders) {
        shared_window_publish(comm->window, lane); /* its part stays where it is */
        shared_window_wait(comm->window, lane);
        combine_range(comm, lane, element, values, 0, n, values);
    } else {
        publish(comm, lane, values, n * element->bytes);
        shared_window_wait(comm->window, lane);
    }
}

static void pass(struct comm *comm, enum shared_lane lane, const struct element *element, void *values,
                 size_t n) {
    if (comm->leaders)
        publish(comm, lane, values, n * element->bytes);
    else
        shared_window_publish(comm->window, lane);
    shared_window_wait(comm->window, lane);
    if (!comm->leaders) memcpy(values, shared_window_read(comm->window, lane, 0), n * element->bytes);
}

/* Any length, in pieces that fit a slot. */
static void in_pieces(struct comm *comm, enum shared_lane lane, const struct element *element, void *values,
                      size_t n,
                      void (*way)(struct comm *comm, enum shared_lane lane, const struct element *element,
                                  void *values, size_t n)) {
    const size_t room = slot_elements(comm, lane, element);
    unsigned char *at = values;
    for (size_t left = n; left > 0;) {
        const size_t count = smaller(left, room);
        way(comm, lane, element, at, count);
        left -= count;
        at += count * element->bytes;
    }
}

void allreduce_one_shot(struct comm *comm, const struct allreduce_algorithm *algorithm,
                        const struct element *element, void *values, size_t n) {
    (void)algorithm;
    in_pieces(comm, SHARED_LANE_SUM, element, values, n, one_shot);
}

void allreduce_split(struct comm *comm, const struct allreduce_algorithm *algorithm,
                     const struct element *element, void *values, size_t n) {
    (void)algorithm;
    in_pieces(comm, SHARED_LANE_SUM, element, values, n, split);
}

void allreduce_shared_reduce(struct comm *comm, enum shared_lane lane, const struct element *element,
                             void *values, size_t n) {
    in_pieces(comm, lane, element, values, n, reduce);
}

void allreduce_shared_pass(struct comm *comm, enum shared_lane lane, const struct element *element,
                           void *values, size_t n) {
    in_pieces(comm, lane, element, values, n, pass);
}

static void publish_minimum(struct comm *comm, const uint32_t *values, size_t n) {
    const size_t count = smaller(n, slot_elements(comm, SHARED_LANE_MINIMUM, &element_u32_minimum));
    publish(comm, SHARED_LANE_MINIMUM, values, count * sizeof *values);
}

/* Nothing needs to move for it to arrive: the others find it when they look. */
void allreduce_shared_min_begin(struct comm *comm, const uint32_t *values, size_t n) {
    publish_minimum(comm, values, n);
}

void allreduce_shared_min_finish(struct comm *comm, uint32_t *values, size_t n) {
    const size_t room = slot_elements(comm, SHARED_LANE_MINIMUM, &element_u32_minimum);
    for (size_t done = 0; done < n;) {
        const size_t count = smaller(n - done, room);
        shared_window_wait(comm->window, SHARED_LANE_MINIMUM);
        combine_range(comm, SHARED_LANE_MINIMUM, &element_u32_minimum, values + done, 0, count,
                      values + done);
        done += count;
        if (done < n) publish_minimum(comm, values + done, n - done);
    }
}
