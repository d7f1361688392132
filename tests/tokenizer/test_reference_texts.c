/* The 47 texts of llama.cpp's vocabulary tests, and the tokens that the models' own tokenizers gave. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/tokenizer/tokenizer_fixture.h"

enum { N_TEXTS = 47 };

static struct token_list ids_of_line(char **line) {
    struct token_list ids = {0};
    char *at = *line, *end = strchr(at, '\n');
    if (end) *end = '\0';
    for (char *next; (void)(next = at), *at; at = next) {
        const long id = strtol(at, &next, 10);
        if (next == at) break;
        assert_int_equal(token_list_append(&ids, (int32_t)id), STATUS_OK);
    }
    *line = end ? end + 1 : at; /* the last text is empty, and so is its line */
    return ids;
}

static void check_text(const struct tokenizer *tokenizer, const char *text, size_t size, char **line) {
    struct token_list ids = ids_of_line(line);
    const struct tokenizer_encode_options plain = {.add_special = false, .parse_special = false};
    fixture_check_ids(tokenizer, text, size, plain, ids.ids, ids.n);
    fixture_check_round_trip(tokenizer, text, size);
    token_list_free(&ids);
}

static void check_vocabulary(const char *tokenizer_name, const char *ids_name) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    struct tokenizer *tokenizer = fixture_open(tokenizer_name);
    struct bytes texts = fixture_read("tokenizer/texts.inp"), lines = fixture_read(ids_name);
    const char *text = texts.data;
    char *line = lines.data;
    int n = 0;
    for (const char *end; text; text = end ? end + strlen(separator) : NULL, n++) {
        end = strstr(text, separator);
        check_text(tokenizer, text, end ? (size_t)(end - text) : strlen(text), &line);
    }
    assert_int_equal(n, N_TEXTS);
    assert_int_equal(*line, '\0');
    bytes_free(&texts);
    bytes_free(&lines);
    tokenizer_close(tokenizer);
}

static void test_gpt2_gguf(void **state) {
    (void)state;
    check_vocabulary("tokenizer/gpt-2.gguf", "tokenizer/gpt-2.out");
}

static void test_llama_gguf(void **state) {
    (void)state;
    check_vocabulary("tokenizer/llama-spm.gguf", "tokenizer/llama-spm.out");
}

static void test_qwen2_json(void **state) {
    (void)state;
    check_vocabulary("tokenizer/qwen2", "tokenizer/qwen2.out");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_gguf),
        cmocka_unit_test(test_llama_gguf),
        cmocka_unit_test(test_qwen2_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
