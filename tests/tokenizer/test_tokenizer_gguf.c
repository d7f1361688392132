#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "modelfile/gguf.h"
#include "tests/modelfile/model_fixture.h"
#include "tests/tokenizer/tokenizer_fixture.h"

enum { GGUF_INT32 = 5, GGUF_FLOAT32 = 6, GGUF_BOOL = 7 };

static void add_numbers(struct gguf_writer *w, const char *key, uint32_t kind, const void *numbers,
                        size_t n) {
    gguf_add_array(w, key, kind, n, numbers, 4 * n);
}

static void add_bool(struct gguf_writer *w, const char *key, bool value) {
    gguf_add_number(w, key, GGUF_BOOL, &(char){value}, 1);
}

/* The writer is empty again. */
static enum status open_written(struct gguf_writer *w, struct tokenizer **tokenizer_out) {
    struct bytes file = gguf_finish(w);
    struct gguf *gguf;
    if (gguf_parse(file.data, file.size, file.size, "model.gguf", &gguf) != STATUS_OK)
        fail_msg("%s", status_message());
    const enum status status = tokenizer_open_gguf(gguf, "model.gguf", tokenizer_out);
    gguf_close(gguf);
    bytes_free(&file);
    return status;
}

static struct tokenizer *opened(struct gguf_writer *w) {
    struct tokenizer *tokenizer;
    if (open_written(w, &tokenizer) != STATUS_OK) fail_msg("%s", status_message());
    return tokenizer;
}

static void refused(struct gguf_writer *w, const char *expected) {
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(open_written(w, &tokenizer), STATUS_BAD_INPUT);
    assert_null(tokenizer);
    if (!strstr(status_message(), expected) || !strstr(status_message(), "model.gguf"))
        fail_msg("\"%s\" does not say \"%s\"", status_message(), expected);
}

/* ---- SentencePiece ---- */

#define MARK "\xE2\x96\x81"
enum { N_SPM = 10 };
static const char *const spm_tokens[N_SPM] = {"<unk>", "<s>", "</s>",   "<0x0A>", MARK,
                                              "a",     "b",   MARK "a", "ab",     "<|x|>"};
static const int32_t spm_types[N_SPM] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 4};
static const float spm_scores[N_SPM] = {0, 0, 0, 0, -5, -6, -7, -1, -2, 0};

static struct gguf_writer spm_writer(const float *scores) {
    struct gguf_writer w = {0};
    gguf_add_text(&w, "tokenizer.ggml.model", "llama");
    gguf_add_texts(&w, "tokenizer.ggml.tokens", N_SPM, spm_tokens);
    add_numbers(&w, "tokenizer.ggml.token_type", GGUF_INT32, spm_types, N_SPM);
    if (scores) add_numbers(&w, "tokenizer.ggml.scores", GGUF_FLOAT32, scores, N_SPM);
    return w;
}

static void check(const struct tokenizer *t, const char *text, bool special, const int32_t *ids, size_t n) {
    fixture_check_ids(t, text, strlen(text), (struct tokenizer_encode_options){special, special}, ids, n);
}

static void check_decoded(const struct tokenizer *t, const int32_t *ids, size_t n, bool special,
                          const char *text) {
    struct bytes decoded = {0};
    assert_int_equal(tokenizer_decode(t, ids, n, special, &decoded), STATUS_OK);
    assert_string_equal(decoded.data, text);
    bytes_free(&decoded);
}

