/* All-reduces through the shared window. Whatever the algorithm, an element is ((part 0 + part 1) + part 2) +
 * … in the order of ranks, computed once or by every rank alike: so all ranks have the same bits, of floats
 * too, and one algorithm has the other's. */
#include <string.h>

#include "cluster/allreduce_impl.h"
#include "cluster/shared_window_impl.h"

enum { BLOCK = 512 }; /* elements added at a time: the accumulator stays in the first-level cache */

/* What is done with n elements at the same place of all parts. `out` may be one of them. */
struct reduction {
    size_t element_bytes;
    void (*combine)(const void *const *parts, int n_parts, size_t first, size_t n, void *out);
};

static void combine_i64(const void *const *parts, int n_parts, size_t first, size_t n, void *out) {
    int64_t sums[BLOCK];
    memcpy(sums, (const int64_t *)parts[0] + first, n * sizeof *sums);
    for (int part = 1; part < n_parts; part++) {
        const int64_t *values = (const int64_t *)parts[part] + first;
        for (size_t i = 0; i < n; i++)
            sums[i] += values[i];
    }
    memcpy(out, sums, n * sizeof *sums);
}

static void combine_f32(const void *const *parts, int n_parts, size_t first, size_t n, void *out) {
    float sums[BLOCK];
    memcpy(sums, (const float *)parts[0] + first, n * sizeof *sums);
    for (int part = 1; part < n_parts; part++) {
        const float *values = (const float *)parts[part] + first;
        for (size_t i = 0; i < n; i++)
            sums[i] += values[i];
    }
    memcpy(out, sums, n * sizeof *sums);
}

static void combine_minimum(const void *const *parts, int n_parts, size_t first, size_t n, void *out) {
    uint32_t minima[BLOCK];
    memcpy(minima, (const uint32_t *)parts[0] + first, n * sizeof *minima);
    for (int part = 1; part < n_parts; part++) {
        const uint32_t *values = (const uint32_t *)parts[part] + first;
        for (size_t i = 0; i < n; i++)
            minima[i] = values[i] < minima[i] ? values[i] : minima[i];
    }
    memcpy(out, minima, n * sizeof *minima);
}

static const struct reduction sum_of_i64 = {sizeof(int64_t), combine_i64};
static const struct reduction sum_of_f32 = {sizeof(float), combine_f32};
static const struct reduction minimum_of_u32 = {sizeof(uint32_t), combine_minimum};

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t slot_elements(const struct comm *comm, enum shared_lane lane,
                            const struct reduction *reduction) {
    return shared_window_slot_bytes(comm->window, lane) / reduction->element_bytes;
}

static void publish(struct comm *comm, enum shared_lane lane, const void *data, size_t bytes) {
    memcpy(shared_window_slot(comm->window, lane), data, bytes);
    shared_window_publish(comm->window, lane);
}

/* Elements [begin, end) of what all ranks passed in this exchange, to `out`. This rank's part is read where
 * it came from, `own`. */
static void combine_range(struct comm *comm, enum shared_lane lane, const struct reduction *reduction,
                          const void *own, size_t begin, size_t end, void *out) {
    for (int rank = 0; rank < comm->size; rank++)
        comm->parts[rank] = shared_window_read(comm->window, lane, rank);
    comm->parts[comm->rank] = own;
    for (size_t at = begin; at < end; at += BLOCK)
        reduction->combine(comm->parts, comm->size, at, smaller(BLOCK, end - at),
                           (unsigned char *)out + (at - begin) * reduction->element_bytes);
}

static void one_shot(struct comm *comm, const struct reduction *reduction, void *values, size_t n) {
    const size_t room = slot_elements(comm, SHARED_LANE_SUM, reduction);
    unsigned char *at = values;
    for (size_t left = n; left > 0;) {
        const size_t count = smaller(left, room), bytes = count * reduction->element_bytes;
        publish(comm, SHARED_LANE_SUM, at, bytes);
        shared_window_wait(comm->window, SHARED_LANE_SUM);
        combine_range(comm, SHARED_LANE_SUM, reduction, at, 0, count, at);
        left -= count;
        at += bytes;
    }
}

