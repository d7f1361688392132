/* The program's own table: precedence of YAML, environment and command line; what is refused. */
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/config.h"

enum { MAX_ARGUMENTS = 16, PATH_BYTES = 32 };

static enum status parse_with(struct config *config, const char *const *environment, const char *line) {
    char copy[1024], name[] = "caucus", *argv[MAX_ARGUMENTS] = {name};
    snprintf(copy, sizeof copy, "%s", line);
    int argc = 1;
    for (char *word = strtok(copy, " "); word && argc < MAX_ARGUMENTS; word = strtok(NULL, " "))
        argv[argc++] = word;
    return config_parse(argc, argv, (char *const *)(uintptr_t)environment, config);
}

static const char *const empty[] = {NULL};

static enum status parse(struct config *config, const char *line) {
    return parse_with(config, empty, line);
}

static void assert_refused(const char *sentence, const char *line) {
    struct config config;
    assert_int_equal(parse(&config, line), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), sentence);
}

/* The line, with --config and a file of this content, whose path was path_out. */
static enum status parse_yaml(struct config *config, const char *const *environment, const char *line,
                              const char *content, char path_out[PATH_BYTES]) {
    char whole[128];
    snprintf(path_out, PATH_BYTES, "/tmp/test_config_XXXXXX");
    const int descriptor = mkstemp(path_out);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, content, strlen(content)), strlen(content));
    close(descriptor);
    snprintf(whole, sizeof whole, "%s --config %s", line, path_out);
    const enum status status = parse_with(config, environment, whole);
    unlink(path_out);
    return status;
}

static void assert_yaml_refused(const char *sentence, const char *content) {
    char path[PATH_BYTES], expected[256];
    struct config config;
    assert_int_equal(parse_yaml(&config, empty, "run -m M", content, path), STATUS_BAD_INPUT);
    snprintf(expected, sizeof expected, "%s%s", path, sentence);
    assert_string_equal(status_message(), expected);
}

static void test_defaults(void **state) {
    (void)state;
    struct config config;
    assert_int_equal(parse(&config, "run -m M"), STATUS_OK);
    assert_int_equal(config.command, COMMAND_RUN);
    assert_string_equal(config.model, "M");
    assert_string_equal(config.policy, "full");
    assert_int_equal(config.budget, 2048);
    assert_true(config.recent_ratio == 0.25);
    assert_int_equal(config.sinks, 4);
    assert_int_equal(config.kv_type, DTYPE_F16);
    assert_int_equal(config.numerics, NUMERICS_REPRODUCIBLE);
    assert_int_equal(config.batch_tokens, 512);
    assert_int_equal(config.parallel, 1);
    assert_int_equal(config.max_tokens, -1);
    assert_int_equal(config.top_k, -1);
    assert_int_equal(config.logprobs, -1);
    assert_true(isnan(config.temperature) && isnan(config.top_p) && isnan(config.min_p) &&
                isnan(config.repetition_penalty));
    assert_true(config.thinking && config.thinking_output && config.add_special && config.parse_special);
    assert_null(config.system_prompt);
    assert_null(config.chat_format);
    config_free(&config);
}

static void test_command_line(void **state) {
    (void)state;
    struct config config;
    assert_int_equal(
        parse(&config, "run -mM -p one -p two -n 7 --temp 0.5 --select-layers 2,12 --no-thinking -vv"),
        STATUS_OK);
    assert_int_equal(config.prompts.n, 2);
    assert_int_equal(config.parallel, 2);
    assert_int_equal(config.max_tokens, 7);
    assert_true(config.temperature == 0.5);
    assert_int_equal(config.n_select_layers, 2);
    assert_int_equal(config.select_layers[1], 12);
    assert_false(config.thinking);
    assert_int_equal(config.verbosity, 2);
    config_free(&config);
    assert_int_equal(parse(&config, "plan -m M -n 3"), STATUS_OK);
    assert_int_equal(config.ranks, 3);
    config_free(&config);
    assert_int_equal(parse(&config, "score -m M --logits 0,99,7"), STATUS_OK);
    assert_int_equal(config.n_logits_positions, 3);
    assert_int_equal(config.logits_positions[1], 99);
    config_free(&config);
}

