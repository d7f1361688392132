/* Configuration files, against a table with every kind of option. */
#include <math.h>
#include <stdint.h>

#include "coordinator/config_yaml.h"

struct target {
    bool raw;
    int32_t verbose, budget, layers[4], n_layers;
    int64_t context, *positions;
    size_t n_positions;
    uint64_t seed;
    double top_p;
    const char *model, *system;
    int numerics;
    struct text_list stop;
};

#define FIELD(name) .offset = offsetof(struct target, name), .metavar = "X", .doc = "", .commands = 1

static const struct option_choice numerics[] = {{"reproducible", 0}, {"fast", 1}, {0}};

static const struct option options_of_every_kind[] = {
    {.name = "raw", .kind = OPTION_FLAG, FIELD(raw)},
    {.name = "verbose", .kind = OPTION_COUNT, FIELD(verbose), .max = 2},
    {.name = "budget", .kind = OPTION_INT32, FIELD(budget), .max = INFINITY},
    {.name = "context", .kind = OPTION_INT64, FIELD(context), .max = INFINITY},
    {.name = "seed", .kind = OPTION_UINT64, FIELD(seed)},
    {.name = "top-p", .alias = "p", .kind = OPTION_FLOAT, FIELD(top_p), .max = 1},
    {.name = "system", .kind = OPTION_TEXT, FIELD(system), .max = 64},
    {.name = "model", .kind = OPTION_PATH, FIELD(model), .min = 1},
    {.name = "numerics", .kind = OPTION_CHOICE, FIELD(numerics), .choices = numerics},
    {.name = "stop", .kind = OPTION_TEXT_LIST, FIELD(stop)},
    {.name = "select-layers",
     .kind = OPTION_INT32_VECTOR,
     FIELD(layers),
     .capacity = 4,
     .max = 100,
     .count_offset = offsetof(struct target, n_layers)},
    {.name = "logits",
     .kind = OPTION_INT64_LIST,
     FIELD(positions),
     .max = INFINITY,
     .count_offset = offsetof(struct target, n_positions)},
};

static const char *const names[] = {"run", NULL};

static const struct option_group group = {"all", options_of_every_kind,
                                          sizeof options_of_every_kind / sizeof *options_of_every_kind};
static const struct option_group *const groups[] = {&group};

static const struct option_table table = {
    .groups = groups,
    .n_groups = 1,
    .command_names = names,
    .environment_prefix = "FUZZ_",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct target target = {0};
    struct options *options = NULL;
    if (options_create(&table, &target, &options) != STATUS_OK) return 0;
    const enum status status = config_yaml_parse(options, (const char *)data, size, "fuzz.yaml");
    if (status == STATUS_OK && (target.n_layers > 4 || target.top_p > 1)) __builtin_trap();
    options_destroy(options);
    return 0;
}