/* Where the share of `rank` in n elements begins; that of rank `size` is the end. */
static size_t share_begin(const struct comm *comm, size_t n, int rank) {
    return n * (size_t)rank / (size_t)comm->size;
}

/* Everything but this rank's own share, which nobody else reads. */
static void publish_shares(struct comm *comm, size_t element_bytes, const unsigned char *values, size_t n) {
    const size_t begin = share_begin(comm, n, comm->rank) * element_bytes;
    const size_t end = share_begin(comm, n, comm->rank + 1) * element_bytes;
    unsigned char *slot = shared_window_slot(comm->window, SHARED_LANE_SUM);
    memcpy(slot, values, begin);
    memcpy(slot + end, values + end, n * element_bytes - end);
    shared_window_publish(comm->window, SHARED_LANE_SUM);
    shared_window_wait(comm->window, SHARED_LANE_SUM);
}

static void publish_sums(struct comm *comm, const struct reduction *reduction, const unsigned char *values,
                         size_t n) {
    const size_t begin = share_begin(comm, n, comm->rank), end = share_begin(comm, n, comm->rank + 1);
    combine_range(comm, SHARED_LANE_SUM, reduction, values, begin, end,
                  shared_window_slot(comm->window, SHARED_LANE_SUM));
    shared_window_publish(comm->window, SHARED_LANE_SUM);
    shared_window_wait(comm->window, SHARED_LANE_SUM);
}

static void collect_sums(struct comm *comm, size_t element_bytes, unsigned char *values, size_t n) {
    for (int rank = 0; rank < comm->size; rank++) {
        const size_t begin = share_begin(comm, n, rank), end = share_begin(comm, n, rank + 1);
        memcpy(values + begin * element_bytes, shared_window_read(comm->window, SHARED_LANE_SUM, rank),
               (end - begin) * element_bytes);
    }
}

static void split(struct comm *comm, const struct reduction *reduction, void *values, size_t n) {
    const size_t room = slot_elements(comm, SHARED_LANE_SUM, reduction);
    unsigned char *at = values;
    for (size_t left = n; left > 0;) {
        const size_t count = smaller(left, room);
        publish_shares(comm, reduction->element_bytes, at, count);
        publish_sums(comm, reduction, at, count);
        collect_sums(comm, reduction->element_bytes, at, count);
        left -= count;
        at += count * reduction->element_bytes;
    }
}

static void one_shot_i64(struct comm *comm, int64_t *values, size_t n) {
    one_shot(comm, &sum_of_i64, values, n);
}

static void one_shot_f32(struct comm *comm, float *values, size_t n) {
    one_shot(comm, &sum_of_f32, values, n);
}

static void split_i64(struct comm *comm, int64_t *values, size_t n) {
    split(comm, &sum_of_i64, values, n);
}

static void split_f32(struct comm *comm, float *values, size_t n) {
    split(comm, &sum_of_f32, values, n);
}

const struct allreduce_algorithm allreduce_one_shot = {"shared, one-shot", true, one_shot_i64, one_shot_f32};
const struct allreduce_algorithm allreduce_split = {"shared, split", true, split_i64, split_f32};

static void publish_minimum(struct comm *comm, const uint32_t *values, size_t n) {
    const size_t count = smaller(n, slot_elements(comm, SHARED_LANE_MINIMUM, &minimum_of_u32));
    publish(comm, SHARED_LANE_MINIMUM, values, count * sizeof *values);
}

/* Nothing needs to move for it to arrive: the others find it when they look. */
void allreduce_shared_min_begin(struct comm *comm, const uint32_t *values, size_t n) {
    publish_minimum(comm, values, n);
}

void allreduce_shared_min_finish(struct comm *comm, uint32_t *values, size_t n) {
    const size_t room = slot_elements(comm, SHARED_LANE_MINIMUM, &minimum_of_u32);
    for (size_t done = 0; done < n;) {
        const size_t count = smaller(n - done, room);
        shared_window_wait(comm->window, SHARED_LANE_MINIMUM);
        combine_range(comm, SHARED_LANE_MINIMUM, &minimum_of_u32, values + done, 0, count, values + done);
        done += count;
        if (done < n) publish_minimum(comm, values + done, n - done);
    }
}
