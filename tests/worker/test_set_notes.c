/* What the ranks say a step attended to, against the policies' own lists and what must hold of any list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "tests/worker/engine_fixture.h"
#include "worker/worker_impl.h"

enum { N_PROMPT = 20, N_TOKENS = 120, BUDGET = 32 };

static void make_tokens(int32_t tokens[N_TOKENS]) {
    for (int32_t i = 0; i < N_TOKENS; i++)
        tokens[i] = 3 + (i * i * 7 + i) % 500;
}

/* Ascending, none twice, none from the future. */
static void check_set(const struct attended_set *set, int64_t n_cached) {
    CHECK(set->n_tokens >= 1 && set->n_tokens <= n_cached);
    for (int64_t i = 0; set->tokens && i < set->n_tokens; i++)
        CHECK(set->tokens[i] < n_cached && set->tokens[i] >= (i > 0 ? set->tokens[i - 1] + 1 : 0));
}

static bool holds(const struct attended_set *set, int64_t token) {
    if (!set->tokens) return token < set->n_tokens;
    for (int64_t i = 0; i < set->n_tokens; i++)
        if (set->tokens[i] == token) return true;
    return false;
}

/* The set of rank 0's KV head is the union of its query heads' lists, as the policy has them for the last
 * layer. */
static void check_union(const struct worker *worker, const struct step_trace *trace, int32_t slot,
                        int32_t kv_head) {
    const int32_t layer = trace->n_layers - 1, group = worker->shard->n_heads / worker->shard->n_kv_heads;
    const struct attended_set *set = &trace->sets[layer * trace->n_kv_heads + kv_head];
    static bool expected[N_TOKENS];
    memset(expected, 0, sizeof expected);
    for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        const struct kv_set list = kv_policy_attended(worker->policy, slot, layer, trace->n_cached, head);
        for (int64_t i = 0; i < list.n_tokens; i++)
            expected[list.tokens ? list.tokens[i] : i] = true;
    }
    for (int64_t token = 0; token < trace->n_cached; token++)
        CHECK(holds(set, token) == expected[token]);
}

static const struct step_trace *ask(const struct engine *engine) {
    const struct step_trace *trace;
    CHECK(engine->trace(engine->self, &trace) == STATUS_OK);
    return trace;
}

static const struct step_trace *decode(const struct engine *engine, const int32_t *tokens, int64_t position) {
    const struct step_result *result;
    CHECK(fixture_step(engine, SPAN_DECODE, position, tokens + position, 1, &result) == STATUS_OK);
    return ask(engine);
}

static void check_policy(const struct engine *engine, const struct worker *worker) {
    int32_t tokens[N_TOKENS];
    const struct step_result *result;
    make_tokens(tokens);
    CHECK(ask(engine)->n_cached == 0);
    CHECK(fixture_step(engine, SPAN_PREFILL, 0, tokens, N_PROMPT, &result) == STATUS_OK);
    CHECK(ask(engine)->n_cached == 0 && !ask(engine)->sets); /* no decode token was there */
    bool some_sparse = false;
    for (int32_t i = N_PROMPT; i < N_TOKENS; i++) {
        const struct step_trace *trace = decode(engine, tokens, i);
        CHECK(trace->n_cached == i + 1 && trace->n_layers == 5 && trace->n_kv_heads == 4);
        for (int32_t pair = 0; pair < 20; pair++) {
            check_set(&trace->sets[pair], i + 1);
            some_sparse |= trace->sets[pair].n_tokens < i + 1;
        }
        for (int32_t head = 0; head < worker->shard->n_kv_heads; head++)
            check_union(worker, trace, 0, head);
    }
    /* Others may have nothing to leave out of so few tokens. */
    const char *policy = worker->config.policy;
    if (strcmp(policy, "lessismore") == 0 || strcmp(policy, "quest") == 0 || strcmp(policy, "streaming") == 0)
        CHECK(some_sparse);
    if (strcmp(policy, "full") == 0) CHECK(!some_sparse);
}

/* The last decode span of several is the one that is told of. */
static void check_several(const struct engine *engine) {
    int32_t tokens[N_TOKENS];
    const struct step_result *result;
    make_tokens(tokens);
    ask(engine);
    for (int32_t slot = 0; slot < 2; slot++) {
        const struct step_span span = {slot, 0, SPAN_PREFILL, 10 + slot, tokens, 1, NULL, 1};
        const struct step_plan plan = {.kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = 1, .spans = &span};
        CHECK(engine->step(engine->self, &plan, &result) == STATUS_OK);
    }
    const struct step_span spans[] = {{1, 11, SPAN_DECODE, 1, tokens, 1, NULL, 1},
                                      {0, 10, SPAN_DECODE, 1, tokens, 1, NULL, 1},
                                      {2, 0, SPAN_PREFILL, 5, tokens, 1, NULL, 1}};
    const struct step_plan plan = {.kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = 3, .spans = spans};
    CHECK(engine->step(engine->self, &plan, &result) == STATUS_OK);
    CHECK(ask(engine)->n_cached == 11);
}

static void check_window(const struct engine *engine) {
    int32_t tokens[N_TOKENS];
    const struct step_result *result;
    make_tokens(tokens);
    int64_t n_attended = 0;
    ask(engine);
    CHECK(fixture_step(engine, SPAN_PREFILL, 0, tokens, N_PROMPT, &result) == STATUS_OK);
    for (int32_t i = N_PROMPT; i < N_TOKENS; i++) {
        CHECK(fixture_step(engine, SPAN_DECODE, i, tokens + i, 1, &result) == STATUS_OK);
        CHECK(result->attended_tokens == (i < 24 ? i + 1 : 24));
        n_attended += result->attended_tokens * 5 * 8; /* layers, query heads */
        const struct step_trace *trace = ask(engine);
        for (int32_t pair = 0; pair < 20; pair++) {
            CHECK(trace->sets[pair].n_tokens == 24 || trace->sets[pair].n_tokens == i + 1);
            CHECK(holds(&trace->sets[pair], i) && holds(&trace->sets[pair], i - 23) == (i >= 23));
            CHECK(i < 24 || !holds(&trace->sets[pair], i - 24));
        }
    }
    const struct slot_report *slots;
    CHECK(engine->report_slots(engine->self, &slots) == STATUS_OK);
    CHECK(slots[0].n_decoded == N_TOKENS - N_PROMPT && slots[0].attended_tokens == n_attended);
}

enum what { POLICY, SEVERAL, WINDOW };

static void run(struct comm *comm, const char *policy, enum what what) {
    struct engine_config config = fixture_config(policy, BUDGET);
    if (what == WINDOW) config.sliding_window = 24;
    struct worker *worker = fixture_open(comm, &config);
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        if (what == POLICY) check_policy(&engine, worker);
        if (what == SEVERAL) check_several(&engine);
        if (what == WINDOW) check_window(&engine);
    }
    fixture_close(comm, worker);
}

int main(int argc, char **argv) {
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK) return 1;
    for (int i = 0; kv_policy_name(i); i++)
        run(comm, kv_policy_name(i), POLICY);
    run(comm, "full", SEVERAL);
    run(comm, "full", WINDOW);
    if (comm_rank(comm) == 0) puts("what was attended to is told");
    comm_close(comm);
    return 0;
}
