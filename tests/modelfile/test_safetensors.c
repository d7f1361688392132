/* The header of safetensors files: what is read, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "modelfile/safetensors.h"
#include "modelfile/tensor_entry_impl.h"
#include "tests/modelfile/model_fixture.h"

static int create_arena(void **state) {
    struct arena *arena;
    if (arena_create("test", &arena) != STATUS_OK) return -1;
    *state = arena;
    return 0;
}

static int destroy_arena(void **state) {
    arena_destroy(*state);
    return 0;
}

/* A file with this JSON and `data_bytes` bytes of data, of which only the header is in memory. */
static enum status parse(struct arena *arena, const char *json, uint64_t data_bytes,
                         struct safetensors *out) {
    struct bytes file = {0};
    const uint64_t length = strlen(json);
    assert_int_equal(bytes_append(&file, &length, sizeof length), STATUS_OK);
    assert_int_equal(bytes_append_text(&file, json), STATUS_OK);
    const enum status status =
        safetensors_parse(file.data, file.size, file.size + data_bytes, "m.safetensors", arena, out);
    bytes_free(&file);
    return status;
}

static void reads_every_type(void **state) {
    struct safetensors file;
    const char *json = "{\"__metadata__\":{\"format\":\"pt\"},"
                       "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                       "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                       "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[20,28]},"
                       "\"e\":{\"dtype\":\"F16\",\"shape\":[0,5],\"data_offsets\":[28,28]},"
                       "\"d\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[28,30]}}";
    assert_int_equal(parse(*state, json, 30, &file), STATUS_OK);
    assert_int_equal(file.n_entries, 5);
    assert_string_equal(file.entries[0].name, "a");
    assert_true(file.entries[0].usable && file.entries[0].dtype == DTYPE_F32);
    assert_int_equal(file.entries[0].offset, 8 + strlen(json));
    assert_string_equal(file.entries[1].name, "b");
    assert_int_equal(file.entries[1].bytes, 12);
    assert_int_equal(file.entries[1].shape[1], 3);
    assert_false(file.entries[2].usable);
    assert_string_equal(file.entries[2].dtype_name, "I64");
}

static void refuses_bad_headers(void **state) {
#define TENSOR(dtype, shape, offsets)                                                                        \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    static const struct {
        const char *json;
        uint64_t data_bytes;
        const char *word, *other_word;
    } cases[] = {
        {"{\"a\":7}", 0, "a is 7", "an object"},
        {"{\"a\":{}}", 0, "a.dtype", "missing"},
        {"{\"a\":{\"dtype\":\"F32\"}}", 0, "a.shape", "missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "a.data_offsets", "missing"},
        {"{\"a\":" TENSOR("F37", "[2]", "[0,8]") "}", 8, "a.dtype", "F37"},
        {"{\"a\":" TENSOR("F32", "[-2]", "[0,8]") "}", 8, "a.shape", "-2"},
        {"{\"a\":" TENSOR("F32", "[2.5]", "[0,8]") "}", 8, "a.shape", "2.5"},
        {"{\"a\":" TENSOR("F32", "[1,1,1,1,2]", "[0,8]") "}", 8, "tensor a", "5 dimensions"},
        {"{\"a\":" TENSOR("F32", "[3]", "[0,8]") "}", 8, "tensor a", "contradict"},
        {"{\"a\":" TENSOR("F32", "[4611686018427387904,4]", "[0,0]") "}", 0, "tensor a", "contradict"},
        {"{\"a\":" TENSOR("F32", "[2]", "[8,0]") "}", 8, "tensor a", "8 to 0"},
        {"{\"a\":" TENSOR("F32", "[2]", "[0,8]") "}", 7, "tensor a", "truncated"},
        {"{\"a\":" TENSOR("F32", "[2]", "[-8,0]") "}", 8, "data_offsets", "-8"},
        {"{\"a\":" TENSOR("F32", "[2]", "[0,8]") "}", 9, "last 1 bytes", "no tensor"},
        {"{\"a\":" TENSOR("F32", "[2]", "[1,9]") "}", 9, "1 bytes before tensor a", "no tensor"},
        {"{\"a\":" TENSOR("F32", "[2]", "[0,8]") ",\"b\":" TENSOR("F32", "[2]", "[4,12]") "}", 12,
         "tensors a and b", "overlap"},
        {"{\"a\":" TENSOR("F32", "[2]", "[0,8]") ",\"a\":" TENSOR("F32", "[2]", "[8,16]") "}", 16, "JSON",
         "duplicate"},
        {"{\"\\u001b[2J\":" TENSOR("F32", "[2]", "[0,8]") "}", 8, "name", "control"},
        {"{\"a\":", 0, "JSON", "m.safetensors"},
    };
    struct safetensors file;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(parse(*state, cases[i].json, cases[i].data_bytes, &file), STATUS_BAD_INPUT,
                       cases[i].word, cases[i].other_word, NULL);
}

static void refuses_bad_lengths(void **state) {
    struct safetensors file;
    expect_refusal(safetensors_parse("1234567", 7, 7, "m", *state, &file), STATUS_BAD_INPUT, "too short",
                   NULL);
    const uint64_t absurd = UINT64_MAX;
    expect_refusal(safetensors_parse(&absurd, 8, 8, "m", *state, &file), STATUS_BAD_INPUT, "header length",
                   "not a safetensors file", NULL);
    const uint64_t beyond = 1000;
    expect_refusal(safetensors_parse(&beyond, 8, 8, "m", *state, &file), STATUS_BAD_INPUT,
                   "header length 1000", "truncated", NULL);
}

static enum status parse_index(struct arena *arena, const char *json, const char ***names, size_t *count) {
    return safetensors_index_parse(json, strlen(json), "index.json", arena, names, count);
}

static void reads_an_index(void **state) {
    const char **names;
    size_t count;
    const char *json = "{\"metadata\":{},\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\","
                       "\"z\":\"b.safetensors\"}}";
    assert_int_equal(parse_index(*state, json, &names, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "a.safetensors");
    assert_string_equal(names[1], "b.safetensors");
}

static void refuses_a_bad_index(void **state) {
    static const char *const outside[] = {"../a", "/etc/passwd", "sub/a", ".hidden",
                                          "",     "a\\u0007",    "a\\\\b"};
    const char **names;
    size_t count;
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"weight_map\":{\"x\":\"%s\"}}", outside[i]);
        expect_refusal(parse_index(*state, json, &names, &count), STATUS_BAD_INPUT, "index.json", "outside",
                       NULL);
    }
    expect_refusal(parse_index(*state, "{}", &names, &count), STATUS_BAD_INPUT, "weight_map is missing",
                   NULL);
    expect_refusal(parse_index(*state, "{\"weight_map\":{}}", &names, &count), STATUS_BAD_INPUT, "empty",
                   NULL);
    expect_refusal(parse_index(*state, "{\"weight_map\":{\"x\":1}}", &names, &count), STATUS_BAD_INPUT,
                   "weight_map.x", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_every_type, create_arena, destroy_arena),
        cmocka_unit_test_setup_teardown(refuses_bad_headers, create_arena, destroy_arena),
        cmocka_unit_test_setup_teardown(refuses_bad_lengths, create_arena, destroy_arena),
        cmocka_unit_test_setup_teardown(reads_an_index, create_arena, destroy_arena),
        cmocka_unit_test_setup_teardown(refuses_a_bad_index, create_arena, destroy_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
