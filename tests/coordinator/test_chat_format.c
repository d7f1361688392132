#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/chat_format.h"

enum { MAX_MESSAGES = 16 };

static char *read_template(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/chat/%s", TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

/* A copy of `text` in which `from`, which must occur, is `to` everywhere. */
static char *with(const char *text, const char *from, const char *to) {
    char *copy = calloc(1, 1 << 17), *end = copy;
    assert_non_null(copy);
    assert_non_null(strstr(text, from));
    for (const char *found; (found = strstr(text, from)) != NULL; text = found + strlen(from))
        end += sprintf(end, "%.*s%s", (int)(found - text), text, to);
    strcpy(end, text);
    return copy;
}

static enum chat_format detect(const char *template_source) {
    enum chat_format format;
    assert_int_equal(chat_format_detect(template_source, &format), STATUS_OK);
    return format;
}

static void assert_refused(const char *template_source) {
    enum chat_format format = CHAT_RAW;
    assert_int_equal(chat_format_detect(template_source, &format), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "--raw"));
    assert_non_null(strstr(status_message(), "--chat-format"));
}

static void check_case(const json_t *entry) {
    char *source = read_template(json_string_value(json_object_get(entry, "template")));
    const json_t *dialogue = json_object_get(entry, "messages");
    const struct chat_options options = {json_is_true(json_object_get(entry, "add_generation_prompt")),
                                         !json_is_false(json_object_get(entry, "enable_thinking"))};
    struct chat_message messages[MAX_MESSAGES];
    const size_t n = json_array_size(dialogue);
    assert_true(n <= MAX_MESSAGES);
    for (size_t i = 0; i < n; i++) {
        messages[i].role = json_string_value(json_object_get(json_array_get(dialogue, i), "role"));
        messages[i].content = json_string_value(json_object_get(json_array_get(dialogue, i), "content"));
    }
    struct bytes text = {0};
    assert_int_equal(chat_format_render(detect(source), messages, n, options, &text), STATUS_OK);
    assert_string_equal(text.data, json_string_value(json_object_get(entry, "rendered")));
    assert_int_equal(text.size, json_string_length(json_object_get(entry, "rendered")));
    bytes_free(&text);
    free(source);
}

static void check_file(const char *name, size_t n_cases) {
    char path[512];
    snprintf(path, sizeof path, "%s/chat/%s", TEST_DATA, name);
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    assert_non_null(document);
    const json_t *cases = json_object_get(document, "cases");
    assert_int_equal(json_array_size(cases), n_cases);
    for (size_t i = 0; i < n_cases; i++)
        check_case(json_array_get(cases, i));
    json_decref(document);
}

static void renders_as_transformers(void **state) {
    (void)state;
    check_file("rendered.json", 48);
}

static void renders_edge_cases(void **state) {
    (void)state;
    check_file("more.json", 312);
}

