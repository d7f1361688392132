/* What comes after the load: rank 0 sends plans, all ranks execute them. */
#include "worker/worker.h"

#include "base/log.h"
#include "worker/outlive.h"
#include "worker/worker_impl.h"

/* A failure inside a step cannot be agreed on: the other ranks wait in a collective. So it ends the job,
 * naming the rank. */
static void end_job_on_failure(struct worker *worker, enum status status) {
    if (status == STATUS_OK) return;
    log_rank(0, "%s", status_message());
    comm_abort(worker->comm, status_exit_code(status));
}

static enum status serve(struct worker *worker, void *unused) {
    (void)unused;
    for (;;) {
        const struct step_plan *plan;
        end_job_on_failure(worker, step_plan_receive(worker->channel, &plan));
        switch (plan->kind) {
        case STEP_COMPUTE:
            end_job_on_failure(worker, step_execute(worker, plan));
            break;
        case STEP_LOGITS:
            logits_fetch(worker->logits, plan->logits_row, NULL);
            break;
        case STEP_FILL:
            end_job_on_failure(worker, measure_fill(worker, &plan->fill));
            break;
        case STEP_READ:
            end_job_on_failure(worker, measure_read(worker, &(double){0}));
            break;
        case STEP_REPORT:
            measure_report(worker, NULL);
            break;
        case STEP_SLOTS:
            slot_reports_gather(worker->slot_reports, worker->comm, worker->cache);
            break;
        case STEP_PROBE:
            probe_gather(worker->probe, plan->probe_slot);
            break;
        case STEP_TRACE:
            end_job_on_failure(worker, set_notes_gather(worker->set_notes, &(struct step_trace){0}));
            break;
        case STEP_STOP:
            comm_barrier(worker->comm); /* as long as nobody has left, a loss can be made good */
            return STATUS_OK;
        }
    }
}

enum status worker_serve(struct worker *worker) {
    return outlive(worker, serve, NULL);
}

/* Plans are numbered here, where all of them pass. */
static enum status send_plan(struct worker *worker, struct step_plan plan) {
    plan.number = worker->n_plans;
    TRY(step_plan_send(worker->channel, &plan));
    worker->n_plans++;
    return STATUS_OK;
}

enum status worker_step(struct worker *worker, const struct step_plan *plan) {
    struct step_plan numbered = *plan;
    numbered.number = worker->n_plans;
    TRY(send_plan(worker, numbered));
    end_job_on_failure(worker, step_execute(worker, &numbered));
    return STATUS_OK;
}

static enum status step(struct worker *worker, void *plan) {
    return worker_step(worker, plan);
}

static enum status engine_step(void *self, const struct step_plan *plan,
                               const struct step_result **result_out) {
    struct worker *worker = self;
    struct step_plan own = *plan;
    if (worker->history) TRY(history_begin(worker->history, plan));
    TRY(outlive(worker, step, &own));
    *result_out = &worker->result;
    return worker->history ? history_done(worker->history, &worker->result, result_out) : STATUS_OK;
}

struct fetch {
    int32_t row;
    float *logits;
};

static enum status fetch_logits(struct worker *worker, void *argument) {
    const struct fetch *fetch = argument;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_LOGITS, .logits_row = fetch->row}));
    logits_fetch(worker->logits, fetch->row, fetch->logits);
    return STATUS_OK;
}

static enum status engine_fetch_logits(void *self, int32_t logits_row, float *logits) {
    return outlive(self, fetch_logits, &(struct fetch){logits_row, logits});
}

static enum status engine_fill_kv(void *self, struct step_fill fill) {
    struct worker *worker = self;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_FILL, .fill = fill}));
    end_job_on_failure(worker, measure_fill(worker, &fill));
    return STATUS_OK;
}

static enum status engine_read_memory(void *self, double *bytes_per_second_out) {
    struct worker *worker = self;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_READ}));
    end_job_on_failure(worker, measure_read(worker, bytes_per_second_out));
    return STATUS_OK;
}

static enum status engine_report(void *self, const struct rank_report **reports_out) {
    struct worker *worker = self;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_REPORT}));
    measure_report(worker, worker->reports);
    *reports_out = worker->reports;
    return STATUS_OK;
}

static enum status report_slots(struct worker *worker, void *reports) {
    const struct slot_report **reports_out = reports;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_SLOTS}));
    *reports_out = slot_reports_gather(worker->slot_reports, worker->comm, worker->cache);
    return STATUS_OK;
}

static enum status engine_report_slots(void *self, const struct slot_report **reports_out) {
    return outlive(self, report_slots, reports_out);
}

static enum status engine_probe(void *self, int32_t slot, const struct step_probe **probe_out) {
    struct worker *worker = self;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_PROBE, .probe_slot = slot}));
    *probe_out = probe_gather(worker->probe, slot);
    return STATUS_OK;
}

static enum status engine_trace(void *self, const struct step_trace **trace_out) {
    struct worker *worker = self;
    TRY(send_plan(worker, (struct step_plan){.kind = STEP_TRACE}));
    end_job_on_failure(worker, set_notes_gather(worker->set_notes, &worker->trace));
    *trace_out = &worker->trace;
    return STATUS_OK;
}

struct engine worker_engine(struct worker *worker) {
    return (struct engine){
        .self = worker,
        .step = engine_step,
        .fetch_logits = engine_fetch_logits,
        .fill_kv = engine_fill_kv,
        .read_memory = engine_read_memory,
        .report = engine_report,
        .report_slots = engine_report_slots,
        .trace = engine_trace,
        .probe = worker->probe ? engine_probe : NULL,
        .limits = worker->limits,
        .n_ranks = comm_size(worker->comm),
        .n_threads = worker->n_threads,
        .kernels_name = worker->kernels->name,
    };
}

static enum status stop(struct worker *worker, void *unused) {
    (void)unused;
    /* Without this plan the other ranks would wait for ever. */
    end_job_on_failure(worker, send_plan(worker, (struct step_plan){.kind = STEP_STOP}));
    comm_barrier(worker->comm);
    return STATUS_OK;
}

enum status worker_stop(struct worker *worker) {
    if (!worker->is_set_up) return STATUS_OK; /* nor are the others, any more */
    if (worker->history) history_forget(worker->history);
    return outlive(worker, stop, NULL);
}
