/* caucus simulate: how long a token takes on a cluster that one does not own; and what `bench --costs`
 * measures for it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/launcher.h"
#include "coordinator/bench_plan.h"
#include "coordinator/commands.h"
#include "coordinator/cost_file.h"
#include "coordinator/table.h"
#include "modelfile/hf_config.h"

/* One line of the answer. */
struct row {
    const struct config *config;
    const char *model;
    int n_ranks;
    struct simulation_setup setup;
    struct simulation_result result;
};

/* --model: a config.json, or the folder that it is in. */
static enum status read_shape(const char *path, struct model_spec *spec_out) {
    TRY(hf_config_read(path, spec_out));
    if (spec_out->n_experts > 0)
        return FAIL(STATUS_BAD_INPUT, "%s: costs of experts are not measured; name a dense model", path);
    return STATUS_OK;
}

/* What costs are measured, and must have been measured, with. */
static struct phase_conditions conditions_of(const struct config *config, const struct model_spec *spec) {
    return (struct phase_conditions){
        .n_threads = config->threads,
        .head_dim = spec->head_dim,
        .group = spec->n_heads / spec->n_kv_heads,
        .weights = config->weights == DTYPE_COUNT ? DTYPE_BF16 : config->weights,
        .kv_dtype = config->kv_type,
        .qk_norm = spec->qk_norm,
    };
}

enum status command_bench_costs(const struct config *config,
                                enum status (*measure)(const struct phase_conditions *conditions,
                                                       struct phase_costs *costs_out)) {
    struct model_spec spec;
    struct phase_costs costs;
    TRY(read_shape(config->model, &spec));
    TRY(file_check_writable(config->costs));
    const struct phase_conditions conditions = conditions_of(config, &spec);
    TRY(measure(&conditions, &costs));
    return cost_file_write(config->costs, &costs);
}

static enum status check_conditions(const struct config *config, const struct phase_conditions *wanted,
                                    const struct phase_conditions *measured) {
    if (wanted->qk_norm != measured->qk_norm)
        return FAIL(STATUS_BAD_INPUT,
                    "%s was measured %s a norm of each head, and %s has %s: measure again with bench --costs",
                    config->costs, measured->qk_norm ? "with" : "without", config->model,
                    wanted->qk_norm ? "one" : "none");
    if (wanted->head_dim == measured->head_dim && wanted->group == measured->group &&
        wanted->weights == measured->weights && wanted->kv_dtype == measured->kv_dtype)
        return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "%s was measured with heads of %d dimensions, %d to a KV head, %s weights and %s keys, but "
                "wanted are %d, %d, %s and %s: measure again with bench --costs",
                config->costs, measured->head_dim, measured->group, dtype_layout(measured->weights)->name,
                dtype_layout(measured->kv_dtype)->name, wanted->head_dim, wanted->group,
                dtype_layout(wanted->weights)->name, dtype_layout(wanted->kv_dtype)->name);
}

static enum status set_up(const struct config *config, const struct model_spec *spec,
                          struct simulation_setup *setup_out) {
    struct simulation_setup setup = {
        .dims = {.n_heads = spec->n_heads,
                 .n_kv_heads = spec->n_kv_heads,
                 .head_dim = spec->head_dim,
                 .mlp_size = spec->mlp_size,
                 .vocab_size = spec->vocab_size,
                 .hidden_size = spec->hidden_size},
        .n_layers = spec->n_layers,
        .speed = config->speed,
        .n_steps = config->steps,
        .places = config->places,
    };
    const struct phase_conditions conditions = conditions_of(config, spec);
    TRY(cost_file_read(config->costs, &setup.costs));
    TRY(check_conditions(config, &conditions, &setup.costs.conditions));
    *setup_out = setup;
    return STATUS_OK;
}

/* Policy by policy, depth by depth. */
static enum status run_all(const struct config *config, const struct simulation_setup *setup,
                           const struct simulator *simulator, struct row *rows) {
    for (int32_t i = 0; i < bench_plan_engines(config); i++)
        for (size_t depth = 0; depth < config->n_depths; depth++) {
            struct row *row = rows++;
            *row = (struct row){
                .config = config, .model = config->model, .n_ranks = simulator->n_ranks, .setup = *setup};
            TRY(command_engine_config(config, i, &row->setup.engine));
            row->setup.measured = i > 0 || depth > 0;
            row->setup.depth = config->depths[depth];
            row->setup.engine.context_length = row->setup.depth + config->steps + 1;
            TRY(simulator->run(simulator->self, &row->setup, &row->result));
        }
    return STATUS_OK;
}

static void write_ranks(const void *memory, char cell[TABLE_CELL_MAX]) {
    snprintf(cell, TABLE_CELL_MAX, "%d", ((const struct row *)memory)->n_ranks);
}