static void detects_families(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum chat_format format;
    } cases[] = {
        {"Qwen-Qwen2.5-7B-Instruct.jinja", CHAT_QWEN2_5},
        {"Qwen-Qwen3-0.6B.jinja", CHAT_QWEN3},
        {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", CHAT_R1_DISTILL},
        {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", CHAT_R1_DISTILL},
        {"meta-llama-Llama-3.1-8B-Instruct.jinja", CHAT_LLAMA3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *source = read_template(cases[i].name);
        assert_int_equal(detect(source), cases[i].format);
        free(source);
    }
}

static void check_variant(const char *name, const char *from, const char *to, enum chat_format format) {
    char *source = read_template(name), *variant = with(source, from, to);
    assert_int_equal(detect(variant), format);
    free(variant);
    free(source);
}

static void detects_variants_that_render_alike(void **state) {
    (void)state;
    const char *qwen3 = "Qwen-Qwen3-0.6B.jinja", *llama = "meta-llama-Llama-3.1-8B-Instruct.jinja";
    check_variant(qwen3, "message.reasoning_content is defined and message.reasoning_content is not none",
                  "message.reasoning_content is string", CHAT_QWEN3);
    check_variant(qwen3, "split('</think>')[-1]", "split('</think>')|last", CHAT_QWEN3);
    check_variant(qwen3, "\n    ", " ", CHAT_QWEN3);
    check_variant(qwen3, "\\n", "\n", CHAT_QWEN3);
    check_variant(llama, "{%- set date_string = \"26 Jul 2024\" %}",
                  "{%- if strftime_now is defined %}{%- set date_string = strftime_now(\"%d %b %Y\") %}"
                  "{%- else %}{%- set date_string = \"26 Jul 2024\" %}{%- endif %}",
                  CHAT_LLAMA3);
    check_variant(llama, " | trim", "|trim", CHAT_LLAMA3);
    check_variant("Qwen-Qwen2.5-7B-Instruct.jinja", "You are Qwen, created by Alibaba Cloud. ", "",
                  CHAT_QWEN2);
}

static void detects_qwen3_thinking(void **state) {
    (void)state;
    char *source = read_template("Qwen-Qwen3-0.6B.jinja");
    strstr(source, "{{- '<|im_start|>assistant\\n' }}")[0] = '\0';
    strcat(source, "{{- '<|im_start|>assistant\\n<think>\\n' }}\n{%- endif %}");
    assert_int_equal(detect(source), CHAT_QWEN3_THINKING);
    free(source);
    const struct chat_message question = {"user", "Hello"};
    struct bytes text = {0};
    const struct chat_options options = {true, true};
    assert_int_equal(chat_format_render(CHAT_QWEN3_THINKING, &question, 1, options, &text), STATUS_OK);
    assert_string_equal(text.data, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n<think>\n");
    bytes_free(&text);
}

static const char plain_chatml[] =
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

static void detects_plain_chatml(void **state) {
    (void)state;
    assert_int_equal(detect(plain_chatml), CHAT_CHATML);
    assert_int_equal(
        detect("{% for m in messages %}{{\"<|im_start|>\" + m[\"role\"] + \"\n\" + m[\"content\"] + "
               "\"<|im_end|>\" + \"\n\"}}{% endfor %}{% if add_generation_prompt %}"
               "{{ \"<|im_start|>assistant\n\" }}{% endif %}"),
        CHAT_CHATML);
    assert_int_equal(
        detect("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
               "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
               "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
               "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
               "{% endif %}"),
        CHAT_QWEN2);
}

static void assert_variant_refused(const char *source, const char *from, const char *to) {
    char *variant = with(source, from, to);
    assert_refused(variant);
    free(variant);
}

static void refuses_what_may_render_otherwise(void **state) {
    (void)state;
    assert_refused(NULL);
    assert_refused("");
    assert_refused("<|im_start|>");
    assert_refused("{% for message in messages %}[INST] {{ message.content }} [/INST]{% endfor %}");
    assert_variant_refused(plain_chatml, "message.content", "message.content | trim");
    assert_variant_refused(plain_chatml, "{%- for",
                           "{{- '<|im_start|>system\\nYou are Dolphin.<|im_end|>\\n' }}{%- for");
    assert_variant_refused(plain_chatml, "assistant\\n", "assistant\\n<think>\\n");
    char *qwen3 = read_template("Qwen-Qwen3-0.6B.jinja");
    assert_variant_refused(qwen3, "set content = message.content", "set content = message.content|trim");
    assert_variant_refused(qwen3, "loop.index0 > ns.last_query_index", "true");
    assert_variant_refused(qwen3, "'<think>\\n\\n</think>\\n\\n' }}",
                           "'<think>\\n\\n</think>\\n\\n' }}{%- else %}{{- '<think>\\n' }}");
    free(qwen3);
    char *llama = read_template("meta-llama-Llama-3.1-8B-Instruct.jinja");
    assert_variant_refused(llama, "system_message = \"\"", "system_message = \"You are Hermes.\"");
    assert_variant_refused(llama, "Cutting Knowledge Date: December 2023\\n", "");
    free(llama);
    char *distill = read_template("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja");
    assert_variant_refused(distill, "<｜Assistant｜><think>\\n", "<｜Assistant｜>");
    free(distill);
}

static void refuses_bad_dialogues(void **state) {
    (void)state;
    struct bytes text = {0};
    const struct chat_options options = {true, true};
    const struct chat_message messages[] = {{"user", "Hello"}, {"tool", "3"}};
    for (int format = CHAT_RAW; format <= CHAT_R1_DISTILL; format++) {
        assert_int_equal(chat_format_render((enum chat_format)format, messages, 0, options, &text),
                         STATUS_BAD_INPUT);
        assert_int_equal(chat_format_render((enum chat_format)format, messages, 2, options, &text),
                         STATUS_BAD_INPUT);
        assert_non_null(strstr(status_message(), "message 2 has role 'tool'"));
    }
    assert_int_equal(text.size, 0);
}

static void names_go_both_ways(void **state) {
    (void)state;
    for (int i = CHAT_RAW; i <= CHAT_R1_DISTILL; i++) {
        enum chat_format format;
        assert_int_equal(chat_format_from_name(chat_format_name((enum chat_format)i), &format), STATUS_OK);
        assert_int_equal(format, i);
    }
    enum chat_format format;
    assert_int_equal(chat_format_from_name("alpaca", &format), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "'alpaca'"));
    assert_non_null(strstr(status_message(), "qwen3-thinking"));
    assert_string_equal(chat_format_end_of_turn(CHAT_LLAMA3), "<|eot_id|>");
    assert_null(chat_format_end_of_turn(CHAT_RAW));
}

static void renders_plain_formats(void **state) {
    (void)state;
    const struct chat_message messages[] = {{"system", "Be brief."}, {"user", " Hello\n"}};
    struct bytes text = {0};
    assert_int_equal(chat_format_render(CHAT_RAW, messages, 2, (struct chat_options){true, true}, &text),
                     STATUS_OK);
    assert_string_equal(text.data, "Be brief. Hello\n");
    bytes_clear(&text);
    assert_int_equal(
        chat_format_render(CHAT_CHATML, messages + 1, 1, (struct chat_options){true, true}, &text),
        STATUS_OK);
    assert_string_equal(text.data, "<|im_start|>user\n Hello\n<|im_end|>\n<|im_start|>assistant\n");
    bytes_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_as_transformers),
        cmocka_unit_test(renders_edge_cases),
        cmocka_unit_test(detects_families),
        cmocka_unit_test(detects_variants_that_render_alike),
        cmocka_unit_test(detects_qwen3_thinking),
        cmocka_unit_test(detects_plain_chatml),
        cmocka_unit_test(refuses_what_may_render_otherwise),
        cmocka_unit_test(refuses_bad_dialogues),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(renders_plain_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
