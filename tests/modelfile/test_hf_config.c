/* config.json and generation_config.json: both spellings, defaults, and every refusal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "modelfile/hf_config.h"
#include "tests/modelfile/model_fixture.h"

#define COUNTS(type)                                                                                         \
    "\"model_type\":\"" type "\",\"vocab_size\":1000,\"hidden_size\":64,\"num_hidden_layers\":4,"            \
    "\"num_attention_heads\":8,\"num_key_value_heads\":2,\"intermediate_size\":96,"                          \
    "\"max_position_embeddings\":4096"
#define EXPERTS "\"num_experts\":8,\"num_experts_per_tok\":2,\"moe_intermediate_size\":32"

static enum status parse(const char *text, struct model_spec *spec) {
    return hf_config_parse(text, strlen(text), "config.json", spec);
}

/* A config of the given kind with more fields. */
static enum status parse_with(const char *counts, const char *fields, struct model_spec *spec) {
    char text[2048];
    snprintf(text, sizeof text, "{%s%s%s}", counts, fields[0] ? "," : "", fields);
    return parse(text, spec);
}

static struct model_spec good(const char *counts, const char *fields) {
    struct model_spec spec;
    if (parse_with(counts, fields, &spec) != STATUS_OK) fail_msg("%s", status_message());
    return spec;
}

static void refuse(const char *counts, const char *fields, const char *word, const char *other_word) {
    struct model_spec spec;
    expect_refusal(parse_with(counts, fields, &spec), STATUS_BAD_INPUT, "config.json", word, other_word,
                   NULL);
}

static struct model_spec parse_data(const char *folder) {
    struct model_spec spec;
    char path[SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "modelfile/%s/config.json", folder);
    struct bytes text = read_test_data(path);
    assert_int_equal(hf_config_parse(text.data, text.size, path, &spec), STATUS_OK);
    bytes_free(&text);
    snprintf(path, sizeof path, "modelfile/%s/generation_config.json", folder);
    text = read_test_data(path);
    assert_int_equal(hf_generation_parse(text.data, text.size, path, &spec), STATUS_OK);
    bytes_free(&text);
    return spec;
}

static void reads_real_qwen3(void **state) {
    (void)state;
    const struct model_spec small = parse_data("qwen3-0.6b");
    assert_int_equal(small.architecture, MODEL_QWEN3);
    assert_int_equal(small.n_layers, 28);
    assert_int_equal(small.hidden_size, 1024);
    assert_int_equal(small.n_heads, 16);
    assert_int_equal(small.n_kv_heads, 8);
    assert_int_equal(small.head_dim, 128);
    assert_int_equal(small.mlp_size, 3072);
    assert_int_equal(small.vocab_size, 151936);
    assert_int_equal(small.context_length, 32768);
    assert_int_equal(small.sliding_window, 0);
    assert_true(small.tied_embeddings && small.qk_norm && !small.attention_bias && !small.output_bias);
    assert_true(small.rope.scaling == ROPE_PLAIN && small.rope.theta == 1e6);
    assert_true(small.rms_norm_eps == 1e-6f);
    assert_int_equal(small.bos_id, 151643);
    assert_int_equal(small.n_eos, 1);
    assert_false(small.generation.do_sample);
    assert_true(isnan(small.generation.temperature) && small.generation.top_k == -1);

    const struct model_spec large = parse_data("qwen3-8b");
    assert_int_equal(large.n_layers, 36);
    assert_false(large.tied_embeddings);
    assert_int_equal(large.n_eos, 2);
    assert_int_equal(large.eos_ids[0], 151645);
    assert_int_equal(large.eos_ids[1], 151643);
    assert_true(large.generation.do_sample && large.generation.top_k == 20);
    assert_true(large.generation.temperature == 0.6 && large.generation.top_p == 0.95);
    assert_true(isnan(large.generation.min_p) && isnan(large.generation.repetition_penalty));
    assert_int_equal(parse_data("qwen3-1.7b").hidden_size, 2048);
}

