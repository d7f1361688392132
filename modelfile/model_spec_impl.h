/* modelfile/model_spec_impl.h - what the readers of config.json and of GGUF metadata share: names,
 * counts with their bounds, and the checks across fields.
 *
 * Memory:  plain data and constant tables.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "modelfile/model_spec.h"

enum sliding_window_rule {
    WINDOW_NEVER,   /* transformers' class has no such thing */
    WINDOW_IF_SET,  /* sliding_window holds unless null */
    WINDOW_IF_USED, /* only with use_sliding_window, from layer max_window_layers on */
    WINDOW_ALL,     /* only with use_sliding_window, then in every layer */
};

/* What transformers' classes decide by their type rather than by a field. */
struct architecture_traits {
    const char *model_type; /* config.json */
    const char *gguf_name;  /* general.architecture; NULL: shares another's */
    bool mixture_of_experts;
    bool qk_norm;
    bool qkv_bias;            /* always */
    bool bias_by_option;      /* attention_bias puts biases on q, k, v and the output */
    bool interleaved_gguf;    /* q and k rows of each head are interleaved in GGUF */
    int32_t default_head_dim; /* 0: hidden_size / heads */
    enum sliding_window_rule window;
};

const struct architecture_traits *architecture_traits(enum model_architecture architecture);

enum { N_ARCHITECTURES = MODEL_QWEN3_MOE + 1 };

enum count_need {
    COUNT_REQUIRED,
    COUNT_OPTIONAL,
    COUNT_DENSE,  /* required, but only read for models without experts */
    COUNT_EXPERT, /* required, but only read for mixtures of experts */
};

/* A count that both formats state, and the range in which it makes sense. */
struct spec_count {
    const char *config_key;
    const char *config_key_5; /* transformers 5's spelling where it differs */
    const char *gguf_key;     /* after "llama." */
    size_t offset;            /* of the int32_t in struct model_spec */
    int32_t min, max;
    enum count_need need;
};

enum { N_SPEC_COUNTS = 11 };
const struct spec_count *spec_count_at(int index);

/* Whether `count` is read (and, where *required, must be there) for this architecture. */
bool spec_count_applies(const struct spec_count *count, enum model_architecture architecture, bool *required);
int32_t *spec_count_field(const struct spec_count *count, struct model_spec *spec);

/* Copies text from a file for messages: cut to fit, NUL-terminated, '?' for what is not printable. */
void model_text_copy(const char *text, size_t size, char *copy, size_t copy_size);

/* A spec in which nothing was said yet. */
struct model_spec model_spec_empty(void);

/* Adds an end-of-sequence id unless it is there already. `source` is the file, for the sentence. */
NODISCARD enum status model_spec_add_eos(struct model_spec *spec, const char *source, int32_t id);

/* Fills in what may be left out (KV heads, head_dim) and checks what no single field can show. */
NODISCARD enum status model_spec_complete(struct model_spec *spec, const char *source);

/* YaRN's attention factor where none is given (Peng et al., arXiv 2309.00071, 3.4). */
double yarn_mscale(double factor, double mscale);

/* With YaRN the context is as long as the stretched original. */
void model_spec_stretch_context(struct model_spec *spec);
