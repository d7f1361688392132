#include "worker/slot_reports.h"

#include "base/numbers.h"

struct slot_reports {
    int32_t n_slots;
    struct slot_report *local;    /* [n_slots] */
    struct slot_report *gathered; /* [comm_size, n_slots]; the first rank's become the sums; rank 0 */
    size_t *sizes;                /* [comm_size] bytes of each rank's */
};

enum status slot_reports_create(const struct comm *comm, int32_t n_slots, struct arena *memory,
                                struct slot_reports **reports_out) {
    struct slot_reports *reports;
    const size_t n_ranks = (size_t)comm_size(comm), n = (size_t)n_slots;
    TRY(ARENA_TAKE(memory, 1, &reports));
    TRY(ARENA_TAKE(memory, n, &reports->local));
    TRY(ARENA_TAKE(memory, n_ranks, &reports->sizes));
    if (comm_rank(comm) == 0) TRY(ARENA_TAKE(memory, n_ranks * n, &reports->gathered));
    for (size_t rank = 0; rank < n_ranks; rank++)
        reports->sizes[rank] = n * sizeof *reports->local;
    reports->n_slots = n_slots;
    *reports_out = reports;
    return STATUS_OK;
}

void slot_reports_reset(struct slot_reports *reports, int32_t slot) {
    reports->local[slot] = (struct slot_report){0};
}

void slot_reports_count(struct slot_reports *reports, const struct kv_policy *policy,
                        const struct batch *batch, int32_t layer, int32_t n_heads_local,
                        int64_t sliding_window) {
    const int64_t most = sliding_window > 0 ? sliding_window : INT64_MAX;
    for (int32_t d = 0; d < batch->n_decodes; d++) {
        const struct batch_block *block = &batch->blocks[batch->decodes[d]];
        reports->local[block->slot].n_decoded += layer == 0;
        for (int32_t head = 0; head < n_heads_local; head++)
            reports->local[block->slot].attended_tokens += smaller_i64(
                kv_policy_attended(policy, block->slot, layer, block->first_position + 1, head).n_tokens,
                most);
    }
}

/* All ranks take the same steps. */
static void add(struct slot_report *sum, const struct slot_report *part) {
    sum->kv_bytes += part->kv_bytes;
    sum->attended_tokens += part->attended_tokens;
}

const struct slot_report *slot_reports_gather(struct slot_reports *reports, struct comm *comm,
                                              const struct kv_cache *cache) {
    const int32_t n = reports->n_slots;
    for (int32_t slot = 0; slot < n; slot++)
        reports->local[slot].kv_bytes = (int64_t)kv_cache_slot_bytes(cache, slot);
    comm_gather(comm, reports->local, reports->sizes, reports->gathered);
    if (comm_rank(comm) != 0) return NULL;
    for (int64_t i = n; i < (int64_t)comm_size(comm) * n; i++)
        add(&reports->gathered[i % n], &reports->gathered[i]);
    return reports->gathered;
}