static void test_sentencepiece(void **state) {
    (void)state;
    struct gguf_writer w = spm_writer(spm_scores);
    gguf_add_u32(&w, "tokenizer.ggml.padding_token_id", UINT32_MAX);
    gguf_add_u32(&w, "tokenizer.ggml.eos_token_id", UINT32_MAX); /* no such id: the default stays */
    struct tokenizer *t = opened(&w);
    assert_string_equal(tokenizer_kind(t), "SentencePiece BPE");
    assert_int_equal(tokenizer_bos_id(t), 1);
    assert_int_equal(tokenizer_eos_id(t), 2);
    check(t, "ab", true, (int32_t[]){1, 7, 6}, 3); /* the better score first: MARK a, then b */
    check(t, "aab", false, (int32_t[]){7, 8}, 2);
    check(t, "\n", false, (int32_t[]){4, 3}, 2);
    check(t, "c", false, (int32_t[]){4, 0}, 2); /* no byte token: unknown */
    check(t, "</s>b", true, (int32_t[]){1, 2, 4, 6}, 4);
    check(t, "a<|x|>b", false, (int32_t[]){7, 9, 4, 6}, 4); /* user-defined ones are always found */
    check_decoded(t, (int32_t[]){1, 7, 6, 9, 2}, 5, false, "ab<|x|>");
    check_decoded(t, (int32_t[]){1, 7, 6, 2}, 4, true, "<s> ab</s>");
    tokenizer_close(t);
}

static void test_space_prefix(void **state) {
    (void)state;
    struct gguf_writer w = spm_writer(spm_scores);
    add_bool(&w, "tokenizer.ggml.add_space_prefix", false);
    add_bool(&w, "tokenizer.ggml.add_bos_token", false);
    add_bool(&w, "tokenizer.ggml.add_eos_token", true);
    struct tokenizer *t = opened(&w);
    check(t, "ab", true, (int32_t[]){8, 2}, 2);
    check_decoded(t, (int32_t[]){7, 8}, 2, false, " aab");
    tokenizer_close(t);
}

/* Equal scores: the leftmost pair first. */
static void test_score_ties(void **state) {
    (void)state;
    float scores[N_SPM];
    memcpy(scores, spm_scores, sizeof scores);
    scores[7] = scores[8];
    struct gguf_writer w = spm_writer(scores);
    struct tokenizer *t = opened(&w);
    check(t, "ab", false, (int32_t[]){7, 6}, 2);
    tokenizer_close(t);
}

static void test_bad_sentencepiece(void **state) {
    (void)state;
    float scores[N_SPM];
    memcpy(scores, spm_scores, sizeof scores);
    scores[4] = NAN;
    struct gguf_writer w = spm_writer(scores);
    refused(&w, "tokenizer.ggml.scores[4] is not a finite number");
    w = spm_writer(NULL);
    refused(&w, "tokenizer.ggml.scores is missing");
    w = spm_writer(NULL);
    add_numbers(&w, "tokenizer.ggml.scores", GGUF_FLOAT32, scores, 3);
    refused(&w, "3 scores for 10 tokens");
    w = spm_writer(NULL);
    gguf_add_texts(&w, "tokenizer.ggml.scores", N_SPM, spm_tokens);
    refused(&w, "tokenizer.ggml.scores[0]");
}

/* ---- byte-level ---- */

static const char *const bpe_tokens[] = {"a", "b", "ab", "\304\240", "\304\240a", "<|end|>"};
static const char *const bpe_merges[] = {"a b", "\304\240 a"};

static struct gguf_writer bpe_writer(const char *pre) {
    static const int32_t types[] = {1, 1, 1, 1, 1, 3};
    struct gguf_writer w = {0};
    gguf_add_text(&w, "tokenizer.ggml.model", "gpt2");
    if (pre) gguf_add_text(&w, "tokenizer.ggml.pre", pre);
    gguf_add_texts(&w, "tokenizer.ggml.tokens", 6, bpe_tokens);
    add_numbers(&w, "tokenizer.ggml.token_type", GGUF_INT32, types, 6);
    return w;
}

