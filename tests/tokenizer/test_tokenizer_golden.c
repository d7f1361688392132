/* Tokens and decoded text as the library `tokenizers` has them (tools/goldens/tokenizer_cases.py), and as
 * it had them for the models of tests/data/models. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/nfc_impl.h"
#include "tests/tokenizer/tokenizer_fixture.h"

static json_t *read_json(const char *name) {
    struct bytes content = fixture_read(name);
    json_error_t error;
    json_t *json = json_loadb(content.data, content.size, JSON_ALLOW_NUL, &error);
    if (!json) fail_msg("%s: %s", name, error.text);
    bytes_free(&content);
    return json;
}

static struct tokenizer *tokenizer_of_entry(const json_t *entry) {
    const char *file = json_string_value(json_object_get(entry, "file"));
    if (file) return fixture_open(file);
    char *document = json_dumps(json_object_get(entry, "tokenizer"), 0);
    struct tokenizer *tokenizer;
    if (tokenizer_parse(document, strlen(document), "tokenizer.json", &tokenizer) != STATUS_OK)
        fail_msg("%s: %s", json_string_value(json_object_get(entry, "name")), status_message());
    free(document);
    return tokenizer;
}

static void check_decoded(const struct tokenizer *tokenizer, const struct token_list *ids,
                          const char *expected) {
    struct bytes decoded = {0};
    assert_int_equal(tokenizer_decode(tokenizer, ids->ids, ids->n, false, &decoded), STATUS_OK);
    assert_string_equal(decoded.data ? decoded.data : "", expected);
    bytes_free(&decoded);
}

static void check_case(const struct tokenizer *tokenizer, const json_t *row) {
    const char *text = json_string_value(json_object_get(row, "text"));
    struct token_list ids = fixture_ids(json_object_get(row, "ids"));
    struct token_list plain = fixture_ids(json_object_get(row, "plain_ids"));
    fixture_check_ids(tokenizer, text, strlen(text), (struct tokenizer_encode_options){true, true}, ids.ids,
                      ids.n);
    fixture_check_ids(tokenizer, text, strlen(text), (struct tokenizer_encode_options){false, false},
                      plain.ids, plain.n);
    check_decoded(tokenizer, &ids, json_string_value(json_object_get(row, "decoded")));
    token_list_free(&ids);
    token_list_free(&plain);
}

static void test_library(void **state) {
    (void)state;
    json_t *golden = read_json("tokenizer/golden.json"), *entry, *row;
    size_t i, j, n_cases = 0;
    json_array_foreach(golden, i, entry) {
        struct tokenizer *tokenizer = tokenizer_of_entry(entry);
        json_array_foreach(json_object_get(entry, "cases"), j, row) {
            check_case(tokenizer, row);
            n_cases++;
        }
        tokenizer_close(tokenizer);
    }
    assert_true(n_cases > 1000);
    json_decref(golden);
}

/* GGUF has no normalizer: texts that NFC would change are left out there. */
static void check_model(const char *name, bool normalizes) {
    json_t *golden = read_json("golden/small_llama_tokens.json"), *row;
    struct tokenizer *tokenizer = fixture_open(name);
    size_t i;
    json_array_foreach(json_object_get(golden, "cases"), i, row) {
        const json_t *text = json_object_get(row, "text"); /* may hold NULs */
        if (!normalizes && !nfc_is_certain(json_string_value(text), json_string_length(text))) continue;
        struct token_list ids = fixture_ids(json_object_get(row, "ids"));
        fixture_check_ids(tokenizer, json_string_value(text), json_string_length(text),
                          (struct tokenizer_encode_options){false, true}, ids.ids, ids.n);
        token_list_free(&ids);
    }
    const json_t *chat = json_object_get(golden, "chat");
    const char *rendered = json_string_value(json_object_get(chat, "rendered"));
    struct token_list ids = fixture_ids(json_object_get(chat, "ids"));
    fixture_check_ids(tokenizer, rendered, strlen(rendered), (struct tokenizer_encode_options){false, true},
                      ids.ids, ids.n);
    token_list_free(&ids);
    tokenizer_close(tokenizer);
    json_decref(golden);
}

/* One model, both formats. */
static void test_model_folder(void **state) {
    (void)state;
    check_model("models/small_llama", true);
}

static void test_model_gguf(void **state) {
    (void)state;
    check_model("models/small_llama.f32.gguf", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_model_folder),
        cmocka_unit_test(test_model_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
