/* What `bench` asks of a rank beside steps: a long context without reading it, memory and traffic. */
#include <stdlib.h>

#include "base/process_memory.h"
#include "cluster/heartbeat.h"
#include "worker/fill.h"
#include "worker/traffic.h"
#include "worker/worker_impl.h"

enum status measure_fill(struct worker *worker, const struct step_fill *fill) {
    const struct fill_shape shape = {
        .n_layers = worker->shard->spec->n_layers,
        .first_kv_head = worker->shard->first_kv_head,
        .n_kv_heads_local = worker->shard->n_kv_heads,
        .head_dim = worker->shard->spec->head_dim,
        .heartbeat = comm_heartbeat(worker->comm),
        .policy = worker->policy,
        .probe = worker->probe,
    };
    const enum operation before = heartbeat_enter(comm_heartbeat(worker->comm), OPERATION_FILL);
    kv_cache_free_slot(worker->cache, fill->slot);
    kv_policy_rewind(worker->policy, fill->slot, 0);
    worker->slot_tokens[fill->slot] = 0;
    slot_reports_reset(worker->slot_reports, fill->slot);
    TRY(kv_policy_admit(worker->policy, fill->slot, 0, fill->n_tokens, false));
    TRY(fill_kv_cache(worker->cache, &shape, fill));
    worker->slot_tokens[fill->slot] = fill->n_tokens;
    heartbeat_leave(comm_heartbeat(worker->comm), before);
    return STATUS_OK;
}

void measure_count_layer(struct worker *worker, int32_t layer) {
    const bool counts = head_group_member(worker->group) == 0; /* heads that are shared count once */
    slot_reports_count(worker->slot_reports, worker->policy, &worker->batch, layer,
                       counts ? worker->shard->n_heads : 0, worker->sliding_window);
    if (worker->batch.n_decodes < worker->batch.n_rows) return;
    const struct kv_traffic traffic = {
        .policy = worker->policy,
        .batch = &worker->batch,
        .n_kv_heads_local = worker->shard->n_kv_heads,
        .group = worker->shard->n_heads / worker->shard->n_kv_heads,
        .row_bytes = (int64_t)dtype_bytes(worker->config.kv_dtype, worker->shard->spec->head_dim),
        .window = worker->sliding_window,
        .cache = head_group_size(worker->group) > 1 ? worker->cache : NULL,
    };
    worker->traffic.kv_bytes_read += traffic_kv_read(&traffic, layer);
    if (layer == 0)
        worker->traffic.weight_bytes_read += traffic_weights_read(worker->shard, worker->batch.n_rows);
}

enum status measure_read(struct worker *worker, double *bytes_per_second_out) {
    const int64_t n = traffic_matrices(worker->shard, NULL);
    struct memory_region *matrices = calloc((size_t)n + 1, sizeof *matrices);
    if (!matrices) return FAIL(STATUS_NO_MEMORY, "out of memory for a list of %lld matrices", (long long)n);
    traffic_matrices(worker->shard, matrices);
    const enum operation before = heartbeat_enter(comm_heartbeat(worker->comm), OPERATION_MEASURE);
    const enum status status = memory_read_measure(worker->comm, matrices, n, bytes_per_second_out);
    heartbeat_leave(comm_heartbeat(worker->comm), before);
    free(matrices);
    return status;
}

void measure_report(struct worker *worker, struct rank_report *reports) {
    struct rank_report report = worker->traffic;
    report.resident_bytes = process_resident_bytes();
    report.weight_bytes = traffic_weights_held(worker->shard);
    report.kv_bytes = (int64_t)kv_cache_bytes_in_use(worker->cache);
    comm_gather(worker->comm, &report, worker->report_sizes, reports);
    worker->traffic = (struct rank_report){0};
}