static void test_byte_level(void **state) {
    (void)state;
    struct gguf_writer w = bpe_writer("qwen2");
    gguf_add_texts(&w, "tokenizer.ggml.merges", 2, bpe_merges);
    gguf_add_text(&w, "tokenizer.chat_template", "{{ messages }}");
    gguf_add_u32(&w, "tokenizer.ggml.eos_token_id", 5);
    struct tokenizer *t = opened(&w);
    assert_string_equal(tokenizer_kind(t), "byte-level BPE");
    assert_string_equal(tokenizer_chat_template(t), "{{ messages }}");
    assert_int_equal(tokenizer_bos_id(t), -1);
    assert_int_equal(tokenizer_eos_id(t), 5);
    check(t, "ab ab<|end|>", true, (int32_t[]){2, 3, 2, 5}, 4);
    check_decoded(t, (int32_t[]){2, 4, 5}, 3, true, "ab a<|end|>");
    tokenizer_close(t);
}

/* Every name that is known can be built; some begin texts with BOS. */
static void test_every_splitter(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2",        "llama-bpe",      "qwen2",  "deepseek-r1-qwen",
                                        "smollm",       "tekken",         "llama4", "deepseek-v3",
                                        "deepseek-llm", "deepseek-coder", "dbrx",   "default"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gguf_writer w = bpe_writer(names[i]);
        gguf_add_texts(&w, "tokenizer.ggml.merges", 2, bpe_merges);
        gguf_add_u32(&w, "tokenizer.ggml.bos_token_id", 5);
        struct tokenizer *t = opened(&w);
        const bool adds_bos = strcmp(names[i], "llama-bpe") == 0 || strcmp(names[i], "tekken") == 0;
        check(t, "ab", true, (int32_t[]){adds_bos ? 5 : 2, 2}, adds_bos ? 2 : 1);
        tokenizer_close(t);
    }
}

static void test_bad_byte_level(void **state) {
    (void)state;
    struct gguf_writer w = bpe_writer("qwen9");
    refused(&w, "the pre-tokenizer \"qwen9\"");
    w = bpe_writer(NULL);
    refused(&w, "tokenizer.ggml.merges is missing");
    w = bpe_writer(NULL);
    gguf_add_texts(&w, "tokenizer.ggml.merges", 1, (const char *const[]){"ab"});
    refused(&w, "tokenizer.ggml.merges[0] is not \"a b\"");
    w = bpe_writer(NULL);
    gguf_add_texts(&w, "tokenizer.ggml.merges", 1, (const char *const[]){"b a"});
    refused(&w, "the result is not in the vocabulary");
    w = bpe_writer("llama-bpe");
    gguf_add_texts(&w, "tokenizer.ggml.merges", 2, bpe_merges);
    refused(&w, "tokenizer.ggml.bos_token_id names no token");
}

static void test_bad_vocabulary(void **state) {
    (void)state;
    struct gguf_writer w = {0};
    refused(&w, "tokenizer.ggml.model is missing");
    gguf_add_text(&w, "tokenizer.ggml.model", "t5");
    refused(&w, "the tokenizer \"t5\" is not supported");
    gguf_add_text(&w, "tokenizer.ggml.model", "gpt2");
    refused(&w, "tokenizer.ggml.tokens is missing");
    gguf_add_text(&w, "tokenizer.ggml.model", "gpt2");
    add_numbers(&w, "tokenizer.ggml.tokens", GGUF_INT32, spm_types, N_SPM);
    refused(&w, "does not hold texts");
    gguf_add_text(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_texts(&w, "tokenizer.ggml.tokens", 2, (const char *const[]){"a", "a"});
    refused(&w, "the tokens 0 and 1 have the same text");
    gguf_add_text(&w, "tokenizer.ggml.model", "gpt2");
    gguf_add_texts(&w, "tokenizer.ggml.tokens", 6, bpe_tokens);
    add_numbers(&w, "tokenizer.ggml.token_type", GGUF_INT32, spm_types, 2);
    refused(&w, "tokenizer.ggml.token_type has no number for token 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentencepiece),  cmocka_unit_test(test_space_prefix),
        cmocka_unit_test(test_score_ties),     cmocka_unit_test(test_bad_sentencepiece),
        cmocka_unit_test(test_byte_level),     cmocka_unit_test(test_every_splitter),
        cmocka_unit_test(test_bad_byte_level), cmocka_unit_test(test_bad_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