static void both_spellings_agree(void **state) {
    (void)state;
    const struct model_spec old =
        good(COUNTS("qwen3_moe"), EXPERTS ",\"rope_theta\":5000.0,\"rope_scaling\":{"
                                          "\"type\":\"linear\",\"factor\":2},"
                                          "\"torch_dtype\":\"bfloat16\"");
    const struct model_spec new = good(
        COUNTS("qwen3_moe"), "\"num_local_experts\":8,\"num_experts_per_tok\":2,\"moe_intermediate_size\":32,"
                             "\"rope_parameters\":{\"rope_theta\":5000.0,\"rope_type\":\"linear\","
                             "\"factor\":2.0},\"dtype\":\"bfloat16\"");
    assert_int_equal(old.n_experts, 8);
    assert_int_equal(new.n_experts, 8);
    assert_int_equal(new.n_experts_used, 2);
    assert_int_equal(new.expert_size, 32);
    assert_int_equal(new.mlp_size, 0);
    assert_false(new.norm_topk_prob);
    assert_true(old.rope.scaling == ROPE_LINEAR && new.rope.scaling == ROPE_LINEAR);
    assert_true(old.rope.theta == 5000 && new.rope.theta == 5000);
    assert_true(old.rope.factor == 2 && new.rope.factor == 2);
}

static void nulls_and_absences_are_alike(void **state) {
    (void)state;
    const struct model_spec spec =
        good(COUNTS("llama"), "\"rope_scaling\":null,\"head_dim\":null,\"bos_token_id\":null,"
                              "\"eos_token_id\":null,\"rope_parameters\":null,\"quantization_config\":null");
    assert_int_equal(spec.head_dim, 8);
    assert_int_equal(spec.bos_id, -1);
    assert_int_equal(spec.n_eos, 0);
    assert_true(spec.rope.theta == 10000 && spec.rms_norm_eps == 1e-6f);
    assert_int_equal(good(COUNTS("llama"), "\"head_dim\":16").head_dim, 16);
    assert_int_equal(good(COUNTS("qwen3"), "").head_dim, 128);
    assert_int_equal(
        good("\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":1,"
             "\"num_attention_heads\":4,\"intermediate_size\":9,\"max_position_embeddings\":9",
             "")
            .n_kv_heads,
        4);
}

static void biases_follow_the_architecture(void **state) {
    (void)state;
    const struct model_spec qwen2 = good(COUNTS("qwen2"), "");
    assert_true(qwen2.attention_bias && !qwen2.output_bias && !qwen2.qk_norm);
    const struct model_spec llama = good(COUNTS("llama"), "\"attention_bias\":true");
    assert_true(llama.attention_bias && llama.output_bias);
    refuse(COUNTS("mistral"), "\"attention_bias\":true", "attention_bias", "not supported");
}

static void reads_llama3_scaling(void **state) {
    (void)state;
    const struct rope_spec rope =
        good(COUNTS("llama"),
             "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1,"
             "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":2048}")
            .rope;
    assert_int_equal(rope.scaling, ROPE_LLAMA3);
    assert_true(rope.factor == 8 && rope.low_freq_factor == 1 && rope.high_freq_factor == 4);
    assert_true(rope.original_context == 2048 && rope.attention_factor == 1);
    refuse(COUNTS("llama"), "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}", "rope_scaling",
           "low_freq_factor is missing");
}

