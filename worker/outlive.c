#include "worker/outlive.h"

#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "cluster/heartbeat.h"
#include "cluster/survivors.h"
#include "worker/worker_impl.h"

static const double progress_seconds = 10;

/* Rank 0: the others serve. */
static enum status make_again(struct worker *worker) {
    const int64_t n_tokens = history_rewind(worker->history);
    const double began = timer_seconds();
    double said = began;
    struct step_plan plan;
    int64_t n_done = 0;
    if (n_tokens > 0) log_warn("%lld tokens are computed again", (long long)n_tokens);
    while (history_next(worker->history, &plan)) {
        TRY(worker_step(worker, &plan));
        n_done += worker->batch.n_rows;
        const double now = timer_seconds();
        if (now - said < progress_seconds) continue;
        said = now;
        log_warn("%lld of %lld tokens are computed again, about %.0f s are left", (long long)n_done,
                 (long long)n_tokens, (now - began) / (double)n_done * (double)(n_tokens - n_done));
    }
    if (n_tokens > 0) log_info(1, "all was as before after %.1f s", timer_seconds() - began);
    return STATUS_OK;
}

/* From the first set-up on, on rank 0. */
static enum status keep_history(struct worker *worker) {
    if (worker->history || !survivors_allowed(worker->comm) || comm_rank(worker->comm) != 0) return STATUS_OK;
    const bool is_dense = strcmp(worker->config.policy, "full") == 0 && !worker->config.emulates;
    return history_create(&worker->limits, is_dense, &worker->history);
}

static enum status set_up(struct worker *worker) {
    if (survivors_lost_one(worker->comm)) TRY(survivors_regroup(worker->comm));
    const enum operation before = heartbeat_enter(comm_heartbeat(worker->comm), OPERATION_SET_UP);
    enum status status = worker_set_up(worker);
    if (status == STATUS_OK) status = comm_agree(worker->comm, keep_history(worker));
    heartbeat_leave(comm_heartbeat(worker->comm), before);
    TRY(status);
    worker->is_set_up = true;
    return worker->history ? make_again(worker) : STATUS_OK;
}

struct call {
    struct worker *worker;
    worker_task *task;
    void *argument;
};

static enum status run(void *argument) {
    const struct call *call = argument;
    if (call->worker->is_given_up) return FAIL(STATUS_INTERNAL, "the ranks that are left cannot go on");
    if (!call->worker->is_set_up) TRY(set_up(call->worker));
    return call->task(call->worker, call->argument);
}

enum status outlive(struct worker *worker, worker_task *task, void *argument) {
    struct call call = {worker, task, argument};
    enum status status;
    if (!survivors_allowed(worker->comm))
        status = run(&call);
    else
        while (!survivors_attempt(worker->comm, run, &call, &status))
            worker_dismantle(worker);
    worker->is_given_up = !worker->is_set_up;
    return status;
}
