#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/nfc_impl.h"
#include "tests/tokenizer/tokenizer_fixture.h"

enum { N_RANDOM_TEXTS = 2000, LONG_BYTES = 1 << 18 };

static const struct tokenizer_encode_options plain = {.add_special = false, .parse_special = false};

/* Of what a normalizer does, only this is lost: Qwen2 composes characters, SentencePiece takes U+2581 for a
 * space. */
static bool is_changed(const struct bytes *text, bool nfc) {
    if (text->size == 0) return false;
    return nfc ? !nfc_is_certain(text->data, text->size)
               : memmem(text->data, text->size, "\xE2\x96\x81", 3) != NULL;
}

static void check_random_round_trips(const char *name, bool nfc) {
    struct tokenizer *tokenizer = fixture_open(name);
    for (uint64_t i = 0; i < N_RANDOM_TEXTS; i++) {
        struct bytes text = fixture_random_text(i, i % 50);
        if (!is_changed(&text, nfc)) fixture_check_round_trip(tokenizer, text.data, text.size);
        bytes_free(&text);
    }
    tokenizer_close(tokenizer);
}

static void test_round_trip_gpt2(void **state) {
    (void)state;
    check_random_round_trips("tokenizer/gpt-2.gguf", false);
}

static void test_round_trip_llama(void **state) {
    (void)state;
    check_random_round_trips("tokenizer/llama-spm.gguf", false);
}

static void test_round_trip_stories(void **state) {
    (void)state;
    check_random_round_trips("models/stories260K.gguf", false);
}

static void test_round_trip_qwen2(void **state) {
    (void)state;
    check_random_round_trips("tokenizer/qwen2", true);
}

static void test_not_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size, at;
    } bad[] = {
        {"\xFF", 1, 0},     {"abc\x80", 4, 3},         {"a\xC3", 2, 1},
        {"\xC0\x80", 2, 0}, {"ok \xED\xA0\x80", 6, 3}, {"\xF4\x90\x80\x80", 4, 0},
    };
    struct tokenizer *tokenizer = fixture_open("tokenizer/gpt-2.gguf");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct token_list ids = {0};
        char expected[64];
        snprintf(expected, sizeof expected, "at byte %zu", bad[i].at);
        assert_int_equal(token_list_append(&ids, 7), STATUS_OK);
        assert_int_equal(tokenizer_encode(tokenizer, bad[i].text, bad[i].size, plain, &ids),
                         STATUS_BAD_INPUT);
        assert_non_null(strstr(status_message(), expected));
        assert_int_equal(ids.n, 1);
        token_list_free(&ids);
    }
    tokenizer_close(tokenizer);
}

/* A NUL is a character like any other. */
static void test_nul_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"tokenizer/gpt-2.gguf", "tokenizer/llama-spm.gguf",
                                        "tokenizer/qwen2"};
    for (size_t i = 0; i < 3; i++) {
        struct tokenizer *tokenizer = fixture_open(names[i]);
        fixture_check_round_trip(tokenizer, "a\0b\0\0", 5);
        tokenizer_close(tokenizer);
    }
}

/* Texts that have no words to cut, or provoke a backtracking expression: quadratic time would be hours. */
static void check_long_texts(const char *name) {
    static const char *const units[] = {
        "a", " ", "\n", "7", "!", "<|im_start|", "e\xCC\x81\xCC\xA3", "\xE6\xBC\xA2", "ab \t\r\n"};
    struct tokenizer *tokenizer = fixture_open(name);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct bytes text = {0};
        struct token_list ids = {0};
        while (text.size < LONG_BYTES)
            assert_int_equal(bytes_append_text(&text, units[i]), STATUS_OK);
        assert_int_equal(tokenizer_encode(tokenizer, text.data, text.size, plain, &ids), STATUS_OK);
        assert_true(ids.n > 0);
        token_list_free(&ids);
        bytes_free(&text);
    }
    tokenizer_close(tokenizer);
}

static void test_long_qwen2(void **state) {
    (void)state;
    check_long_texts("tokenizer/qwen2");
}

static void test_long_llama(void **state) {
    (void)state;
    check_long_texts("tokenizer/llama-spm.gguf");
}

/* Special tokens count only when asked for; the others that were added always do. */
static void test_parse_special(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_open("tokenizer/qwen2");
    const char *text = "<|im_start|>a<|im_end|>";
    const int32_t parsed[] = {151644, 64, 151645};
    const int32_t spelled[] = {27, 91, 318, 4906, 91, 29, 64, 27, 91, 318, 6213, 91, 29};
    fixture_check_ids(tokenizer, text, strlen(text), (struct tokenizer_encode_options){true, true}, parsed,
                      3);
    fixture_check_ids(tokenizer, text, strlen(text), plain, spelled, 13);
    tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_gpt2),    cmocka_unit_test(test_round_trip_llama),
        cmocka_unit_test(test_round_trip_stories), cmocka_unit_test(test_round_trip_qwen2),
        cmocka_unit_test(test_not_utf8),           cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_long_qwen2),         cmocka_unit_test(test_long_llama),
        cmocka_unit_test(test_parse_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
