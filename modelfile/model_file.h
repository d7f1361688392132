/* modelfile/model_file.h - a model on disk: its configuration and where each tensor lies.
 *
 * Opens a Hugging Face folder (config.json, generation_config.json, one or many safetensors) or a GGUF
 * v2/v3 file, and checks everything a later read relies on: header lengths, offsets, overlaps, shapes
 * against the configuration, element types. Tensors are found by role, never by name.
 *
 * Shapes:  matrices are [rows, cols], row-major, y = W x; vectors are [1, cols].
 * Memory:  the model_file owns descriptors and tables; nothing of a tensor's data is kept.
 * Threads: reads from several threads at once are fine.
 * Ranks:   local; each rank opens the files itself and reads only what it owns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "modelfile/model_spec.h"

struct gguf;

enum tensor_role {
    TENSOR_TOKEN_EMBEDDING, /* [vocab_size, hidden_size] */
    TENSOR_OUTPUT,          /* [vocab_size, hidden_size]; the embedding where tied */
    TENSOR_FINAL_NORM,      /* [1, hidden_size] */
    TENSOR_ROPE_FACTORS,    /* [1, head_dim / 2]; only where the spec's rope scaling is ROPE_FACTORS */
    TENSOR_ATTENTION_NORM,  /* per layer from here on */
    TENSOR_Q,               /* [n_heads * head_dim, hidden_size] */
    TENSOR_K,               /* [n_kv_heads * head_dim, hidden_size] */
    TENSOR_V,
    TENSOR_O, /* [hidden_size, n_heads * head_dim] */
    TENSOR_Q_BIAS,
    TENSOR_K_BIAS,
    TENSOR_V_BIAS,
    TENSOR_O_BIAS,
    TENSOR_Q_NORM, /* [1, head_dim] */
    TENSOR_K_NORM,
    TENSOR_MLP_NORM,
    TENSOR_GATE, /* [mlp_size, hidden_size] */
    TENSOR_UP,
    TENSOR_DOWN,        /* [hidden_size, mlp_size] */
    TENSOR_ROUTER,      /* [n_experts, hidden_size] */
    TENSOR_EXPERT_GATE, /* per layer and expert: [expert_size, hidden_size] */
    TENSOR_EXPERT_UP,
    TENSOR_EXPERT_DOWN, /* [hidden_size, expert_size] */
    TENSOR_ROLE_COUNT,
};

struct tensor_ref {
    const char *name; /* as in the file, for messages */
    enum dtype dtype;
    int64_t rows;
    int64_t cols;
    int32_t file;    /* which of the model's files */
    uint64_t offset; /* of row 0 in that file, bytes */
    /* GGUF stores the q and k rows (and the elements of the q and k biases) of Llama models with each
     * head's halves interleaved; reads put them back in half-split order. 0: in order; else head_dim. */
    int32_t interleaved_head_rows;
};

struct model_file;

/* `path`: a folder or a .gguf file. Everything wrong with it is one sentence naming file and field. */
NODISCARD enum status model_file_open(const char *path, struct model_file **model_out);

/* Does the name say that there is a configuration alone? */
bool model_file_is_shape(const char *path);

/* A model that one does not have: `path` is a config.json, or the folder that it is in. All its tensors are
 * bf16, and none can be read. */
NODISCARD enum status model_file_open_shape(const char *path, struct model_file **model_out);
void model_file_close(struct model_file *model); /* NULL is allowed */

const struct model_spec *model_file_spec(const struct model_file *model);
const char *model_file_path(const struct model_file *model);

/* The tensor of a role; `layer` and `expert` are 0 where the role has none. NULL where the model has no
 * such tensor (a role the spec calls for is always there: opening failed otherwise). */
const struct tensor_ref *model_file_tensor(const struct model_file *model, enum tensor_role role, int layer,
                                           int expert);

/* Rows [row_begin, row_end), columns [col_begin, col_end) of the tensor, packed row after row into
 * `data`, in the tensor's own dtype. Column bounds are multiples of the dtype's block. */
NODISCARD enum status model_file_read(const struct model_file *model, const struct tensor_ref *tensor,
                                      int64_t row_begin, int64_t row_end, int64_t col_begin, int64_t col_end,
                                      void *data);

/* The GGUF behind the model, for its tokenizer; NULL for a folder. */
const struct gguf *model_file_gguf(const struct model_file *model);

/* Every tensor in the files, for `inspect`: returns how many; sets *name, *dtype_name, shape (outermost
 * first) and *bytes of the `index`-th. */
struct tensor_listing {
    const char *name;
    const char *dtype_name;
    int n_dims;
    int64_t shape[4];
    uint64_t bytes;
};
size_t model_file_tensor_count(const struct model_file *model);
struct tensor_listing model_file_tensor_listing(const struct model_file *model, size_t index);

/* A hash of configuration, tensor table, file sizes and some of the weights: equal on all ranks or they do
 * not see the same model. */
uint64_t model_file_fingerprint(const struct model_file *model);