static void write_policy(const void *memory, char cell[TABLE_CELL_MAX]) {
    snprintf(cell, TABLE_CELL_MAX, "%s", ((const struct row *)memory)->setup.engine.policy);
}

static void write_depth(const void *memory, char cell[TABLE_CELL_MAX]) {
    snprintf(cell, TABLE_CELL_MAX, "%lld", (long long)((const struct row *)memory)->setup.depth);
}

static void write_milliseconds(double seconds, char cell[TABLE_CELL_MAX]) {
    snprintf(cell, TABLE_CELL_MAX, "%.3f", seconds * 1e3);
}

#define MILLISECONDS(name, field)                                                                            \
    static void name(const void *memory, char cell[TABLE_CELL_MAX]) {                                        \
        write_milliseconds(((const struct row *)memory)->result.field, cell);                                \
    }
MILLISECONDS(write_step, step)
MILLISECONDS(write_compute, compute)
MILLISECONDS(write_select, select)
MILLISECONDS(write_plan, exchanges[EXCHANGE_PLAN])
MILLISECONDS(write_attention, exchanges[EXCHANGE_ATTENTION])
MILLISECONDS(write_mlp, exchanges[EXCHANGE_MLP])
MILLISECONDS(write_scores, exchanges[EXCHANGE_SCORES])
MILLISECONDS(write_partials, exchanges[EXCHANGE_PARTIALS])
MILLISECONDS(write_agreement, exchanges[EXCHANGE_AGREEMENT])
MILLISECONDS(write_candidates, exchanges[EXCHANGE_CANDIDATES])

static const struct table_column columns[] = {
    {"ranks", .write = write_ranks},
    {"policy", .left = true, .write = write_policy},
    {"depth", .write = write_depth},
    {"ms a token", .write = write_step},
    {"compute", .write = write_compute},
    {"of it select", .write = write_select},
    {"attention sums", .write = write_attention},
    {"MLP sums", .write = write_mlp},
    {"scores", .write = write_scores},
    {"partials", .write = write_partials},
    {"agreement", .write = write_agreement},
    {"plan", .write = write_plan},
    {"candidates", .write = write_candidates},
};

static json_t *row_json(const void *memory) {
    const struct row *row = memory;
    const struct simulation_result *result = &row->result;
    const double *exchanges = result->exchanges;
    const struct engine_config *engine = &row->setup.engine;
    return json_pack(
        "{s:s, s:i, s:s, s:i, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}",
        "model", row->model, "ranks", row->n_ranks, "policy", engine->policy, "budget", engine->budget,
        "depth", (json_int_t)row->setup.depth, "numerics",
        engine->numerics == NUMERICS_FAST ? "fast" : "reproducible", "speed", row->setup.speed,
        "token_seconds", result->step, "compute_seconds", result->compute, "select_seconds", result->select,
        "attention_sum_seconds", exchanges[EXCHANGE_ATTENTION], "mlp_sum_seconds", exchanges[EXCHANGE_MLP],
        "scores_seconds", exchanges[EXCHANGE_SCORES], "partials_seconds", exchanges[EXCHANGE_PARTIALS],
        "agreement_seconds", exchanges[EXCHANGE_AGREEMENT], "plan_seconds", exchanges[EXCHANGE_PLAN],
        "candidates_seconds", exchanges[EXCHANGE_CANDIDATES], "compute_seconds_most", result->compute_most,
        "compute_seconds_mean", result->compute_mean, "weight_bytes_most",
        (json_int_t)result->weight_bytes_most);
}

static enum status print_rows(const struct config *config, const struct row *rows, size_t n_rows) {
    const struct table table = {.columns = columns,
                                .n_columns = sizeof columns / sizeof *columns,
                                .rows = rows,
                                .n_rows = n_rows,
                                .row_size = sizeof *rows,
                                .row_json = row_json};
    return table_print(&table, config->bench_format);
}

static enum status check(const struct config *config) {
    if (!launcher_simulates())
        return FAIL(STATUS_BAD_INPUT, "simulate needs the simulated MPI: start it with tools/simulate, which "
                                      "has smpirun run the program of the preset smpi (docs/scaling.md)");
    if (!config->costs)
        return FAIL(STATUS_BAD_INPUT, "name the costs that bench --costs measured with --costs FILE");
    return bench_plan_check_policies(config);
}

enum status command_simulate(const struct config *config, const struct simulator *simulator) {
    struct model_spec spec;
    struct simulation_setup setup;
    TRY(check(config));
    TRY(read_shape(config->model, &spec));
    TRY(set_up(config, &spec, &setup));
    const size_t n_rows = (size_t)bench_plan_engines(config) * config->n_depths;
    struct row *rows = calloc(n_rows, sizeof *rows);
    if (!rows) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu simulations", n_rows);
    enum status status = run_all(config, &setup, simulator, rows);
    if (status == STATUS_OK) status = print_rows(config, rows, n_rows);
    free(rows);
    return status;
}
