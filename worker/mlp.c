#include "worker/mlp.h"

#include <math.h>
#include <string.h>

#include "worker/threads.h"

struct choice {
    int32_t expert;
    float weight;
};

struct mlp {
    const struct model_shard *shard;
    const struct kernels *kernels;
    struct linear *linear;
    float *gate; /* [max_tokens, columns of this rank] */
    float *up;

    /* Mixture of experts only. */
    float *router;          /* [max_tokens, n_experts]: logits, then weights; 0: not chosen */
    struct choice *choices; /* [n_experts_used] of the token being routed */
    float *rows_x;          /* [max_tokens, hidden_size] the tokens of one expert */
    float *rows_weight;
    int32_t *rows;
};

static enum status create_mixture(const struct model_spec *spec, size_t max_tokens, struct arena *memory,
                                  struct mlp *mlp) {
    TRY(ARENA_TAKE(memory, max_tokens * (size_t)spec->n_experts, &mlp->router));
    TRY(ARENA_TAKE(memory, (size_t)spec->n_experts_used, &mlp->choices));
    TRY(ARENA_TAKE(memory, max_tokens * (size_t)spec->hidden_size, &mlp->rows_x));
    TRY(ARENA_TAKE(memory, max_tokens, &mlp->rows_weight));
    return ARENA_TAKE(memory, max_tokens, &mlp->rows);
}

enum status mlp_create(const struct model_shard *shard, struct linear *linear, int32_t max_tokens,
                       struct arena *memory, struct mlp **mlp_out) {
    const struct model_spec *spec = shard->spec;
    struct mlp *mlp;
    TRY(ARENA_TAKE(memory, 1, &mlp));
    mlp->shard = shard;
    mlp->kernels = shard->kernels;
    mlp->linear = linear;
    const int64_t columns = spec->n_experts > 0 ? shard->expert_size_local : shard->mlp_size_local;
    TRY(ARENA_TAKE(memory, (size_t)max_tokens * (size_t)columns, &mlp->gate));
    TRY(ARENA_TAKE(memory, (size_t)max_tokens * (size_t)columns, &mlp->up));
    if (spec->n_experts > 0) TRY(create_mixture(spec, (size_t)max_tokens, memory, mlp));
    *mlp_out = mlp;
    return STATUS_OK;
}

/* gate = silu(gate x) * up x; x and rows as linear_input's. */
static void gate_and_up(struct mlp *mlp, const struct mlp_shard *weights, const float *x, int32_t n_tokens,
                        const int32_t *rows) {
    if (weights->gate.rows == 0) return;
    linear_input(mlp->linear, x, weights->gate.cols, n_tokens, rows);
    linear_run(mlp->linear, (struct linear_product[]){{&weights->gate, mlp->gate}, {&weights->up, mlp->up}},
               2);
    const int64_t columns = weights->gate.rows;
#pragma omp parallel for if (threads_worthwhile(n_tokens * columns))
    for (int32_t token = 0; token < n_tokens; token++)
        mlp->kernels->silu_mul(mlp->gate + token * columns, mlp->up + token * columns, columns);
}

/* weights [n_experts] in; out, the weight of the chosen experts and 0 elsewhere. */
static void keep_best_experts(const struct model_spec *spec, struct choice *choices, float *weights) {
    float total = 0;
    for (int32_t k = 0; k < spec->n_experts_used; k++) {
        int32_t best = 0;
        for (int32_t expert = 1; expert < spec->n_experts; expert++)
            if (weights[expert] > weights[best]) best = expert;
        choices[k] = (struct choice){.expert = best, .weight = weights[best]};
        total += weights[best];
        weights[best] = -1; /* below every probability: not chosen again */
    }
    memset(weights, 0, (size_t)spec->n_experts * sizeof *weights);
    if (!isfinite(total)) { /* a broken token stays visibly broken */
        weights[0] = NAN;
        return;
    }
    for (int32_t k = 0; k < spec->n_experts_used; k++)
        weights[choices[k].expert] = spec->norm_topk_prob ? choices[k].weight / total : choices[k].weight;
}

/* logits [n_experts] -> softmax, in place. Replicated: every rank computes the same. */
static void softmax(const struct kernels *kernels, float *logits, int64_t n) {
    float max, sum;
    kernels->exp_sum(logits, n, 1, &max, &sum);
    for (int64_t i = 0; i < n; i++)
        logits[i] -= max;
    kernels->exp(logits, n, logits);
    for (int64_t i = 0; i < n; i++)
        logits[i] /= sum;
}

static void route(struct mlp *mlp, const struct layer_shard *layer, const float *x, int32_t n_tokens) {
    const struct model_spec *spec = mlp->shard->spec;
    linear_input(mlp->linear, x, layer->router.cols, n_tokens, NULL);
    linear_run_replicated(mlp->linear, &(struct linear_product){&layer->router, mlp->router});
    for (int32_t token = 0; token < n_tokens; token++) {
        float *weights = mlp->router + (int64_t)token * spec->n_experts;
        softmax(mlp->kernels, weights, spec->n_experts);
        keep_best_experts(spec, mlp->choices, weights);
    }
}

/* Copies the tokens routed to the expert together; returns how many. */
static int32_t gather_rows(struct mlp *mlp, int32_t expert, const float *x, int32_t n_tokens) {
    const struct model_spec *spec = mlp->shard->spec;
    const int64_t hidden = spec->hidden_size;
    int32_t n = 0;
    for (int32_t token = 0; token < n_tokens; token++) {
        const float weight = mlp->router[(int64_t)token * spec->n_experts + expert];
        if (weight == 0) continue;
        mlp->rows[n] = token;
        mlp->rows_weight[n] = weight;
        memcpy(mlp->rows_x + n * hidden, x + token * hidden, (size_t)hidden * sizeof(float));
        n++;
    }
    return n;
}

static void run_mixture(struct mlp *mlp, const struct layer_shard *layer, const float *x, int32_t n_tokens,
                        struct residual *residual) {
    route(mlp, layer, x, n_tokens);
    for (int32_t expert = 0; expert < mlp->shard->spec->n_experts; expert++) {
        const struct mlp_shard *weights = &layer->experts[expert];
        const int32_t n = gather_rows(mlp, expert, x, n_tokens);
        if (n == 0) continue;
        gate_and_up(mlp, weights, mlp->rows_x, n, mlp->rows);
        residual_add_scaled(residual, &weights->down, mlp->shard->map.expert_block, mlp->gate,
                            mlp->rows_weight, mlp->rows, n);
    }
}

void mlp_run(struct mlp *mlp, const struct layer_shard *layer, const float *x, int32_t n_tokens,
             struct residual *residual) {
    if (layer->experts) {
        run_mixture(mlp, layer, x, n_tokens, residual);
        return;
    }
    gate_and_up(mlp, &layer->mlp, x, n_tokens, NULL);
    residual_add_product(residual, &layer->mlp.down, 0, mlp->shard->map.mlp_block, mlp->gate);
}