static void test_help_needs_no_model(void **state) {
    (void)state;
    struct config config;
    const char *const broken[] = {"CAUCUS_NONSENSE=1", NULL};
    assert_int_equal(parse_with(&config, broken, "run --help"), STATUS_OK);
    assert_true(config.help && config.command == COMMAND_RUN);
    config_free(&config);
    assert_int_equal(parse(&config, "--version"), STATUS_OK);
    assert_true(config.version && config.command == COMMAND_NONE);
    config_free(&config);
}

static void test_precedence(void **state) {
    (void)state;
    const char *const environment[] = {"CAUCUS_MODEL=from-environment", "CAUCUS_BUDGET=200",
                                       "CAUCUS_TEST_X=1", NULL};
    static const char content[] =
        "# a comment\nmodel: from-file\nbudget: 100\nsinks: 8\nthinking: no\n"
        "stop: [\"a b\", c]\nselect-layers:\n  - 1\n  - 5\nnumerics: fast\ntop-k: 300\n";
    char path[PATH_BYTES];
    struct config config;
    assert_int_equal(parse_yaml(&config, environment, "run --top-k 30 --stop z", content, path), STATUS_OK);
    assert_string_equal(config.model, "from-environment");
    assert_int_equal(config.budget, 200);
    assert_int_equal(config.sinks, 8);
    assert_false(config.thinking);
    assert_int_equal(config.n_select_layers, 2);
    assert_int_equal(config.numerics, NUMERICS_FAST);
    assert_int_equal(config.top_k, 30);
    assert_int_equal(config.stop.n, 1);
    assert_string_equal(config.stop.items[0], "z");
    config_free(&config);
}

/* Lists with ranges are lists in YAML too. */
static void test_bench_lists_in_yaml(void **state) {
    (void)state;
    static const char content[] = "n-prompt: [128, 256-1024*2]\nbudget: 64-66\npg: [\"8,4\"]\nthreads: 3\n";
    char path[PATH_BYTES];
    struct config config;
    assert_int_equal(parse_yaml(&config, empty, "bench -m M", content, path), STATUS_OK);
    assert_int_equal(config.n_prompt_sizes, 4);
    assert_memory_equal(config.prompt_sizes, ((int64_t[]){128, 256, 512, 1024}), 32);
    assert_int_equal(config.n_budgets, 3);
    assert_int_equal(config.budget, 64);
    assert_int_equal(config.threads, 3);
    assert_int_equal(config.prompt_and_generation.n, 1);
    assert_int_equal(config.repetitions, 5);
    assert_true(config.warmup && config.bench_format == BENCH_MARKDOWN);
    config_free(&config);
}

static void test_refused(void **state) {
    (void)state;
    assert_refused("no command given; 'caucus --help' lists those that exist", "");
    assert_refused("no command given; 'caucus --help' lists those that exist", "--");
    assert_refused("'rnu' is no command; did you mean 'run'?", "rnu -m M");
    assert_refused("'frobnicate' is no command; 'caucus --help' lists those that exist", "frobnicate");
    assert_refused("no model given; name a Hugging Face folder or a .gguf file with -m PATH or CAUCUS_MODEL",
                   "run -p x");
    assert_refused("--policy: one name is wanted; only bench and eval take several",
                   "run -m M --policy quest,raas");
    assert_refused("--recent-ratio: 1.5 is out of range; it must be from 0 to 1",
                   "score -m M --recent-ratio 1.5");
    assert_refused("--kv-type: 'q4' is none of f32, f16, bf16, q8, q8_0", "run -m M --kv-type q4");
    assert_refused("--tempature: unknown option; did you mean --temperature?", "run -m M --tempature 1");
    assert_refused("--prompt: 'score' does not take this option; 'run' does", "score -m M --prompt x");
    assert_refused("--prompt and --file cannot be given together", "run -m M -p x -f y");
    assert_refused("--logprobs has no place in plain text; it needs --json", "run -m M --logprobs 3");
    assert_refused("--parallel: 65 is out of range; it must be from 1 to 64", "run -m M --parallel 65");
    struct config config;
    const char *const misspelt[] = {"CAUCUS_TOPP=1", NULL};
    assert_int_equal(parse_with(&config, misspelt, "run -m M"), STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "CAUCUS_TOPP: this environment variable names no option; did you mean CAUCUS_TOP_P?");
    assert_int_equal(parse(&config, "run -m M --config /nonexistent.yaml"), STATUS_IO);
}

