#include "coordinator/cost_file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "coordinator/json_build.h"

enum { SIZE_MOST = 1 << 16 };

static json_t *json_phases(const struct phase_costs *costs) {
    json_t *phases = json_object();
    for (int i = 0; i < PHASES; i++)
        phases = json_with(phases, phase_name((enum phase)i),
                           json_pack("{s:f, s:f, s:s}", "call_seconds", costs->phases[i].call_seconds,
                                     "unit_seconds", costs->phases[i].unit_seconds, "unit",
                                     phase_unit((enum phase)i)));
    return phases;
}

static json_t *json_costs(const struct phase_costs *costs) {
    const struct phase_conditions *conditions = &costs->conditions;
    return json_pack("{s:i, s:i, s:i, s:s, s:s, s:b, s:I, s:o}", "threads", conditions->n_threads, "head_dim",
                     conditions->head_dim, "group", conditions->group, "weights",
                     dtype_layout(conditions->weights)->name, "kv", dtype_layout(conditions->kv_dtype)->name,
                     "qk_norm", conditions->qk_norm, "cached_bytes", (json_int_t)costs->cached_bytes,
                     "phases", json_phases(costs));
}

enum status cost_file_write(const char *path, const struct phase_costs *costs) {
    json_t *json = json_costs(costs);
    if (!json) return FAIL(STATUS_NO_MEMORY, "out of memory for measured costs");
    const int failed = json_dump_file(json, path, JSON_INDENT(4) | JSON_REAL_PRECISION(4));
    json_decref(json);
    return failed ? FAIL(STATUS_IO, "%s: cannot be written: %s", path, strerror(errno)) : STATUS_OK;
}

static enum status find_dtype(const char *path, const char *name, enum dtype *dtype_out) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(name, dtype_layout((enum dtype)i)->name) == 0) {
            *dtype_out = (enum dtype)i;
            return STATUS_OK;
        }
    return FAIL(STATUS_BAD_INPUT, "%s: '%s' is no type of weights, keys or values", path, name);
}

static enum status read_conditions(const char *path, json_t *json, struct phase_costs *costs) {
    struct phase_conditions *conditions = &costs->conditions;
    const char *weights, *kv;
    json_int_t cached;
    int qk_norm;
    json_error_t error;
    if (json_unpack_ex(json, &error, 0, "{s:i, s:i, s:i, s:s, s:s, s:b, s:I}", "threads",
                       &conditions->n_threads, "head_dim", &conditions->head_dim, "group", &conditions->group,
                       "weights", &weights, "kv", &kv, "qk_norm", &qk_norm, "cached_bytes", &cached) != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: %s", path, error.text);
    costs->cached_bytes = cached;
    conditions->qk_norm = qk_norm;
    TRY(find_dtype(path, weights, &conditions->weights));
    return find_dtype(path, kv, &conditions->kv_dtype);
}

/* A phase whose units take no time was measured where something else took it all: a prediction would leave
 * the work out. */
static enum status check_cost(const char *path, const char *phase, const struct phase_cost *cost) {
    if (!(cost->call_seconds >= 0 && cost->call_seconds < 1 && cost->unit_seconds >= 0 &&
          cost->unit_seconds < 1))
        return FAIL(STATUS_BAD_INPUT, "%s: phase %s: times are from 0 to 1 second", path, phase);
    if (cost->unit_seconds > 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "%s: phase %s: more work took no longer: measure again with bench --costs on a quieter host",
                path, phase);
}

static enum status read_phases(const char *path, json_t *json, struct phase_costs *costs) {
    for (int i = 0; i < PHASES; i++) {
        struct phase_cost *cost = &costs->phases[i];
        json_error_t error;
        if (json_unpack_ex(json, &error, 0, "{s:{s:{s:F, s:F}}}", "phases", phase_name((enum phase)i),
                           "call_seconds", &cost->call_seconds, "unit_seconds", &cost->unit_seconds) != 0)
            return FAIL(STATUS_BAD_INPUT, "%s: phase %s: %s", path, phase_name((enum phase)i), error.text);
        TRY(check_cost(path, phase_name((enum phase)i), cost));
    }
    return STATUS_OK;
}

static enum status read_costs(const char *path, json_t *json, struct phase_costs *costs) {
    TRY(read_conditions(path, json, costs));
    return read_phases(path, json, costs);
}

enum status cost_file_read(const char *path, struct phase_costs *costs_out) {
    struct bytes text = {0};
    TRY(file_read_all(path, SIZE_MOST, &text));
    json_error_t error;
    json_t *json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    struct phase_costs costs = {0};
    const enum status status = json ? read_costs(path, json, &costs)
                                    : FAIL(STATUS_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    json_decref(json);
    bytes_free(&text);
    if (status == STATUS_OK) *costs_out = costs;
    return status;
}
