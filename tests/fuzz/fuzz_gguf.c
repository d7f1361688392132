/* Whole GGUF files: metadata, arrays, tensor table and the configuration read from them. */
#include <stdint.h>

#include "modelfile/gguf.h"
#include "modelfile/gguf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches both ends of every element, so that a text outside the file is seen. */
static void read_array(const struct gguf *gguf, const char *key) {
    const int64_t count = gguf_array_count(gguf, key);
    for (int64_t i = 0; i < count; i++) {
        struct gguf_text text;
        double real;
        volatile char touched = 0;
        if (gguf_array_text(gguf, key, i, &text) && text.size > 0)
            touched = (char)(text.data[0] + text.data[text.size - 1]);
        (void)touched;
        (void)gguf_array_f64(gguf, key, i, &real);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gguf *gguf;
    if (gguf_parse(data, size, size, "fuzz.gguf", &gguf) != STATUS_OK) return 0;
    for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        if (tensor->bytes > 0 && (tensor->offset > size || tensor->bytes > size - tensor->offset))
            __builtin_trap();
    }
    read_array(gguf, "tokenizer.ggml.tokens");
    read_array(gguf, "tokenizer.ggml.scores");
    read_array(gguf, "tokenizer.ggml.token_type");
    struct model_spec spec;
    if (gguf_config_read(gguf, "fuzz.gguf", &spec) == STATUS_OK &&
        (spec.n_heads % spec.n_kv_heads != 0 || spec.head_dim % 2 != 0 || spec.vocab_size < 1))
        __builtin_trap();
    gguf_close(gguf);
    return 0;
}
