/* The bytes of a tokenizer.json, then encoding and decoding with whatever it describes. */
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "coordinator/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_decoded(const struct tokenizer *tokenizer, const struct token_list *ids) {
    struct bytes text = {0};
    if (tokenizer_decode(tokenizer, ids->ids, ids->n, true, &text) == STATUS_OK && text.size > 0 &&
        !utf8_is_valid(text.data, text.size))
        __builtin_trap();
    bytes_free(&text);
}

static void try_text(const struct tokenizer *tokenizer, const char *text, bool special) {
    struct token_list ids = {0};
    const struct tokenizer_encode_options options = {special, special};
    if (tokenizer_encode(tokenizer, text, strlen(text), options, &ids) == STATUS_OK) {
        for (size_t i = 0; i < ids.n; i++)
            if (ids.ids[i] < 0 || ids.ids[i] >= tokenizer_vocab_size(tokenizer)) __builtin_trap();
        check_decoded(tokenizer, &ids);
    }
    token_list_free(&ids);
}

static void try_all_ids(const struct tokenizer *tokenizer) {
    struct token_list ids = {0};
    for (int32_t id = -1; id <= tokenizer_vocab_size(tokenizer) && id < 1000; id++)
        if (token_list_append(&ids, id) != STATUS_OK) break;
    check_decoded(tokenizer, &ids);
    token_list_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const texts[] = {
        "", "Hello, world! it's 2024\n\n  x", "<s>a b<|im_end|> \t</s>",
        "e\xCC\x81\xE2\x96\x81\xF0\x9F\x98\x80\xC2\xA0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct tokenizer *tokenizer;
    if (tokenizer_parse((const char *)data, size, "fuzz.json", &tokenizer) != STATUS_OK) return 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        try_text(tokenizer, texts[i], false);
        try_text(tokenizer, texts[i], true);
    }
    try_all_ids(tokenizer);
    tokenizer_close(tokenizer);
    return 0;
}
