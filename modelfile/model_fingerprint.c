/* Against ranks that see different files. */
#include <string.h>
#include <unistd.h>

#include "base/fingerprint.h"
#include "modelfile/model_file_impl.h"

/* Field by field, as the padding between them is undefined. The name is left out: folders may differ. */
static uint64_t add_spec(uint64_t hash, const struct model_spec *spec) {
    const int64_t numbers[] = {
        spec->architecture,
        spec->n_layers,
        spec->hidden_size,
        spec->n_heads,
        spec->n_kv_heads,
        spec->head_dim,
        spec->mlp_size,
        spec->vocab_size,
        spec->context_length,
        spec->sliding_window,
        spec->tied_embeddings,
        spec->attention_bias,
        spec->output_bias,
        spec->qk_norm,
        spec->n_experts,
        spec->n_experts_used,
        spec->expert_size,
        spec->norm_topk_prob,
        spec->bos_id,
        spec->n_eos,
        spec->rope.scaling,
        spec->rope.truncate,
        spec->generation.do_sample,
        spec->generation.top_k,
    };
    const double reals[] = {
        spec->rms_norm_eps,
        spec->rope.theta,
        spec->rope.factor,
        spec->rope.low_freq_factor,
        spec->rope.high_freq_factor,
        spec->rope.original_context,
        spec->rope.beta_fast,
        spec->rope.beta_slow,
        spec->rope.attention_factor,
        spec->generation.temperature,
        spec->generation.top_p,
        spec->generation.min_p,
        spec->generation.repetition_penalty,
    };
    hash = fingerprint_add(hash, numbers, sizeof numbers);
    hash = fingerprint_add(hash, reals, sizeof reals);
    return fingerprint_add(hash, spec->eos_ids, sizeof spec->eos_ids);
}

static uint64_t add_entry(uint64_t hash, const struct tensor_entry *entry) {
    const uint64_t place[] = {(uint64_t)entry->file, entry->offset, entry->bytes, (uint64_t)entry->n_dims};
    hash = fingerprint_add(hash, entry->name, strlen(entry->name) + 1);
    hash = fingerprint_add(hash, entry->dtype_name, strlen(entry->dtype_name) + 1);
    hash = fingerprint_add(hash, entry->shape, (size_t)entry->n_dims * sizeof entry->shape[0]);
    return fingerprint_add(hash, place, sizeof place);
}

/* Two models of one shape, as a model and what was trained from it, differ in nearly all weights: a look here
 * and there tells. What cannot be read is left out; loading will say why. */
static uint64_t add_file(uint64_t hash, const struct data_file *file) {
    enum { SAMPLES = 16, SAMPLE_BYTES = 256 };
    unsigned char sample[SAMPLE_BYTES];
    hash = fingerprint_add(hash, &file->bytes, sizeof file->bytes);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        const ssize_t n = pread(file->descriptor, sample, sizeof sample, (off_t)(file->bytes / SAMPLES * i));
        if (n > 0) hash = fingerprint_add(hash, sample, (size_t)n);
    }
    return hash;
}

uint64_t model_fingerprint(const struct model_file *model) {
    uint64_t hash = add_spec(FINGERPRINT_BEGIN, &model->spec);
    for (size_t i = 0; i < model->n_entries; i++)
        hash = add_entry(hash, &model->entries[i]);
    for (size_t i = 0; i < model->n_files; i++)
        hash = add_file(hash, &model->files[i]);
    return hash;
}
