#include "coordinator/eval_method.h"

#include <string.h>

#include "coordinator/bench_plan.h"
#include "coordinator/config_impl.h"

/* "name=value" where the value is not the default. */
static enum status print_option(const struct option *option, const struct config *config,
                                const struct config *defaults, struct bytes *text) {
    struct bytes value = {0}, initial = {0};
    enum status status = option_value_print(option, config, &value);
    if (status == STATUS_OK) status = option_value_print(option, defaults, &initial);
    const bool differs =
        value.size != initial.size || (value.size > 0 && strcmp(value.data, initial.data) != 0);
    if (status == STATUS_OK && differs)
        status = bytes_printf(text, "%s%s=%s", text->size > 0 ? " " : "", option->name,
                              value.size > 0 ? value.data : "");
    bytes_free(&value);
    bytes_free(&initial);
    return status;
}

/* Does the policy look at the option? Said here, too, as kvshard is not seen from here; what is not listed is
 * for all, and for one that is missing nothing but a name is longer. */
static bool looks_at(const char *policy, const char *option) {
    static const struct {
        const char *option;
        const char *policies[4];
    } limited[] = {
        {"recent-ratio", {"lessismore"}},
        {"sinks", {"lessismore", "streaming"}},
        {"select-layers", {"lessismore", "tidal", "delta"}},
    };
    if (!policy) return true;
    if (strcmp(policy, "full") == 0) return false; /* which the others are held to */
    for (size_t i = 0; i < sizeof limited / sizeof *limited; i++) {
        if (strcmp(limited[i].option, option) != 0) continue;
        for (int j = 0; limited[i].policies[j]; j++)
            if (strcmp(limited[i].policies[j], policy) == 0) return true;
        return false;
    }
    return true;
}

/* Of "name=value,policy.name=value", what counts for the policy; own [ENGINE_OPTIONS_MAX]. */
static void own_options(const char *text, const char *policy, char *own) {
    size_t size = 0;
    for (size_t n; *text; text += n + (text[n] == ',')) {
        n = strcspn(text, ",");
        const size_t owner = strcspn(text, ".=,");
        const bool is_other =
            text[owner] == '.' && (owner != strlen(policy) || memcmp(text, policy, owner) != 0);
        if (is_other || size + n + 2 > ENGINE_OPTIONS_MAX) continue;
        if (size > 0) own[size++] = ',';
        memcpy(own + size, text, n);
        size += n;
    }
    own[size] = '\0';
}

enum status eval_method_print_options(const struct config *config, const char *policy, struct bytes *text) {
    static const char *const names[] = {"emulate",     "recent-ratio",  "sinks",         "select-layers",
                                        "dense-below", "correct-every", "policy-options"};
    char own[ENGINE_OPTIONS_MAX];
    struct config of_policy = *config, defaults = {0};
    if (policy) {
        own_options(config->policy_options, policy, own);
        of_policy.policy_options = own;
    }
    struct options *options;
    TRY(options_create(&config_table, &defaults, &options));
    enum status status = bytes_append_text(text, "");
    for (size_t i = 0; i < sizeof names / sizeof *names && status == STATUS_OK; i++)
        if (looks_at(policy, names[i]))
            status = print_option(options_find(options, names[i]).option, &of_policy, &defaults, text);
    options_destroy(options);
    return status;
}

static enum status describe_options(const struct config *config, struct eval_method *method) {
    struct bytes options = {0};
    enum status status = eval_method_print_options(config, method->policy, &options);
    if (status == STATUS_OK && options.size >= sizeof method->options)
        status = FAIL(STATUS_BAD_INPUT, "the policies' options have more than %zu bytes",
                      sizeof method->options - 1);
    if (status == STATUS_OK) memcpy(method->options, options.data, options.size + 1);
    bytes_free(&options);
    return status;
}

enum status eval_method_create(const struct config *config, const char *policy, int32_t budget,
                               struct eval_method *method_out) {
    struct eval_method method = {.budget = bench_plan_has_budget(policy) ? budget : 0};
    if (strlen(policy) >= sizeof method.policy)
        return FAIL(STATUS_BAD_INPUT, "--policy: at most %zu bytes are allowed", sizeof method.policy - 1);
    memcpy(method.policy, policy, strlen(policy) + 1);
    TRY(describe_options(config, &method));
    *method_out = method;
    return STATUS_OK;
}

bool eval_method_equals(const struct eval_method *a, const struct eval_method *b) {
    return a->budget == b->budget && strcmp(a->policy, b->policy) == 0 && strcmp(a->options, b->options) == 0;
}

bool eval_method_is_full(const struct eval_method *method) {
    return strcmp(method->policy, "full") == 0 && *method->options == '\0';
}
