/* A model's configuration from GGUF metadata. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "modelfile/gguf_config.h"
#include "tests/modelfile/model_fixture.h"

/* Everything required; head_dim 8 from 64 / 8. */
static struct gguf_writer begin(const char *architecture) {
    static const struct gguf_number numbers[] = {
        {"block_count", 4},          {"embedding_length", 64},
        {"attention.head_count", 8}, {"attention.head_count_kv", 2},
        {"feed_forward_length", 96}, {"context_length", 4096},
        {"vocab_size", 1000},
    };
    return gguf_begin(architecture, numbers, sizeof numbers / sizeof *numbers, 1e-5f);
}

static enum status finish(struct gguf_writer *writer, struct model_spec *spec) {
    struct bytes file = gguf_finish(writer);
    struct gguf *gguf;
    enum status status = gguf_parse(file.data, file.size, file.size, "m.gguf", &gguf);
    bytes_free(&file);
    if (status != STATUS_OK) return status;
    status = gguf_config_read(gguf, "m.gguf", spec);
    gguf_close(gguf);
    return status;
}

static struct model_spec good(struct gguf_writer writer) {
    struct model_spec spec;
    if (finish(&writer, &spec) != STATUS_OK) fail_msg("%s", status_message());
    return spec;
}

static void refuse(struct gguf_writer writer, const char *word, const char *other_word) {
    struct model_spec spec;
    expect_refusal(finish(&writer, &spec), STATUS_BAD_INPUT, "m.gguf", word, other_word, NULL);
}

static void refuse_number(const char *architecture, const char *name, uint32_t value, const char *word,
                          const char *other_word) {
    struct gguf_writer writer = begin(architecture);
    gguf_add_u32(&writer, name, value);
    refuse(writer, word, other_word);
}

static void add_tensor(struct gguf_writer *writer, const char *name) {
    gguf_add_tensor(writer, name, 0, 16, 1, (int64_t[]){4});
}

static void reads_llama(void **state) {
    (void)state;
    struct gguf_writer writer = begin("llama");
    gguf_add_u32(&writer, "llama.rope.dimension_count", 8);
    gguf_add_f32(&writer, "llama.rope.freq_base", 500000);
    add_tensor(&writer, "output.weight");
    const struct model_spec spec = good(writer);
    assert_int_equal(spec.architecture, MODEL_LLAMA);
    assert_true(spec.n_layers == 4 && spec.hidden_size == 64 && spec.n_heads == 8 && spec.n_kv_heads == 2);
    assert_true(spec.head_dim == 8 && spec.mlp_size == 96 && spec.vocab_size == 1000);
    assert_true(spec.context_length == 4096 && spec.rms_norm_eps == 1e-5f);
    assert_true(spec.rope.theta == 500000 && spec.rope.scaling == ROPE_PLAIN);
    assert_true(!spec.tied_embeddings && !spec.attention_bias && !spec.qk_norm);
    assert_true(spec.bos_id == -1 && spec.n_eos == 0);
    assert_true(isnan(spec.generation.temperature) && !spec.generation.do_sample);
}

static void tensors_decide_what_the_metadata_leaves_open(void **state) {
    (void)state;
    struct gguf_writer writer = begin("qwen2");
    add_tensor(&writer, "blk.0.attn_q.bias");
    const struct model_spec qwen2 = good(writer);
    assert_true(qwen2.attention_bias && !qwen2.output_bias && qwen2.tied_embeddings);
    writer = begin("llama");
    add_tensor(&writer, "rope_freqs.weight");
    add_tensor(&writer, "blk.0.attn_output.bias");
    const struct model_spec llama = good(writer);
    assert_int_equal(llama.rope.scaling, ROPE_FACTORS);
    assert_true(llama.output_bias);
}

static void reads_experts(void **state) {
    (void)state;
    struct gguf_writer writer = begin("qwen3moe");
    gguf_add_u32(&writer, "qwen3moe.expert_count", 8);
    gguf_add_u32(&writer, "qwen3moe.expert_used_count", 2);
    gguf_add_u32(&writer, "qwen3moe.expert_feed_forward_length", 32);
    gguf_add_u32(&writer, "qwen3moe.attention.key_length", 16);
    gguf_add_u32(&writer, "qwen3moe.attention.value_length", 16);
    const struct model_spec spec = good(writer);
    assert_true(spec.n_experts == 8 && spec.n_experts_used == 2 && spec.expert_size == 32);
    assert_true(spec.mlp_size == 0 && spec.head_dim == 16 && spec.qk_norm && spec.norm_topk_prob);
}