static void yarn_defaults_are_those_of_transformers(void **state) {
    (void)state;
    const struct model_spec plain =
        good(COUNTS("qwen3"), "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
                              "\"original_max_position_embeddings\":2048}");
    assert_int_equal(plain.rope.scaling, ROPE_YARN);
    assert_true(plain.rope.beta_fast == 32 && plain.rope.beta_slow == 1 && plain.rope.truncate);
    assert_true(fabs(plain.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-15);
    assert_int_equal(plain.context_length, 8192);

    const struct rope_spec ratio =
        good(COUNTS("qwen3"), "\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":2,"
                              "\"mscale_all_dim\":0.5,\"truncate\":false,\"beta_fast\":0}")
            .rope;
    assert_true(fabs(ratio.attention_factor - (0.2 * log(4) + 1) / (0.05 * log(4) + 1)) < 1e-15);
    assert_true(ratio.original_context == 4096 && ratio.beta_fast == 32 && !ratio.truncate);

    const struct rope_spec implied =
        good(COUNTS("qwen3"),
             "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":null,\"attention_factor\":1.5,"
             "\"original_max_position_embeddings\":512}")
            .rope;
    assert_true(implied.factor == 8 && implied.attention_factor == 1.5);
    refuse(COUNTS("qwen3"),
           "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2,\"beta_fast\":1,\"beta_slow\":2}",
           "beta_fast", "beta_slow");
}

static void windows_follow_transformers(void **state) {
    (void)state;
    assert_int_equal(good(COUNTS("mistral"), "\"sliding_window\":8").sliding_window, 8);
    assert_int_equal(good(COUNTS("mistral"), "\"sliding_window\":null").sliding_window, 0);
    assert_int_equal(good(COUNTS("mistral"), "").sliding_window, 4096);
    assert_int_equal(good(COUNTS("llama"), "\"sliding_window\":8").sliding_window, 0);
    assert_int_equal(good(COUNTS("qwen2"), "\"sliding_window\":8").sliding_window, 0);
    const char *used = "\"use_sliding_window\":true,\"sliding_window\":8";
    char fields[256];
    snprintf(fields, sizeof fields, "%s,\"max_window_layers\":0", used);
    assert_int_equal(good(COUNTS("qwen2"), fields).sliding_window, 8);
    snprintf(fields, sizeof fields, "%s,\"max_window_layers\":4", used);
    assert_int_equal(good(COUNTS("qwen2"), fields).sliding_window, 0);
    snprintf(fields, sizeof fields, "%s,\"max_window_layers\":3", used);
    refuse(COUNTS("qwen2"), fields, "max_window_layers", "3");
    snprintf(fields, sizeof fields, "%s,\"layer_types\":[\"sliding_attention\",\"sliding_attention\"]", used);
    assert_int_equal(good(COUNTS("qwen3"), fields).sliding_window, 8);
    snprintf(fields, sizeof fields, "%s,\"layer_types\":[\"full_attention\",\"sliding_attention\"]", used);
    refuse(COUNTS("qwen3"), fields, "layer_types", "mixes");
    refuse(COUNTS("qwen3"), "\"layer_types\":[\"sliding_attention\"]", "layer_types", "no sliding window");
    refuse(COUNTS("qwen3"), "\"layer_types\":[\"linear_attention\"]", "layer_types", "linear_attention");
    snprintf(fields, sizeof fields, EXPERTS ",%s,\"max_window_layers\":3", used);
    assert_int_equal(good(COUNTS("qwen3_moe"), fields).sliding_window, 8);
}

static void refuses_unsupported_fields(void **state) {
    (void)state;
    static const struct {
        const char *counts, *fields, *word, *other_word;
    } cases[] = {
        {COUNTS("gpt2"), "", "model_type", "gpt2"},
        {COUNTS("llama"), "\"hidden_act\":\"gelu\"", "hidden_act", "gelu"},
        {COUNTS("llama"), "\"mlp_bias\":true", "mlp_bias", "true"},
        {COUNTS("llama"), "\"partial_rotary_factor\":0.5", "partial_rotary_factor", "0.5"},
        {COUNTS("llama"), "\"rope_parameters\":{\"partial_rotary_factor\":0.5}", "partial_rotary_factor",
         "0.5"},
        {COUNTS("llama"), "\"quantization_config\":{\"bits\":4}", "quantization_config", "bits"},
        {COUNTS("llama"), "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", "rope_scaling.type",
         "dynamic"},
        {COUNTS("llama"), "\"rope_scaling\":{\"rope_type\":\"longrope\"}", "rope_scaling.rope_type",
         "longrope"},
        {COUNTS("llama"), "\"rope_parameters\":{\"full_attention\":{}}", "rope_parameters", "full_attention"},
        {COUNTS("llama"), "\"rope_scaling\":{\"type\":\"linear\"}", "rope_scaling.factor", "missing"},
        {COUNTS("qwen3_moe"), EXPERTS ",\"decoder_sparse_step\":2", "decoder_sparse_step", "2"},
        {COUNTS("qwen3_moe"), EXPERTS ",\"mlp_only_layers\":[0]", "mlp_only_layers", "[0]"},
        {COUNTS("qwen3_moe"), "", "num_experts", "missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].counts, cases[i].fields, cases[i].word, cases[i].other_word);
}

static void refuses_values_out_of_range(void **state) {
    (void)state;
    static const struct {
        const char *text, *word, *other_word;
    } cases[] = {
        {"{\"model_type\":\"llama\"}", "num_hidden_layers", "missing"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":1025}", "num_hidden_layers", "1025"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":0}", "num_hidden_layers", "0"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":-3}", "num_hidden_layers", "-3"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":\"4\"}", "num_hidden_layers", "\"4\""},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":2.5}", "num_hidden_layers", "2.5"},
        {"{\"model_type\":7}", "model_type", "a text"},
        {"{}", "model_type", "missing"},
    };
    struct model_spec spec;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(parse(cases[i].text, &spec), STATUS_BAD_INPUT, cases[i].word, cases[i].other_word,
                       NULL);
    refuse(COUNTS("llama"), "\"head_dim\":7", "head_dim", "even");
    refuse(COUNTS("llama"), "\"head_dim\":2048", "head_dim", "2048");
    refuse(COUNTS("llama"), "\"rms_norm_eps\":2", "rms_norm_eps", "2");
    refuse(COUNTS("llama"), "\"rope_theta\":0", "rope_theta", "0");
    refuse(COUNTS("llama"), "\"eos_token_id\":1000", "eos_token_id", "999");
    refuse(COUNTS("llama"), "\"eos_token_id\":[1,-2]", "eos_token_id", "-2");
    refuse(COUNTS("llama"), "\"tie_word_embeddings\":1", "tie_word_embeddings", "true or false");
    refuse(COUNTS("qwen3_moe"), "\"num_experts\":2,\"num_experts_per_tok\":3,\"moe_intermediate_size\":4",
           "3 experts", "only 2");
    refuse("\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":9,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":4,\"intermediate_size\":9,\"max_position_embeddings\":9",
           "", "head_dim", "hidden size 9");
    refuse("\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":4,\"num_key_value_heads\":3,\"intermediate_size\":9,"
           "\"max_position_embeddings\":9",
           "", "4 attention heads", "3 key/value heads");
}

static void refuses_bad_json(void **state) {
    (void)state;
    struct model_spec spec;
    expect_refusal(parse("{", &spec), STATUS_BAD_INPUT, "config.json", "JSON", NULL);
    expect_refusal(parse("[]", &spec), STATUS_BAD_INPUT, "not an object", NULL);
    expect_refusal(parse("{\"a\":1,\"a\":2}", &spec), STATUS_BAD_INPUT, "JSON", "duplicate", NULL);
    expect_refusal(parse("{\"model_type\":\"\xff\"}", &spec), STATUS_BAD_INPUT, "not valid UTF-8", NULL);
    expect_refusal(parse("{\"model_type\":1e999}", &spec), STATUS_BAD_INPUT, "JSON", NULL);
    char deep[512] = "{\"a\":";
    memset(deep + 5, '[', 200);
    expect_refusal(parse(deep, &spec), STATUS_BAD_INPUT, "nested deeper", NULL);
}

static void reads_generation_defaults(void **state) {
    (void)state;
    struct model_spec spec = good(COUNTS("llama"), "\"eos_token_id\":[5,6]");
    const char *text =
        "{\"eos_token_id\":[6,7],\"do_sample\":true,\"temperature\":0.5,\"top_p\":0.9,\"top_k\":0,"
        "\"min_p\":0.1,\"repetition_penalty\":1.1}";
    assert_int_equal(hf_generation_parse(text, strlen(text), "generation_config.json", &spec), STATUS_OK);
    assert_int_equal(spec.n_eos, 3);
    assert_int_equal(spec.eos_ids[2], 7);
    assert_true(spec.generation.min_p == 0.1 && spec.generation.repetition_penalty == 1.1);
    assert_int_equal(spec.generation.top_k, 0);
    expect_refusal(hf_generation_parse("{\"top_p\":2}", 11, "generation_config.json", &spec),
                   STATUS_BAD_INPUT, "generation_config.json", "top_p", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_real_qwen3),
        cmocka_unit_test(both_spellings_agree),
        cmocka_unit_test(nulls_and_absences_are_alike),
        cmocka_unit_test(biases_follow_the_architecture),
        cmocka_unit_test(reads_llama3_scaling),
        cmocka_unit_test(yarn_defaults_are_those_of_transformers),
        cmocka_unit_test(windows_follow_transformers),
        cmocka_unit_test(refuses_unsupported_fields),
        cmocka_unit_test(refuses_values_out_of_range),
        cmocka_unit_test(refuses_bad_json),
        cmocka_unit_test(reads_generation_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
