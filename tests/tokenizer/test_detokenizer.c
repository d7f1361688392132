#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "tests/tokenizer/tokenizer_fixture.h"

enum { N_SEQUENCES = 500, N_IDS = 40 };

#define BROKEN "\xEF\xBF\xBD"

static const char *const vocabularies[] = {"tokenizer/gpt-2.gguf", "tokenizer/llama-spm.gguf",
                                           "tokenizer/qwen2", "models/stories260K"};

/* Pushes the ids one by one; every piece must be whole characters. */
static struct bytes stream(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                           bool show_special) {
    struct detokenizer *detokenizer;
    struct bytes text = {0};
    assert_int_equal(detokenizer_create(tokenizer, show_special, &detokenizer), STATUS_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(detokenizer_push(detokenizer, ids[i], &text), STATUS_OK);
        assert_true(utf8_is_valid(text.data ? text.data : "", text.size));
    }
    assert_int_equal(detokenizer_finish(detokenizer, &text), STATUS_OK);
    assert_true(utf8_is_valid(text.data ? text.data : "", text.size));
    detokenizer_destroy(detokenizer);
    return text;
}

/* Any ids, those of no token included. */
static void test_any_ids(void **state) {
    (void)state;
    for (size_t v = 0; v < sizeof vocabularies / sizeof *vocabularies; v++) {
        struct tokenizer *tokenizer = fixture_open(vocabularies[v]);
        for (uint64_t s = 0; s < N_SEQUENCES; s++) {
            int32_t ids[N_IDS];
            for (uint64_t i = 0; i < N_IDS; i++)
                ids[i] =
                    (int32_t)(rng_uniform(3, s, i) * (s % 2 ? 400 : tokenizer_vocab_size(tokenizer) + 100)) -
                    50;
            struct bytes streamed = stream(tokenizer, ids, N_IDS, s % 3), whole = {0};
            assert_int_equal(tokenizer_decode(tokenizer, ids, N_IDS, s % 3, &whole), STATUS_OK);
            assert_string_equal(streamed.data ? streamed.data : "", whole.data ? whole.data : "");
            bytes_free(&streamed);
            bytes_free(&whole);
        }
        tokenizer_close(tokenizer);
    }
}

static void check_stream(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                         const char *expected) {
    struct bytes text = stream(tokenizer, ids, n, false);
    assert_string_equal(text.data, expected);
    bytes_free(&text);
}

/* Llama's byte tokens: <0x00> is 3. One U+FFFD for the longest beginning of a character. */
static void test_broken_characters(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_open("tokenizer/llama-spm.gguf");
    enum { B = 3, HELLO = 15043 };
    check_stream(tokenizer, (int32_t[]){B + 0xF0, B + 0x9F, B + 0x98, B + 0x80}, 4, "\xF0\x9F\x98\x80");
    check_stream(tokenizer, (int32_t[]){B + 0xF0, B + 0x9F, B + 0x98}, 3, BROKEN);
    check_stream(tokenizer, (int32_t[]){B + 0xF0, B + 0x9F, HELLO}, 3, BROKEN " Hello");
    check_stream(tokenizer, (int32_t[]){B + 0x80, B + 0xC3, B + 0xC3, B + 0xA9}, 4, BROKEN BROKEN "\xC3\xA9");
    check_stream(tokenizer, (int32_t[]){B + 0xED, B + 0xA0, B + 0x80}, 3, BROKEN BROKEN BROKEN);
    check_stream(tokenizer, (int32_t[]){HELLO, 1, HELLO}, 3, "Hello Hello");
    tokenizer_close(tokenizer);
}

/* Nothing of a character is shown before all of it came. */
static void test_waiting(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_open("tokenizer/llama-spm.gguf");
    static const int32_t ids[] = {3 + 0xF0, 3 + 0x9F, 3 + 0x98, 3 + 0x80};
    struct detokenizer *detokenizer;
    struct bytes text = {0};
    assert_int_equal(detokenizer_create(tokenizer, false, &detokenizer), STATUS_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(detokenizer_push(detokenizer, ids[i], &text), STATUS_OK);
        assert_int_equal(text.size, i == 3 ? 4 : 0);
    }
    assert_int_equal(detokenizer_finish(detokenizer, &text), STATUS_OK);
    assert_int_equal(text.size, 4);
    detokenizer_destroy(detokenizer);
    detokenizer_destroy(NULL);
    bytes_free(&text);
    tokenizer_close(tokenizer);
}

static void check_token(const struct tokenizer *tokenizer, int32_t id, bool show_special,
                        const char *expected) {
    struct bytes text = {0};
    assert_int_equal(tokenizer_decode_token(tokenizer, id, show_special, &text), STATUS_OK);
    assert_string_equal(text.data ? text.data : "", expected);
    bytes_free(&text);
}

/* A single token keeps its space and its bytes. */
static void test_one_token(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_open("tokenizer/llama-spm.gguf");
    check_token(tokenizer, 15043, false, " Hello");
    check_token(tokenizer, 3 + 0xF0, false, "\xF0");
    check_token(tokenizer, 1, false, "");
    check_token(tokenizer, 1, true, "<s>");
    check_token(tokenizer, -1, true, "");
    check_token(tokenizer, 32000, true, "");
    tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_ids),
        cmocka_unit_test(test_broken_characters),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_one_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
