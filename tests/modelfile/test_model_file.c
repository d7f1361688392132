/* Whole models: opened, refused, and their listing, names and fingerprints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "modelfile/model_file.h"
#include "tests/modelfile/model_fixture.h"

#define STORIES "models/stories260K"

static struct model_file *open_good(const char *path) {
    struct model_file *model;
    if (model_file_open(path, &model) != STATUS_OK) fail_msg("%s", status_message());
    return model;
}

static void refuse(const char *path, enum status expected, const char *word, const char *other_word) {
    struct model_file *model;
    expect_refusal(model_file_open(path, &model), expected, path, word, other_word, NULL);
}

/* stories260K's config with `from` replaced by `to`. */
static void write_config(const char *folder, const char *from, const char *to) {
    struct bytes config = read_test_data(STORIES "/config.json"), changed = {0};
    const char *found = strstr(config.data, from);
    assert_non_null(found);
    assert_int_equal(bytes_append(&changed, config.data, (size_t)(found - config.data)), STATUS_OK);
    assert_int_equal(bytes_printf(&changed, "%s%s", to, found + strlen(from)), STATUS_OK);
    scratch_write(folder, "config.json", changed.data, changed.size);
    bytes_free(&config);
    bytes_free(&changed);
}

static void refuse_config(const char *folder, const char *from, const char *to, const char *word,
                          const char *other_word) {
    write_config(folder, from, to);
    refuse(folder, STATUS_BAD_INPUT, word, other_word);
}

static void opens_a_folder(void **state) {
    (void)state;
    struct model_file *model = open_good(TEST_DATA "/" STORIES);
    const struct model_spec *spec = model_file_spec(model);
    assert_string_equal(spec->name, "stories260K");
    assert_int_equal(spec->vocab_size, 512);
    assert_null(model_file_gguf(model));
    assert_int_equal(model_file_tensor_count(model), 47);
    const struct tensor_listing listing = model_file_tensor_listing(model, 0);
    assert_string_equal(listing.name, "model.embed_tokens.weight");
    assert_string_equal(listing.dtype_name, "F32");
    assert_true(listing.n_dims == 2 && listing.shape[0] == 512 && listing.shape[1] == 64);
    assert_int_equal(listing.bytes, 512 * 64 * 4);
    assert_ptr_equal(model_file_tensor(model, TENSOR_OUTPUT, 0, 0),
                     model_file_tensor(model, TENSOR_TOKEN_EMBEDDING, 0, 0));
    assert_null(model_file_tensor(model, TENSOR_Q_BIAS, 0, 0));
    assert_null(model_file_tensor(model, TENSOR_Q, 5, 0));
    assert_null(model_file_tensor(model, TENSOR_EXPERT_UP, 0, 0));
    const struct tensor_ref *down = model_file_tensor(model, TENSOR_DOWN, 4, 0);
    assert_true(down->rows == 64 && down->cols == 172);
    model_file_close(model);
}

static void opens_gguf(void **state) {
    (void)state;
    struct model_file *model = open_good(TEST_DATA "/models/stories260K.gguf");
    assert_string_equal(model_file_spec(model)->name, "llama");
    assert_non_null(model_file_gguf(model));
    assert_false(model_file_spec(model)->tied_embeddings);
    assert_int_equal(model_file_tensor(model, TENSOR_Q, 0, 0)->interleaved_head_rows, 8);
    assert_int_equal(model_file_tensor(model, TENSOR_V, 0, 0)->interleaved_head_rows, 0);
    model_file_close(model);
}

static uint64_t fingerprint(const char *path) {
    struct model_file *model = open_good(path);
    const uint64_t print = model_file_fingerprint(model);
    model_file_close(model);
    return print;
}

