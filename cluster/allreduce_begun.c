/* Sums that are begun now and finished later. Between hosts they go by scatter, whatever was measured: they
 * are long, and it is the way that needs to be looked after only once in between. A host's own ranks add
 * theirs up at once, and get the sum at the end. */
#include <stdlib.h>

#include "base/check.h"
#include "cluster/allreduce_impl.h"
#include "cluster/scatter_impl.h"
#include "cluster/survivors_impl.h"

struct begun_sum {
    const struct element *element;
    void *values;
    size_t n;
    struct scatter scatter; /* a leader's */
};

/* A ring of sums, the oldest first. */
struct begun_sums {
    size_t bytes; /* of the largest */
    int first, n;
    struct begun_sum sums[ALLREDUCE_BEGUN_MAX];
    unsigned char *memory;
};

bool allreduce_overlaps(const struct comm *comm) {
    return comm->hosts.n > 1;
}

static enum status create_scatters(struct comm *comm, struct begun_sums *begun) {
    const size_t each = scatter_bytes(sizeof(int64_t), begun->bytes / sizeof(int64_t) + 1, comm->hosts.n);
    begun->memory = malloc(ALLREDUCE_BEGUN_MAX * each);
    if (!begun->memory) return FAIL(STATUS_NO_MEMORY, "out of memory for sums that overlap");
    for (int i = 0; i < ALLREDUCE_BEGUN_MAX; i++)
        TRY(scatter_create(comm->leaders, begun->memory + (size_t)i * each, TAG_BEGUN + 2 * i,
                           &begun->sums[i].scatter));
    return STATUS_OK;
}

enum status allreduce_reserve(struct comm *comm, size_t bytes) {
    allreduce_release(comm);
    struct begun_sums *begun = calloc(1, sizeof *begun);
    enum status status = begun ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for sums that overlap");
    comm->begun = begun;
    if (begun) {
        begun->bytes = bytes;
        if (comm->leaders) status = create_scatters(comm, begun);
    }
    status = comm_agree(comm, status);
    if (status != STATUS_OK) allreduce_release(comm);
    return status;
}

void allreduce_abandon_begun(struct comm *comm) {
    struct begun_sums *begun = comm->begun;
    if (!begun) return;
    for (int i = 0; i < ALLREDUCE_BEGUN_MAX; i++)
        messages_abandon(&begun->sums[i].scatter.messages);
    begun->n = 0;
}

void allreduce_release(struct comm *comm) {
    struct begun_sums *begun = comm->begun;
    if (!begun) return;
    CHECK(begun->n == 0);
    for (int i = 0; i < ALLREDUCE_BEGUN_MAX; i++)
        scatter_free(&begun->sums[i].scatter);
    free(begun->memory);
    free(begun);
    comm->begun = NULL;
}

static void begin(struct comm *comm, const struct element *element, void *values, size_t n) {
    struct begun_sums *begun = comm->begun;
    CHECK(begun && begun->n < ALLREDUCE_BEGUN_MAX && n * element->bytes <= begun->bytes);
    struct begun_sum *sum = &begun->sums[(begun->first + begun->n++) % ALLREDUCE_BEGUN_MAX];
    sum->element = element;
    sum->values = values;
    sum->n = n;
    if (!allreduce_overlaps(comm)) return;
    if (comm->window) allreduce_shared_reduce(comm, SHARED_LANE_SUM, element, values, n);
    if (comm->leaders) scatter_begin(&sum->scatter, element, values, n);
    allreduce_progress(comm);
}

void allreduce_sum_i64_begin(struct comm *comm, int64_t *values, size_t n) {
    begin(comm, comm->begins_narrow ? &element_i64_narrow : &element_i64, values, n);
}

void allreduce_sum_f32_begin(struct comm *comm, float *values, size_t n) {
    begin(comm, allreduce_floats(comm), values, n);
}

/* Called amid a product that all threads compute, which cannot be left. */
void allreduce_progress(struct comm *comm) {
    struct begun_sums *begun = comm->begun;
    survivors_stay(comm->survivors, true);
    for (int i = 0; begun && comm->leaders && i < begun->n && !survivors_lost_one(comm); i++)
        scatter_progress(&begun->sums[(begun->first + i) % ALLREDUCE_BEGUN_MAX].scatter);
    survivors_stay(comm->survivors, false);
}

void allreduce_sum_finish(struct comm *comm) {
    struct begun_sums *begun = comm->begun;
    CHECK(begun && begun->n > 0);
    struct begun_sum *sum = &begun->sums[begun->first];
    if (!allreduce_overlaps(comm)) {
        if (sum->element->bytes == sizeof(float))
            allreduce_sum_f32(comm, sum->values, sum->n);
        else
            allreduce_sum_i64(comm, sum->values, sum->n);
    } else {
        if (comm->leaders) scatter_finish(&sum->scatter);
        if (comm->window) allreduce_shared_pass(comm, SHARED_LANE_SUM, sum->element, sum->values, sum->n);
    }
    begun->first = (begun->first + 1) % ALLREDUCE_BEGUN_MAX;
    begun->n--;
}