static void reads_rope_scaling(void **state) {
    (void)state;
    struct gguf_writer writer = begin("llama");
    gguf_add_f32(&writer, "llama.rope.scale_linear", 2);
    struct rope_spec rope = good(writer).rope;
    assert_true(rope.scaling == ROPE_LINEAR && rope.factor == 2);

    writer = begin("llama");
    gguf_add_text(&writer, "llama.rope.scaling.type", "none");
    gguf_add_f32(&writer, "llama.rope.scaling.factor", 2);
    assert_int_equal(good(writer).rope.scaling, ROPE_PLAIN);

    writer = begin("qwen3");
    gguf_add_text(&writer, "qwen3.rope.scaling.type", "yarn");
    gguf_add_f32(&writer, "qwen3.rope.scaling.factor", 4);
    gguf_add_u32(&writer, "qwen3.rope.scaling.original_context_length", 2048);
    const struct model_spec yarn = good(writer);
    assert_true(yarn.rope.scaling == ROPE_YARN && yarn.rope.factor == 4 && yarn.rope.truncate);
    assert_true(yarn.rope.original_context == 2048 && yarn.rope.beta_fast == 32 && yarn.rope.beta_slow == 1);
    assert_true(fabs(yarn.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-15);
    assert_int_equal(yarn.context_length, 8192);
}

static void reads_tokens(void **state) {
    (void)state;
    const char *tokens[] = {"a", "<s>", "</s>", "<|im_end|>", "<|eot_id|>"};
    const int32_t types[] = {1, 3, 3, 3, 1};
    struct gguf_writer writer = begin("llama");
    gguf_add_texts(&writer, "tokenizer.ggml.tokens", 5, tokens);
    gguf_add_array(&writer, "tokenizer.ggml.token_type", 5, 5, types, sizeof types);
    gguf_add_u32(&writer, "tokenizer.ggml.bos_token_id", 1);
    gguf_add_u32(&writer, "tokenizer.ggml.eos_token_id", 2);
    gguf_add_u32(&writer, "tokenizer.ggml.eot_token_id", UINT32_MAX);
    gguf_add_f32(&writer, "general.sampling.temp", 0.5f);
    const struct model_spec spec = good(writer);
    assert_int_equal(spec.vocab_size, 5); /* the tokens, not the 1,000 of llama.vocab_size */
    assert_int_equal(spec.bos_id, 1);
    assert_int_equal(spec.n_eos, 2); /* </s>, and the control token; the ordinary one is none */
    assert_true(spec.eos_ids[0] == 2 && spec.eos_ids[1] == 3);
    assert_true(spec.generation.do_sample && spec.generation.temperature == 0.5);

    refuse_number("llama", "tokenizer.ggml.eos_token_id", 1000, "tokenizer.ggml.eos_token_id", "1000");
}

static void refuses_unsupported_metadata(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    refuse(writer, "general.architecture", "missing");
    writer = (struct gguf_writer){0};
    gguf_add_text(&writer, "general.architecture", "gemma\x1b[2J");
    refuse(writer, "general.architecture", "gemma?[2J");
    refuse_number("llama", "llama.expert_count", 8, "llama.expert_count", "8");
    refuse_number("llama", "llama.rope.dimension_count", 4, "llama.rope.dimension_count", "4");
    refuse_number("llama", "llama.attention.value_length", 4, "llama.attention.value_length", "4");
    refuse_number("llama", "split.count", 3, "one of 3 parts", "merge");
    writer = begin("llama");
    gguf_add_f32(&writer, "llama.rope.scaling.factor", 2);
    gguf_add_text(&writer, "llama.rope.scaling.type", "longrope");
    refuse(writer, "llama.rope.scaling.type", "longrope");
    refuse_number("qwen3", "qwen3.attention.sliding_window", 8, "qwen3.attention.sliding_window", "8");
    writer = begin("llama");
    add_tensor(&writer, "blk.0.ffn_up.bias");
    refuse(writer, "blk.0.ffn_up.bias", "not supported");
    writer = begin("qwen3moe");
    refuse(writer, "qwen3moe.expert_count", "missing");
}

static void refuses_values_out_of_range(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    gguf_add_text(&writer, "general.architecture", "llama");
    gguf_add_u32(&writer, "llama.block_count", 0);
    refuse(writer, "llama.block_count is 0", "from 1 to 1024");
    writer = (struct gguf_writer){0};
    gguf_add_text(&writer, "general.architecture", "llama");
    gguf_add_f32(&writer, "llama.block_count", 4);
    refuse(writer, "llama.block_count", "whole number");
    writer = begin("llama");
    gguf_add_f32(&writer, "llama.rope.freq_base", NAN);
    refuse(writer, "llama.rope.freq_base", "nan");
    writer = begin("llama");
    gguf_add_text(&writer, "llama.rope.freq_base", "10000");
    refuse(writer, "llama.rope.freq_base", "single number");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_llama),
        cmocka_unit_test(tensors_decide_what_the_metadata_leaves_open),
        cmocka_unit_test(reads_experts),
        cmocka_unit_test(reads_rope_scaling),
        cmocka_unit_test(reads_tokens),
        cmocka_unit_test(refuses_unsupported_metadata),
        cmocka_unit_test(refuses_values_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
