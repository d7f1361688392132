#include "coordinator/bench_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/integer_range.h"
#include "base/numbers.h"

enum { SWEEP_FIRST_DEPTH = 512, MAX_TOKENS = 1 << 30 };

/* ---- engines ---- */

/* The `index`-th of the comma-separated policies; false past the last. */
static bool policy_at(const struct config *config, int32_t index, const char **name_out, size_t *size_out) {
    const char *name = config->policy;
    for (; index > 0; index--) {
        name = strchr(name, ',');
        if (!name) return false;
        name++;
    }
    *name_out = name;
    *size_out = (size_t)(strchrnul(name, ',') - name);
    return true;
}

/* Said here, too, as kvshard is not seen from here; for one that is missing nothing but time is lost. */
static bool has_budget(const char *name, size_t size) {
    static const char *const without[] = {"full", "emulate", "sparsemax", "sparsemax-select", "tactic"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (size == strlen(without[i]) && memcmp(name, without[i], size) == 0) return false;
    return true;
}

bool bench_plan_has_budget(const char *policy) {
    return has_budget(policy, strlen(policy));
}

/* Policies with their budgets, each once. */
static int32_t count_choices(const struct config *config) {
    int32_t n = 0;
    const char *name;
    size_t size;
    for (int32_t i = 0; policy_at(config, i, &name, &size); i++)
        n += has_budget(name, size) ? (int32_t)config->n_budgets : 1;
    return n;
}

int32_t bench_plan_engines(const struct config *config) {
    return count_choices(config) * (int32_t)config->n_thread_counts;
}

struct bench_engine bench_plan_engine(const struct config *config, int32_t index) {
    struct bench_engine engine = {0};
    int32_t choice = index / (int32_t)config->n_thread_counts;
    engine.n_threads = (int32_t)config->thread_counts[index % (int32_t)config->n_thread_counts];
    const char *name;
    size_t size;
    for (int32_t i = 0; policy_at(config, i, &name, &size); i++) {
        const int32_t n_budgets = has_budget(name, size) ? (int32_t)config->n_budgets : 1;
        if (choice < n_budgets) {
            snprintf(engine.policy, sizeof engine.policy, "%.*s", (int)size, name);
            engine.budget = (int32_t)config->budgets[choice];
            break;
        }
        choice -= n_budgets;
    }
    return engine;
}

enum status bench_plan_check_policies(const struct config *config) {
    const char *name;
    size_t size;
    for (int32_t i = 0; policy_at(config, i, &name, &size); i++)
        if (size == 0 || size >= ENGINE_NAME_MAX)
            return FAIL(STATUS_BAD_INPUT, "--policy: '%s' is no list of policies", config->policy);
    return STATUS_OK;
}

/* ---- tests ---- */

static enum status parse_pair(const char *text, int64_t *n_prompt_out, int64_t *n_gen_out) {
    const char *comma = strchr(text, ',');
    struct integer_range prompt, generation;
    if (!comma || !integer_range_parse(text, (size_t)(comma - text), &prompt) ||
        !integer_range_parse(comma + 1, strlen(comma + 1), &generation) || prompt.last != prompt.first ||
        generation.last != generation.first || prompt.first < 1 || generation.first < 1 ||
        prompt.first > MAX_TOKENS || generation.first > MAX_TOKENS)
        return FAIL(STATUS_BAD_INPUT, "--pg: '%s' is not P,N: tokens to read and to generate, from 1 to %d",
                    text, MAX_TOKENS);
    *n_prompt_out = prompt.first;
    *n_gen_out = generation.first;
    return STATUS_OK;
}

struct test_list {
    struct bench_test *tests;
    size_t n;
};

static void add_test(struct test_list *list, struct bench_test test) {
    if (test.n_prompt > 0 || test.n_gen > 0) list->tests[list->n++] = test;
}

/* at: the depth and the number of sequences. */
static enum status add_tests_at(const struct config *config, struct bench_test at, struct test_list *list) {
    struct bench_test test = at;
    for (size_t i = 0; i < config->n_prompt_sizes; i++) {
        test.n_prompt = config->prompt_sizes[i];
        add_test(list, test);
    }
    test.n_prompt = 0;
    for (size_t i = 0; i < config->n_generation_sizes; i++) {
        test.n_gen = config->generation_sizes[i];
        add_test(list, test);
    }
    for (size_t i = 0; i < config->prompt_and_generation.n; i++) {
        TRY(parse_pair(config->prompt_and_generation.items[i], &test.n_prompt, &test.n_gen));
        add_test(list, test);
    }
    return STATUS_OK;
}

static enum status add_tests(const struct config *config, struct test_list *list) {
    for (size_t i = 0; i < config->n_depths; i++)
        for (size_t j = 0; j < config->n_parallel_counts; j++)
            TRY(add_tests_at(config,
                             (struct bench_test){.n_depth = config->depths[i],
                                                 .n_parallel = (int32_t)config->parallel_counts[j]},
                             list));
    return STATUS_OK;
}

/* Doubling depths, and the last one that leaves room to generate. */
static void add_sweep(const struct config *config, int64_t context_length, struct test_list *list) {
    const int64_t n_gen = config->generation_sizes[0], deepest = context_length - n_gen;
    for (int64_t depth = SWEEP_FIRST_DEPTH; depth < deepest; depth *= 2)
        add_test(list, (struct bench_test){.n_gen = n_gen, .n_depth = depth, .n_parallel = 1});
    add_test(list, (struct bench_test){.n_gen = n_gen, .n_depth = deepest, .n_parallel = 1});
}

static int64_t tokens_of(const struct bench_test *test) {
    return test->n_depth + test->n_prompt + test->n_gen;
}

static enum status check_tests(const struct test_list *list, int64_t context_length) {
    if (list->n == 0) return FAIL(STATUS_BAD_INPUT, "there is nothing to measure: -p and -n are 0");
    for (size_t i = 0; i < list->n; i++) {
        const struct bench_test *test = &list->tests[i];
        if (test->n_depth >= 0 && tokens_of(test) <= context_length) continue;
        return FAIL(STATUS_BAD_INPUT, "%lld tokens at depth %lld do not fit a context of %lld",
                    (long long)(test->n_prompt + test->n_gen), (long long)test->n_depth,
                    (long long)context_length);
    }
    return STATUS_OK;
}

static enum status allocate(const struct config *config, struct test_list *list) {
    const size_t per_depth =
        config->n_prompt_sizes + config->n_generation_sizes + config->prompt_and_generation.n;
    const size_t n = config->sweep_depth ? 64 : config->n_depths * config->n_parallel_counts * per_depth;
    list->tests = calloc(n + 1, sizeof *list->tests);
    return list->tests ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for %zu tests", n);
}

enum status bench_plan_tests(const struct config *config, int64_t context_length,
                             struct bench_test **tests_out, size_t *n_out) {
    struct test_list list = {0};
    TRY(allocate(config, &list));
    enum status status = STATUS_OK;
    if (config->sweep_depth)
        add_sweep(config, context_length, &list);
    else
        status = add_tests(config, &list);
    if (status == STATUS_OK) status = check_tests(&list, context_length);
    if (status != STATUS_OK) {
        free(list.tests);
        return status;
    }
    *tests_out = list.tests;
    *n_out = list.n;
    return STATUS_OK;
}

int64_t bench_plan_context(const struct config *config) {
    if (config->context > 0 || config->sweep_depth) return config->context;
    struct bench_test *tests;
    size_t n;
    int64_t most = 0;
    if (bench_plan_tests(config, MAX_TOKENS, &tests, &n) != STATUS_OK) return 0;
    for (size_t i = 0; i < n; i++)
        most = larger_i64(most, tokens_of(&tests[i]));
    free(tests);
    return most;
}

static enum status check_sweep(const struct config *config) {
    if (!config->sweep_depth) return STATUS_OK;
    if (config->prompt_and_generation.n > 0 || config->n_depths > 1 || config->depths[0] > 0 ||
        config->parallel > 1)
        return FAIL(
            STATUS_BAD_INPUT,
            "--sweep-depth chooses the depths and generates only: leave out -d, --pg and --n-parallel");
    if (config->n_generation_sizes == 1 && config->generation_sizes[0] > 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--sweep-depth takes one number of tokens to generate (-n)");
}

enum status bench_plan_check(const struct config *config) {
    TRY(bench_plan_check_policies(config));
    TRY(check_sweep(config));
    if (config->sweep_depth) return STATUS_OK; /* the model's context is not known yet */
    struct bench_test *tests;
    size_t n;
    TRY(bench_plan_tests(config, config->context > 0 ? config->context : MAX_TOKENS, &tests, &n));
    free(tests);
    return STATUS_OK;
}
