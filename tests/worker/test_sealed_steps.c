/* A thousand steps after set-up: the arenas are sealed, so an allocation in a step would be a failed check
 * and end the job. Sequences come and go, prompts and decode tokens mix, the pages return. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/rng.h"
#include "tests/worker/engine_fixture.h"
#include "worker/worker_impl.h"

enum { STEPS = 1000, SLOTS = 4, RESTART_AT = 120 };

/* Every slot's next span: a chunk of a prompt at first, then one token at a time. */
static int32_t plan_slots(uint64_t step, int64_t *lengths, int32_t tokens[SLOTS][16],
                          struct step_span *spans) {
    int32_t n = 0;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        if (rng_uniform(5, step, (uint64_t)slot) < 0.2) continue;
        const int32_t n_tokens =
            lengths[slot] < 24 ? 1 + (int32_t)(15 * rng_uniform(6, step, (uint64_t)slot)) : 1;
        for (int32_t i = 0; i < n_tokens; i++)
            tokens[slot][i] = (int32_t)(512 * rng_uniform(7, step, (uint64_t)(slot * 16 + i)));
        spans[n++] = (struct step_span){
            .slot = slot,
            .first_position = lengths[slot],
            .phase = lengths[slot] < 24 ? SPAN_PREFILL : SPAN_DECODE,
            .n_tokens = n_tokens,
            .tokens = tokens[slot],
            .n_logits_rows = 1,
            .inverse_temperature = 1,
        };
        lengths[slot] += n_tokens;
    }
    return n;
}

static void run_steps(const struct engine *engine) {
    int64_t lengths[SLOTS] = {0};
    for (uint64_t step = 0; step < STEPS; step++) {
        int32_t freed[SLOTS], n_freed = 0, tokens[SLOTS][16];
        for (int32_t slot = 0; slot < SLOTS; slot++) {
            if (lengths[slot] < RESTART_AT) continue;
            freed[n_freed++] = slot;
            lengths[slot] = 0;
        }
        struct step_span spans[SLOTS];
        const int32_t n = plan_slots(step, lengths, tokens, spans);
        const struct step_plan plan = {.kind = STEP_COMPUTE,
                                       .n_candidates = 3,
                                       .n_spans = n,
                                       .spans = spans,
                                       .n_freed_slots = n_freed,
                                       .freed_slots = freed};
        const struct step_result *result;
        CHECK(engine->step(engine->self, &plan, &result) == STATUS_OK);
        CHECK(result->n_rows == n);
        for (int32_t i = 0; i < n; i++)
            CHECK(result->rows[i].finite && result->rows[i].n_candidates == 3);
    }
    const int32_t all[SLOTS] = {0, 1, 2, 3};
    const struct step_plan end = {
        .kind = STEP_COMPUTE, .n_candidates = 1, .n_freed_slots = SLOTS, .freed_slots = all};
    const struct step_result *result;
    CHECK(engine->step(engine->self, &end, &result) == STATUS_OK);
}

int main(int argc, char **argv) {
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK) return 1;
    const struct engine_config config = fixture_config("lessismore", 32);
    struct worker *worker = fixture_open(comm, &config);
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        run_steps(&engine);
    }
    CHECK(kv_cache_bytes_in_use(worker->cache) == 0);
    fixture_close(comm, worker);
    if (comm_rank(comm) == 0) printf("%d steps, sealed\n", STEPS);
    comm_close(comm);
    return 0;
}