static void test_yaml_refused(void **state) {
    (void)state;
    assert_yaml_refused(":2: buget: unknown option; did you mean budget?", "sinks: 4\nbuget: 100\n");
    assert_yaml_refused(":1: config: unknown option", "config: other.yaml\n");
    assert_yaml_refused(":2: sinks: given twice", "sinks: 4\nsinks: 4\n");
    assert_yaml_refused(":2: temp: given twice", "temperature: 1\ntemp: 1\n");
    assert_yaml_refused(":1: top-p: 2 is out of range; it must be from 0 to 1", "top-p: 2\n");
    assert_yaml_refused(":1: top-p: one value is wanted, not a list", "top-p: [1]\n");
    assert_yaml_refused(":1: top-p: the value is missing", "top-p:\n");
    assert_yaml_refused(":1: only \"name: value\" and \"name: [value, …]\" can stand here", "stop: {a: b}\n");
    assert_yaml_refused(":1: only \"name: value\" and \"name: [value, …]\" can stand here", "stop: [[a]]\n");
    assert_yaml_refused(":1: only \"name: value\" and \"name: [value, …]\" can stand here", "[a]: b\n");
    assert_yaml_refused(":1: the file must consist of \"name: value\" lines", "- a\n");
    assert_yaml_refused(":1: the file must consist of \"name: value\" lines", "just text");
    assert_yaml_refused(":3: a second document begins; one is allowed", "sinks: 4\n\n---\nsinks: 5\n");
    assert_yaml_refused(":1: a text holds a NUL character", "system: \"a\\0b\"\n");
    assert_yaml_refused(":1: not YAML: control characters are not allowed", "system: \x01\n");
}

static void test_yaml_empty(void **state) {
    (void)state;
    static const char *const contents[] = {"", "# nothing\n", "{}\n", "---\n{}\n"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        char path[PATH_BYTES];
        struct config config;
        assert_int_equal(parse_yaml(&config, empty, "inspect -m M", contents[i], path), STATUS_OK);
        config_free(&config);
    }
}

static void test_yaml_too_large(void **state) {
    (void)state;
    static char content[1 << 19];
    memset(content, '#', sizeof content - 1);
    char path[PATH_BYTES];
    struct config config;
    assert_int_equal(parse_yaml(&config, empty, "inspect -m M", content, path), STATUS_BAD_INPUT);
}

/* Every example that comes with the sources. */
static void test_examples(void **state) {
    (void)state;
    glob_t files;
    assert_int_equal(glob(TEST_DATA "/../../configs/*.yaml", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const bool lists = strstr(files.gl_pathv[i], "/eval.yaml"); /* of policies and budgets */
        struct config config;
        char line[512];
        snprintf(line, sizeof line, "%s -m M --config %s", lists ? "eval --problems P --results R" : "run",
                 files.gl_pathv[i]);
        if (parse(&config, line) != STATUS_OK) fail_msg("%s", status_message());
        config_free(&config);
    }
    globfree(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_precedence), cmocka_unit_test(test_help_needs_no_model),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_yaml_refused),
        cmocka_unit_test(test_yaml_empty), cmocka_unit_test(test_yaml_too_large),
        cmocka_unit_test(test_examples),   cmocka_unit_test(test_bench_lists_in_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
