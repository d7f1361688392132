#include "kvshard/policy_options_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 32 };

/* [begin, end) of the text. */
struct part {
    const char *begin, *end;
};

static int size_of(struct part part) {
    return (int)(part.end - part.begin);
}

static bool equals(struct part part, const char *name) {
    return strlen(name) == (size_t)size_of(part) && memcmp(name, part.begin, (size_t)size_of(part)) == 0;
}

/* Cuts what is before the first `separator` off the front of *rest; all of it where there is none. */
static struct part cut(struct part *rest, char separator) {
    const char *at = memchr(rest->begin, separator, (size_t)size_of(*rest));
    const struct part front = {rest->begin, at ? at : rest->end};
    rest->begin = at ? at + 1 : rest->end;
    return front;
}

static enum status unknown_option(struct part name, const struct kv_policy_vtable *policy) {
    char names[256] = "";
    const struct kv_policy_option *options = policy->options;
    if (!options || !options[0].name)
        return FAIL(STATUS_BAD_INPUT, "policy %s has no options, so none called '%.*s'", policy->name,
                    size_of(name), name.begin);
    for (int i = 0, used = 0; options[i].name && used < (int)sizeof names; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "", options[i].name);
    return FAIL(STATUS_BAD_INPUT, "policy %s has no option '%.*s': it has %s", policy->name, size_of(name),
                name.begin, names);
}

static enum status parse_value(struct part text, const struct kv_policy_vtable *policy,
                               const struct kv_policy_option *option, double *value_out) {
    char digits[MAX_VALUE], *stop = digits;
    if (size_of(text) > 0 && size_of(text) < MAX_VALUE) {
        memcpy(digits, text.begin, (size_t)size_of(text));
        digits[size_of(text)] = '\0';
        *value_out = strtod(digits, &stop);
    }
    const bool is_number = stop != digits && *stop == '\0' && digits[0] > ' ';
    if (!is_number || !(*value_out >= option->min && *value_out <= option->max) ||
        (option->whole && *value_out != floor(*value_out)))
        return FAIL(STATUS_BAD_INPUT, "%s.%s: '%.*s' is no %s from %g to %g", policy->name, option->name,
                    size_of(text), text.begin, option->whole ? "integer" : "number", option->min,
                    option->max);
    return STATUS_OK;
}

static enum status set_option(struct part name, struct part value, const struct kv_policy_vtable *policy,
                              double *values) {
    for (int i = 0; policy->options && policy->options[i].name; i++)
        if (equals(name, policy->options[i].name))
            return parse_value(value, policy, &policy->options[i], &values[i]);
    return unknown_option(name, policy);
}

static const struct kv_policy_vtable *find(struct part name, const struct kv_policy_vtable *const *policies,
                                           int n) {
    for (int i = 0; i < n; i++)
        if (equals(name, policies[i]->name)) return policies[i];
    return NULL;
}

/* What is meant for another policy is checked, too, and forgotten. */
static enum status parse_assignment(struct part text, const struct kv_policy_vtable *policy,
                                    const struct kv_policy_vtable *const *policies, int n, double *values) {
    double ignored[KV_POLICY_MAX_OPTIONS];
    struct part value = text;
    struct part name = cut(&value, '=');
    if (name.end == text.end)
        return FAIL(STATUS_BAD_INPUT, "policy option '%.*s' is not written as name=value", size_of(text),
                    text.begin);
    if (!memchr(name.begin, '.', (size_t)size_of(name))) return set_option(name, value, policy, values);
    const struct part owner_name = cut(&name, '.');
    const struct kv_policy_vtable *owner = find(owner_name, policies, n);
    if (!owner)
        return FAIL(STATUS_BAD_INPUT, "policy option '%.*s': there is no policy '%.*s'", size_of(text),
                    text.begin, size_of(owner_name), owner_name.begin);
    return set_option(name, value, owner, owner == policy ? values : ignored);
}

enum status policy_options_parse(const char *text, const struct kv_policy_vtable *policy,
                                 const struct kv_policy_vtable *const *policies, int n, double *values_out) {
    for (int i = 0; policy->options && policy->options[i].name; i++)
        values_out[i] = policy->options[i].initial;
    if (!text) return STATUS_OK;
    for (struct part rest = {text, text + strlen(text)}; rest.begin < rest.end;)
        TRY(parse_assignment(cut(&rest, ','), policy, policies, n, values_out));
    return STATUS_OK;
}
