/* A line of `score`: refused, or within the model's bounds, and whatever its scores are, printed as one line
 * of JSON. */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/score_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB_SIZE = 5, CONTEXT_LENGTH = 16 };

/* For "text": knows a few letters. */
static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"post_processor\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
    "\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
    "\"trim_offsets\":true,\"use_regex\":false},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
    "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
    "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,"
    "\"vocab\":{\"a\":0,\"b\":1,\"\xC4\xA0\":2,\"ab\":3,\"c\":4},\"merges\":[\"a b\"]}}";

/* Numbers of every kind, chosen by the input. */
static void fill(float *numbers, size_t n, const uint8_t *data, size_t size) {
    static const float kinds[] = {0, -0.1f, -1, -1e30f, -FLT_MAX, -INFINITY, INFINITY, NAN, FLT_TRUE_MIN};
    for (size_t i = 0; i < n; i++)
        numbers[i] = kinds[data[i % size] % (sizeof kinds / sizeof *kinds)];
}

static void check_printed(const struct score_line *line, const struct score_context *context) {
    struct bytes text = {0};
    CHECK(score_line_print(line, context, &text) == STATUS_OK);
    CHECK(memchr(text.data, '\n', text.size) == text.data + text.size - 1);
    json_t *output = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_array_size(json_object_get(output, "logprobs")) == (size_t)line->n);
    CHECK(json_array_size(json_object_get(output, "argmax")) == (size_t)line->n);
    CHECK(json_object_size(json_object_get(output, "logits")) == context->n_logits_positions);
    CHECK(!line->id_json == !json_object_get(output, "id"));
    json_decref(output);
    bytes_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t positions[] = {0};
    struct score_context context = {.model = "",
                                    .context_length = CONTEXT_LENGTH,
                                    .vocab_size = VOCAB_SIZE,
                                    .logits_positions = positions,
                                    .n_logits_positions = 1};
    CHECK(tokenizer_parse(tokenizer_json, sizeof tokenizer_json - 1, "fuzz.json", &context.tokenizer) ==
          STATUS_OK);
    struct score_line line;
    if (score_line_parse((const char *)data, size, 1, &context, &line) == STATUS_OK) {
        CHECK(line.n >= 1 && line.n <= CONTEXT_LENGTH && line.n_prompt >= 1 && line.n_prompt <= line.n);
        for (int32_t i = 0; i < line.n; i++)
            CHECK(line.ids[i] >= 0 && line.ids[i] < VOCAB_SIZE);
        CHECK(line.ids[line.n] == 0);
        fill(line.logprobs, (size_t)line.n, data, size);
        fill(line.logits, VOCAB_SIZE, data, size);
        check_printed(&line, &context);
        score_line_free(&line);
    }
    tokenizer_close(context.tokenizer);
    return 0;
}
