/* Filling a slot through the engine, and the bytes and tokens that reports say were read, against arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "tests/worker/engine_fixture.h"

/* stories260K, all f32 */
enum {
    LAYERS = 5,
    HIDDEN = 64,
    HEADS = 8,
    KV_HEADS = 4,
    HEAD_DIM = 8,
    KV = KV_HEADS * HEAD_DIM,
    MLP = 172,
    VOCAB = 512
};
enum { DEPTH = 200, BUDGET = 32, ROW_BYTES = HEAD_DIM * 4 };

/* Norms are on every rank, matrices are dealt. */
static int64_t expected_weights(int64_t n_ranks) {
    const int64_t matrices =
        LAYERS * (2 * HIDDEN * HIDDEN + 2 * KV * HIDDEN + 3 * MLP * HIDDEN) + VOCAB * HIDDEN;
    return 4 * (matrices + n_ranks * (2 * LAYERS + 1) * HIDDEN);
}

struct totals {
    int64_t weights, weights_read, kv_bytes, kv_read;
};

static struct totals take_totals(const struct engine *engine) {
    const struct rank_report *reports;
    CHECK(engine->report(engine->self, &reports) == STATUS_OK);
    struct totals totals = {0};
    for (int32_t rank = 0; rank < engine->n_ranks; rank++) {
        CHECK(reports[rank].resident_bytes > reports[rank].weight_bytes + reports[rank].kv_bytes);
        totals.weights += reports[rank].weight_bytes;
        totals.weights_read += reports[rank].weight_bytes_read;
        totals.kv_bytes += reports[rank].kv_bytes;
        totals.kv_read += reports[rank].kv_bytes_read;
    }
    return totals;
}

static float decode_at(const struct engine *engine, int64_t position) {
    static const int32_t token = 9;
    const struct step_result *result;
    CHECK(fixture_step(engine, SPAN_DECODE, position, &token, 1, &result) == STATUS_OK);
    CHECK(result->rows[0].finite);
    return result->rows[0].max_logit;
}

static void expect_nothing_read(const struct engine *engine) {
    const struct totals totals = take_totals(engine);
    CHECK(totals.weights_read == 0 && totals.kv_read == 0);
}

/* All slots' pages, and what the decode steps of slot 0 read since it was filled. */
static void check_slots(const struct engine *engine, int64_t n_decoded, int64_t attended) {
    const struct totals totals = take_totals(engine);
    const struct slot_report *slots;
    CHECK(engine->report_slots(engine->self, &slots) == STATUS_OK);
    CHECK(slots[0].kv_bytes >= 2L * LAYERS * KV_HEADS * ROW_BYTES * DEPTH);
    int64_t kv_bytes = 0;
    for (int32_t slot = 0; slot < engine->limits.max_slots; slot++) {
        CHECK(slots[slot].n_decoded == (slot == 0 ? n_decoded : 0));
        CHECK(slots[slot].attended_tokens == (slot == 0 ? attended : 0));
        kv_bytes += slots[slot].kv_bytes;
    }
    CHECK(kv_bytes == totals.kv_bytes);
}

static void check_fill(const struct engine *engine, bool sparse) {
    const struct step_fill fill = {.slot = 0, .n_tokens = DEPTH, .seed = 3};
    CHECK(engine->fill_kv(engine->self, fill) == STATUS_OK);
    const struct totals filled = take_totals(engine);
    CHECK(filled.weights == expected_weights(engine->n_ranks));
    CHECK(filled.kv_bytes >= 2L * LAYERS * KV_HEADS * ROW_BYTES * DEPTH);
    CHECK(filled.weights_read == 0 && filled.kv_read == 0);

    /* Layers 0, 1 and the selecting 2 are dense under either policy. */
    const float logit = decode_at(engine, DEPTH);
    const struct totals decoded = take_totals(engine);
    const int64_t n_dense = sparse ? 3 : LAYERS;
    const int64_t tokens_read = n_dense * (DEPTH + 1) + (LAYERS - n_dense) * BUDGET;
    CHECK(decoded.kv_read == 2 * tokens_read * KV_HEADS * ROW_BYTES);
    check_slots(engine, 1, tokens_read * HEADS);
    CHECK(decoded.weights_read == expected_weights(engine->n_ranks) + engine->n_ranks * HIDDEN * 4);
    expect_nothing_read(engine);

    /* The same seed, the same bits; another, others. */
    CHECK(engine->fill_kv(engine->self, fill) == STATUS_OK);
    check_slots(engine, 0, 0);
    CHECK(decode_at(engine, DEPTH) == logit);
    CHECK(engine->fill_kv(engine->self, (struct step_fill){0, DEPTH, 4}) == STATUS_OK);
    CHECK(decode_at(engine, DEPTH) != logit);
    (void)take_totals(engine);

    /* What a prompt reads is not counted. */
    static const int32_t tokens[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct step_result *result;
    CHECK(fixture_step(engine, SPAN_PREFILL, DEPTH, tokens, 8, &result) == STATUS_OK);
    expect_nothing_read(engine);
}

/* Refused before anything is sent, so that the engine goes on. */
static void check_refusals(const struct engine *engine) {
    const int64_t context = engine->limits.context_length;
    CHECK(engine->fill_kv(engine->self, (struct step_fill){0, context + 1, 0}) == STATUS_INTERNAL);
    CHECK(engine->fill_kv(engine->self, (struct step_fill){4, 1, 0}) == STATUS_INTERNAL);
    CHECK(engine->fill_kv(engine->self, (struct step_fill){3, context, 0}) == STATUS_OK);
}

static void check_memory_read(const struct engine *engine) {
    double rate = 0;
    CHECK(engine->read_memory(engine->self, &rate) == STATUS_OK);
    CHECK(rate > 1e6);
}

static void run(struct comm *comm, const char *policy, bool sparse) {
    const struct engine_config config = fixture_config(policy, BUDGET);
    struct worker *worker = fixture_open(comm, &config);
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        check_refusals(&engine);
        check_fill(&engine, sparse);
        check_memory_read(&engine);
    }
    fixture_close(comm, worker);
}

int main(int argc, char **argv) {
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK) return 1;
    run(comm, "full", false);
    run(comm, "lessismore", true);
    if (comm_rank(comm) == 0) puts("filled, counted");
    comm_close(comm);
    return 0;
}