/* From the middle of the file on. */
static void overwrite_a_tenth(const char *folder, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long bytes = ftell(file);
    assert_int_equal(fseek(file, bytes / 2, SEEK_SET), 0);
    for (long i = 0; i < bytes / 10; i++)
        assert_int_not_equal(fputc(1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void fingerprints_tell_models_apart(void **state) {
    const char *folder = *state;
    scratch_copy(folder, STORIES "/model.safetensors", "model.safetensors");
    scratch_copy(folder, STORIES "/config.json", "config.json");
    const uint64_t same = fingerprint(TEST_DATA "/" STORIES);
    assert_true(fingerprint(folder) == same); /* wherever it lies */
    assert_true(fingerprint(TEST_DATA "/models/tiny_qwen3") != same);
    overwrite_a_tenth(folder, "model.safetensors");
    assert_true(fingerprint(folder) != same); /* other weights of the same shape */
    scratch_copy(folder, STORIES "/model.safetensors", "model.safetensors");
    assert_true(fingerprint(folder) == same);
    write_config(folder, "1e-05", "1e-06");
    assert_true(fingerprint(folder) != same);
}

static void refuses_missing_files(void **state) {
    const char *folder = *state;
    refuse("/no/such/model", STATUS_IO, "cannot open", "No such file");
    refuse(folder, STATUS_IO, "config.json", "No such file");
    scratch_copy(folder, STORIES "/config.json", "config.json");
    refuse(folder, STATUS_IO, "neither model.safetensors", "index.json");
    scratch_write_text(folder, "model.safetensors.index.json",
                       "{\"weight_map\":{\"a\":\"part.safetensors\"}}");
    refuse(folder, STATUS_IO, "part.safetensors", "No such file");
}

static void refuses_truncated_files(void **state) {
    const char *folder = *state;
    struct bytes good = read_test_data(STORIES "/model.safetensors");
    scratch_copy(folder, STORIES "/config.json", "config.json");
    scratch_write(folder, "model.safetensors", good.data, good.size - 1);
    refuse(folder, STATUS_BAD_INPUT, "model.safetensors", "truncated");
    scratch_write(folder, "model.safetensors", good.data, 100);
    refuse(folder, STATUS_BAD_INPUT, "model.safetensors", "truncated");
    scratch_write(folder, "model.safetensors", "", 0);
    refuse(folder, STATUS_BAD_INPUT, "model.safetensors", "too short");
    bytes_free(&good);

    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    good = read_test_data("models/stories260K.gguf");
    scratch_write(folder, "m.gguf", good.data, good.size - 1000);
    refuse(path, STATUS_BAD_INPUT, "tensor blk.4.ffn_", "truncated");
    scratch_write(folder, "m.gguf", "PK\3\4", 4);
    refuse(path, STATUS_BAD_INPUT, "not a GGUF file", "GGUF");
    bytes_free(&good);
}

static void refuses_contradicting_shapes(void **state) {
    const char *folder = *state;
    scratch_copy(folder, STORIES "/model.safetensors", "model.safetensors");
    refuse_config(folder, "\"hidden_size\": 64", "\"hidden_size\": 60",
                  "model.embed_tokens.weight is [512, 64]", "config.json calls for [512, 60]");
    refuse_config(folder, "\"vocab_size\": 512", "\"vocab_size\": 500",
                  "model.embed_tokens.weight is [512, 64]", "[500, 64]");
    refuse_config(folder, "\"num_key_value_heads\": 4", "\"num_key_value_heads\": 2",
                  "layers.0.self_attn.k_proj.weight is [32, 64]", "[16, 64]");
    refuse_config(folder, "\"head_dim\": 8", "\"head_dim\": 16",
                  "layers.0.self_attn.q_proj.weight is [64, 64]", "[128, 64]");
    refuse_config(folder, "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 6",
                  "layers.5.input_layernorm.weight", "missing");
    refuse_config(folder, "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 3",
                  "model.layers.3.input_layernorm.weight is there", "does not call for it");
    refuse_config(folder, "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false",
                  "lm_head.weight is missing", "tie_word_embeddings");
    refuse_config(folder, "\"model_type\": \"llama\"", "\"model_type\": \"qwen3\"",
                  "layers.0.self_attn.q_norm.weight", "missing");
    refuse_config(folder, "\"attention_bias\": false", "\"attention_bias\": true",
                  "layers.0.self_attn.q_proj.bias", "missing");
}

static void refuses_norms_that_the_configuration_leaves_out(void **state) {
    const char *folder = *state;
    struct bytes config = read_test_data("models/tiny_qwen3/config.json");
    char *type = strstr(config.data, "\"qwen3\"");
    assert_non_null(type);
    memcpy(type, "\"llama\"", 7);
    scratch_write(folder, "config.json", config.data, config.size);
    scratch_copy(folder, "models/tiny_qwen3/model.safetensors", "model.safetensors");
    refuse(folder, STATUS_BAD_INPUT, "self_attn.q_norm.weight is there", "does not call for it");
    bytes_free(&config);
}

/* stories260K with the dtype of one tensor's header entry changed, in a file of the same length. */
static void refuses_other_types(void **state) {
    const char *folder = *state;
    struct bytes file = read_test_data(STORIES "/model.safetensors");
    char *entry = strstr(file.data + 8, "\"model.norm.weight\"");
    assert_non_null(entry);
    char *dtype = strstr(entry, "F32");
    assert_non_null(dtype);
    memcpy(dtype, "I32", 3);
    scratch_copy(folder, STORIES "/config.json", "config.json");
    scratch_write(folder, "model.safetensors", file.data, file.size);
    refuse(folder, STATUS_BAD_INPUT, "model.norm.weight has type I32", "not supported");
    memcpy(dtype, "X32", 3);
    scratch_write(folder, "model.safetensors", file.data, file.size);
    refuse(folder, STATUS_BAD_INPUT, "model.norm.weight.dtype", "X32");
    bytes_free(&file);
}

/* The table entry of a tensor in stories260K.gguf: behind its name come dims, shape, type and offset. */
static char *gguf_entry(struct bytes *file, const char *name) {
    const size_t size = strlen(name);
    for (size_t i = 0; i + size < file->size; i++)
        if (memcmp(file->data + i, name, size) == 0) return file->data + i + size;
    fail_msg("no %s", name);
    return NULL;
}

static void refuses_bad_gguf_tensors(void **state) {
    static const struct {
        int offset; /* u32 dims at 0, two u64 extents at 4, u32 type at 20, u64 offset at 24 */
        uint64_t value;
        size_t bytes;
        const char *word, *other_word;
    } patches[] = {
        {12, 60, 8, "is [60, 64]", "its metadata calls for [64, 64]"},
        {20, 24, 4, "type I8", "not supported"},
        {20, 99, 4, "ggml type 99", "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K and Q6_K are"},
        {20, 12, 4, "Q4_K", "does not fit"},
        {24, 0, 8, "overlap", "token_embd.weight"},
        {24, UINT64_C(1) << 40, 8, "truncated", "offset 1099511627776"},
        {-1, 'x', 1, "missing", "tensor"},
    };
    const char *folder = *state;
    char path[2 * SCRATCH_PATH_MAX], saved[64];
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    struct bytes file = read_test_data("models/stories260K.gguf");
    char *entry = gguf_entry(&file, "blk.0.attn_q.weight") - 1;
    memcpy(saved, entry, sizeof saved);
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        memcpy(entry + 1 + patches[i].offset, &patches[i].value, patches[i].bytes);
        scratch_write(folder, "m.gguf", file.data, file.size);
        refuse(path, STATUS_BAD_INPUT, "blk.0.attn_q.weight", NULL);
        refuse(path, STATUS_BAD_INPUT, patches[i].word, patches[i].other_word);
        memcpy(entry, saved, sizeof saved);
    }
    bytes_free(&file);
}

static void refuses_quantised_vectors_and_duplicates(void **state) {
    const char *folder = *state;
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    struct bytes file = read_test_data("models/stories260K.gguf");
    char *entry = gguf_entry(&file, "output_norm.weight");
    const uint32_t q8_0 = 8;
    memcpy(entry + 12, &q8_0, sizeof q8_0);
    scratch_write(folder, "m.gguf", file.data, file.size);
    refuse(path, STATUS_BAD_INPUT, "output_norm.weight has type Q8_0", "vectors");
    entry = gguf_entry(&file, "blk.1.attn_q.weight") - strlen("blk.1.attn_q.weight");
    memcpy(entry, "blk.0", 5);
    scratch_write(folder, "m.gguf", file.data, file.size);
    refuse(path, STATUS_BAD_INPUT, "blk.0.attn_q.weight", "there twice");
    bytes_free(&file);
}

static void refuses_a_vocabulary_without_tensors(void **state) {
    const char *folder = *state;
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    struct bytes file = read_test_data("models/stories260K.gguf");
    const uint64_t none = 0;
    memcpy(file.data + 8, &none, sizeof none);
    scratch_write(folder, "m.gguf", file.data, file.size);
    refuse(path, STATUS_BAD_INPUT, "no tensors", path);
    bytes_free(&file);
}

static void refuses_one_tensor_in_two_files(void **state) {
    const char *folder = *state;
    scratch_copy(folder, STORIES "/config.json", "config.json");
    scratch_copy(folder, STORIES "/model.safetensors", "a.safetensors");
    scratch_copy(folder, STORIES "/model.safetensors", "b.safetensors");
    scratch_write_text(folder, "model.safetensors.index.json",
                       "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}");
    refuse(folder, STATUS_BAD_INPUT, "model.embed_tokens.weight", "there twice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_a_folder),
        cmocka_unit_test(opens_gguf),
        IN_FOLDER(fingerprints_tell_models_apart),
        IN_FOLDER(refuses_missing_files),
        IN_FOLDER(refuses_truncated_files),
        IN_FOLDER(refuses_contradicting_shapes),
        IN_FOLDER(refuses_norms_that_the_configuration_leaves_out),
        IN_FOLDER(refuses_other_types),
        IN_FOLDER(refuses_bad_gguf_tensors),
        IN_FOLDER(refuses_quantised_vectors_and_duplicates),
        IN_FOLDER(refuses_a_vocabulary_without_tensors),
        IN_FOLDER(refuses_one_tensor_in_two_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
