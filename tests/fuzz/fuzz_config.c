/* config.json, and the same bytes as generation_config.json. */
#include <math.h>
#include <stdint.h>

#include "modelfile/hf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model_spec spec = {.vocab_size = 100};
    if (hf_config_parse((const char *)data, size, "fuzz.json", &spec) == STATUS_OK &&
        (spec.n_heads % spec.n_kv_heads != 0 || spec.head_dim % 2 != 0 || spec.vocab_size < 1 ||
         spec.n_eos > MODEL_MAX_EOS || !isfinite(spec.rope.theta) || !isfinite(spec.rope.attention_factor)))
        __builtin_trap();
    if (hf_generation_parse((const char *)data, size, "fuzz.json", &spec) == STATUS_OK &&
        spec.n_eos > MODEL_MAX_EOS)
        __builtin_trap();
    return 0;
}
