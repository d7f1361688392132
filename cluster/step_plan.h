/* cluster/step_plan.h - what rank 0 tells all ranks to do next, and what they answer.
 *
 * A plan carries any number of sequences: prefill chunks and decode tokens mixed. Each sequence lives in
 * a slot; a span appends its tokens to the slot's cached ones. On the wire a plan is protobuf
 * (step_plan.proto), versioned and numbered; it is checked against the limits before anybody acts on it.
 *
 * Memory:  a plan borrows its arrays; what step_plan_receive fills lives in the receiver until the next call.
 * Threads: one at a time.
 * Ranks:   see each function. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/comm.h"

enum { STEP_PLAN_VERSION = 1 };

enum step_kind {
    STEP_COMPUTE, /* run the spans, after freeing the slots listed */
    STEP_LOGITS,  /* gather the whole logits row `logits_row` of the last compute step on rank 0 */
    STEP_STOP,    /* leave the serving loop */
    STEP_FILL,    /* `fill` a slot with random keys and values, as if so many tokens had been read */
    STEP_READ,    /* all threads of all ranks read memory at once, to see how fast that is */
    STEP_REPORT,  /* gather every rank's rank_report on rank 0 */
    STEP_SLOTS,   /* gather every rank's slot_reports there */
    STEP_PROBE,   /* gather what the probe saw of `probe_slot` there */
    STEP_TRACE,   /* gather there what the last compute step attended to; the first begins the noting */
};

enum span_phase {
    SPAN_PREFILL, /* dense, whatever the policy */
    SPAN_DECODE,  /* token by token under the policy */
};

struct step_span {
    int32_t slot;
    int64_t first_position; /* tokens the slot holds already */
    enum span_phase phase;  /* a decode span has exactly one token */
    int32_t n_tokens;
    const int32_t *tokens;      /* [n_tokens] */
    int32_t n_logits_rows;      /* the last so many tokens of the span give a row of logits each */
    const int32_t *targets;     /* [n_logits_rows] token whose logit is wanted with the row; NULL: none */
    double inverse_temperature; /* for logits_row.sum_exp_scaled; 1 where unused */
};

/* The slot is freed first. Values depend on seed, layer, KV head and token alone. */
struct step_fill {
    int32_t slot;
    int64_t n_tokens; /* 1…context_length */
    uint64_t seed;
};

struct step_plan {
    uint64_t number; /* 0, 1, 2, …: a gap or repeat is refused */
    enum step_kind kind;
    int32_t n_candidates; /* best tokens returned per logits row, 1…STEP_MAX_CANDIDATES */
    int32_t logits_row;   /* STEP_LOGITS: index into the rows of the last compute step */
    int32_t n_spans;
    const struct step_span *spans;
    int32_t n_freed_slots;
    const int32_t *freed_slots;
    struct step_fill fill; /* STEP_FILL; zero otherwise */
    int32_t probe_slot;    /* STEP_PROBE: a slot, -1: all together; zero otherwise */
};

enum { STEP_MAX_CANDIDATES = 256, STEP_MAX_SLOTS = 4096, STEP_MAX_TOKENS = 1 << 20 };

/* What a plan may ask for at most; a receiver refuses more. */
struct step_limits {
    int32_t max_slots;  /* 1…STEP_MAX_SLOTS */
    int32_t max_tokens; /* of all spans together, 1…STEP_MAX_TOKENS */
    int32_t vocab_size;
    int64_t context_length;
};

struct candidate {
    int32_t token;
    float logit;
};

/* One row of logits, as much of it as sampling and scoring need. */
struct logits_row {
    int64_t position;                   /* of the token whose successor this row predicts */
    int32_t n_candidates;               /* sorted: larger logit first, then smaller id */
    const struct candidate *candidates; /* [n_candidates] the best of the whole vocabulary */
    float max_logit;
    double sum_exp;        /* sum over the vocabulary of exp(logit - max_logit) */
    double sum_exp_scaled; /* … of exp((logit - max_logit) * inverse_temperature) */
    float target_logit;    /* of targets[i]; NaN where none was asked for */
    bool finite;           /* false: the row holds NaN or infinity, or the exact sums overflowed */
};

