/* modelfile/model_spec.h - what a model's configuration says, whichever file said it.
 *
 * Filled from a Hugging Face config.json (both spellings) or from GGUF metadata; every field is checked
 * to be in a sane range before anyone computes with it.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum model_architecture {
    MODEL_LLAMA,
    MODEL_MISTRAL,
    MODEL_QWEN2,
    MODEL_QWEN3,
    MODEL_QWEN3_MOE,
};

/* ROPE_FACTORS: GGUF files hold Llama 3's scaling ready-made, a divisor for every frequency, in the tensor
 * of role TENSOR_ROPE_FACTORS. */
enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_FACTORS };

/* Rotary position embedding, with transformers' names (modeling_rope_utils.py). */
struct rope_spec {
    enum rope_scaling scaling;
    double theta;            /* base */
    double factor;           /* linear, llama3, yarn */
    double low_freq_factor;  /* llama3 */
    double high_freq_factor; /* llama3 */
    double original_context; /* llama3, yarn: original_max_position_embeddings */
    double beta_fast;        /* yarn, 32 unless said */
    double beta_slow;        /* yarn, 1 unless said */
    double attention_factor; /* yarn: multiplies cos and sin; resolved from mscale or 0.1 ln(factor) + 1 */
    bool truncate;           /* yarn: round the correction range to whole dimensions, true unless said */
};

/* What generation_config.json advises for sampling: NAN or -1 where it says nothing. */
struct generation_defaults {
    bool do_sample; /* false: greedy */
    double temperature;
    double top_p;
    double min_p;
    double repetition_penalty;
    int32_t top_k; /* 0: off */
};

enum { MODEL_MAX_EOS = 16, MODEL_NAME_MAX = 128 };

struct model_spec {
    char name[MODEL_NAME_MAX];
    enum model_architecture architecture;
    int32_t n_layers;
    int32_t hidden_size;
    int32_t n_heads;    /* query heads, H */
    int32_t n_kv_heads; /* G; H is a multiple of G */
    int32_t head_dim;   /* D, even */
    int32_t mlp_size;   /* intermediate_size; 0 where every layer is a mixture of experts */
    int32_t vocab_size;
    int32_t context_length; /* positions it was made for; with YaRN those of the stretched context */
    int32_t sliding_window; /* tokens a query sees, itself included; 0: all */
    float rms_norm_eps;
    bool tied_embeddings; /* the output matrix is the embedding matrix */
    bool attention_bias;  /* biases on q, k, v */
    bool output_bias;     /* bias on the attention output projection (Llama's attention_bias) */
    bool qk_norm;         /* RMS norm of each q and k head before RoPE */
    struct rope_spec rope;

    int32_t n_experts;      /* 0: dense */
    int32_t n_experts_used; /* experts per token */
    int32_t expert_size;    /* moe_intermediate_size */
    bool norm_topk_prob;    /* router weights of the chosen experts are scaled to sum to 1 */

    int32_t bos_id; /* -1: none */
    int32_t n_eos;
    int32_t eos_ids[MODEL_MAX_EOS]; /* from generation_config.json too */
    struct generation_defaults generation;
};

const char *model_architecture_name(enum model_architecture architecture);
