/* tests/coordinator/fake_engine.h - an engine without a model. It checks every plan as a rank would,
 * remembers it, and answers with rows of logits that are a hash of all tokens in the slot: a token that is
 * missing, repeated or left over from another sequence changes every row after it. */
#pragma once

#include <stdbool.h>

#include "cluster/engine.h"

enum {
    FAKE_SLOTS = 4,
    FAKE_TOKENS = 64,
    FAKE_CONTEXT = 512,
    FAKE_VOCAB = 512,
    FAKE_PLANS = 2048,
    FAKE_FILLS = 16
};

struct fake_plan { /* what a step was asked for; spans[i].tokens is not kept */
    int32_t n_candidates;
    int32_t n_spans;
    struct step_span spans[FAKE_SLOTS];
    int32_t n_freed;
    int32_t freed[FAKE_SLOTS];
};

struct fake_engine {
    struct engine engine; /* limits may be lowered before use */

    const int32_t *script; /* [n_script] by far the likeliest tokens after the first script_from ones */
    int32_t n_script;
    int32_t script_from;
    float spread;        /* logits are between 0 and this; a scripted one lies 50 above */
    bool all_candidates; /* whole rows, however few were asked for */
    bool fail_next;      /* the next step is refused, as a plan that cannot be sent is */

    struct fake_plan plans[FAKE_PLANS];
    int32_t n_plans;

    struct step_fill fills[FAKE_FILLS];
    int32_t n_fills;
    int32_t n_memory_reads; /* the first says 10 bytes a second, the next 20, … */
    int32_t n_reports;      /* see the end of this file */
    int64_t n_decode_steps; /* since the last report */
    struct rank_report reports[2];
    struct slot_report slot_reports[FAKE_SLOTS];

    uint64_t number; /* of the next plan, fetches included */
    int32_t tokens[FAKE_SLOTS][FAKE_CONTEXT];
    int32_t n_tokens[FAKE_SLOTS];
    float logits[FAKE_TOKENS][FAKE_VOCAB];
    struct candidate candidates[FAKE_TOKENS][FAKE_VOCAB];
    struct logits_row rows[FAKE_TOKENS];
    struct step_result result;
};

/* Never NULL. */
struct fake_engine *fake_engine_create(void);
void fake_engine_destroy(struct fake_engine *fake);

/* The row [FAKE_VOCAB] that follows these tokens. */
void fake_engine_logits(const struct fake_engine *fake, const int32_t *tokens, int32_t n, float *logits);

/* Each step says it took 1 s computing, 2 s in sync and 4 s selecting, and that its last decode span attended
 * to half of its tokens. */
/* A report says: rank 0 has 1,000 bytes resident, of them 600 weights and 100 KV; rank 1 900, 400 and 50.
 * Since the report before, each has read 7 bytes of weights and 3 of keys and values per decode span. */