struct step_times { /* seconds, rank 0's clock */
    double compute;
    double sync;   /* waiting in the collectives of tensor parallelism */
    double select; /* proposing, agreeing, taking */
    double agree;  /* of these: begin of the agreement, and what was left to wait for at its end */
};

/* One rank's memory, and what its decode steps have read of it since the last report. A step that also reads
 * a prompt counts for nothing. */
struct rank_report {
    int64_t resident_bytes; /* of the process */
    int64_t weight_bytes;
    int64_t kv_bytes; /* of pages in use */
    int64_t weight_bytes_read;
    int64_t kv_bytes_read; /* keys and values attended to */
};

/* What one slot's sequence costs. */
struct slot_report {
    int64_t kv_bytes;        /* of pages in use */
    int64_t n_decoded;       /* decode steps since the slot was freed … */
    int64_t attended_tokens; /* … and tokens whose values they read, summed over layers and query heads */
};

/* How much of dense attention sets of tokens cover (engine_config.probe): sums over n_steps decode tokens of
 * the mean over all query heads. */
struct step_probe {
    int64_t n_steps;
    int32_t n_layers;
    int32_t n_sets;       /* PROBE_RECALL: 1; PROBE_MATRIX: n_layers */
    const double *recall; /* [n_sets, n_layers] the share covered, from 0 to 1 */
    const double *peak;   /* likewise: 1 less the largest share that falls on a single token not in the set */
    const double *sparse; /* [n_layers] the share of heads whose set did not hold all tokens */
};

struct step_result {
    int32_t n_rows; /* in plan order */
    const struct logits_row *rows;
    struct step_times times;
    int64_t attended_tokens; /* by the last decode span, in a sparse layer; its cached tokens under `full` */
};

/* What one KV head of one layer attended to. */
struct attended_set {
    const int32_t *tokens; /* [n_tokens] positions, ascending; NULL: the first n_tokens of them */
    int64_t n_tokens;
};

/* What the last decode span of a compute step attended to; all zero without such a span. */
struct step_trace {
    int64_t n_cached; /* tokens, the span's own included */
    int32_t n_layers;
    int32_t n_kv_heads;              /* of all ranks */
    const struct attended_set *sets; /* [n_layers, n_kv_heads] */
};

/* Local. Whether every rank may act on the plan: `expected_number` is the number it must carry. What is out
 * of limits or contradicts itself is STATUS_INTERNAL with a sentence, as it is the scheduler's fault. */
NODISCARD enum status step_plan_check(const struct step_plan *plan, const struct step_limits *limits,
                                      uint64_t expected_number);

/* Local. Rows of logits that the plan asks for. */
int32_t step_plan_rows(const struct step_plan *plan);

struct step_channel; /* carries plans from rank 0 to all ranks */

NODISCARD enum status step_channel_create(struct comm *comm, struct step_limits limits,
                                          struct step_channel **channel_out);
void step_channel_destroy(struct step_channel *channel);

/* Collective with step_plan_receive on the other ranks. Rank 0 only. A plan that the others would refuse is
 * refused here, and nothing is sent. Cost: one broadcast of 1 KiB, a second where the plan is longer. */
NODISCARD enum status step_plan_send(struct step_channel *channel, const struct step_plan *plan);

/* Collective. The other ranks. A plan that is malformed, out of limits or out of order: STATUS_INTERNAL, and
 * the channel cannot be used again. Waiting takes little processor time. */
NODISCARD enum status step_plan_receive(struct step_channel *channel, const struct step_plan **plan_out);

/* The two halves that do not communicate, for tests and fuzzing. Local. Encoding does not check, but decoding
 * does: it accepts the one encoding that a plan has and no other. *plan_out points into memory that
 * step_plan_free gives back. */
struct bytes;
NODISCARD enum status step_plan_encode(const struct step_plan *plan, struct bytes *wire_out);
NODISCARD enum status step_plan_decode(const void *wire, size_t size, const struct step_limits *limits,
                                       uint64_t expected_number, struct step_plan **plan_out);
void step_plan_free(struct step_plan *plan);
