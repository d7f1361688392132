/* A worker on stories260K, for tests that drive the engine itself. */
#pragma once

#include <string.h>

#include "base/check.h"
#include "cluster/comm.h"
#include "worker/worker.h"

static inline struct engine_config fixture_config(const char *policy, int32_t budget) {
    struct engine_config config = {
        .n_threads = 1,
        .weights = DTYPE_COUNT,
        .kv_dtype = DTYPE_F32,
        .sliding_window = -1,
        .max_slots = 4,
        .max_step_tokens = 64,
        .budget = budget,
        .recent_ratio = 0.25,
        .n_sinks = 4,
    };
    strcpy(config.model_path, TEST_DATA "/models/stories260K");
    strcpy(config.policy, policy);
    return config;
}

/* A worker on every rank: that of rank 0 is to be driven and then closed, the others have served by then. */
static inline struct worker *fixture_open(struct comm *comm, const struct engine_config *config) {
    struct worker *worker;
    CHECK(worker_create(comm, config, &worker) == STATUS_OK);
    if (comm_rank(comm) != 0) CHECK(worker_serve(worker) == STATUS_OK);
    return worker;
}

static inline void fixture_close(struct comm *comm, struct worker *worker) {
    if (comm_rank(comm) == 0) CHECK(worker_stop(worker) == STATUS_OK);
    worker_destroy(worker);
}

/* One span as a plan of its own. */
static inline enum status fixture_step(const struct engine *engine, enum span_phase phase, int64_t position,
                                       const int32_t *tokens, int32_t n_tokens,
                                       const struct step_result **result_out) {
    const struct step_span span = {
        .first_position = position,
        .phase = phase,
        .n_tokens = n_tokens,
        .tokens = tokens,
        .n_logits_rows = 1,
        .inverse_temperature = 1,
    };
    const struct step_plan plan = {.kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = 1, .spans = &span};
    return engine->step(engine->self, &plan, result_out);
}
