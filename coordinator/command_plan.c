/* caucus plan: who would own what, and does it fit? */
#include <stdio.h>
#include <sys/sysinfo.h>

#include "coordinator/commands.h"
#include "coordinator/json_print.h"
#include "coordinator/memory_plan.h"

enum { SHOWN_TOKENS = 1000 };

/* What is needed on one host, and what it has. */
struct host_need {
    int n_ranks;
    int64_t kv_tokens; /* of all sequences together */
    int64_t bytes;
    int64_t host_bytes;
};

static int64_t host_memory_bytes(void) {
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (int64_t)info.totalram * (int64_t)info.mem_unit : INT64_MAX;
}

/* With a full context: that is what a sequence may grow to, under a policy that evicts, too: prefill is dense
 * and evicts nothing, so there it takes a prompt of that length. */
static struct host_need host_need(const struct config *config, const struct model_spec *spec,
                                  const struct memory_plan *plan) {
    struct host_need need = {.n_ranks = config->ranks_per_host, .host_bytes = host_memory_bytes()};
    if (need.n_ranks == 0 || need.n_ranks > plan->n_ranks) need.n_ranks = plan->n_ranks;
    need.kv_tokens = (config->context ? config->context : spec->context_length) * config->parallel;
    need.bytes = memory_plan_host_bytes(plan, need.n_ranks, need.kv_tokens);
    return need;
}

static double mebibytes(int64_t bytes) {
    return (double)bytes / (1 << 20);
}

static double kibibytes_per_1000(const struct rank_share *share) {
    return (double)share->kv_bytes_per_token * SHOWN_TOKENS / 1024;
}

/* "12-15", "12", or "none" for an empty range. */
static const char *format_range(struct shard_range range, char text[static 48]) {
    if (shard_range_size(range) == 0)
        snprintf(text, 48, "none");
    else if (shard_range_size(range) == 1)
        snprintf(text, 48, "%lld", (long long)range.begin);
    else
        snprintf(text, 48, "%lld-%lld", (long long)range.begin, (long long)range.end - 1);
    return text;
}

/* A model has MLP columns or experts' columns; where it has both, experts dominate. */
static struct shard_range columns(const struct rank_share *share) {
    return shard_range_size(share->expert_columns) ? share->expert_columns : share->mlp_columns;
}

static void print_share(const char *name, const struct rank_share *share) {
    char kv_heads[48], stripes[48], heads[48], mlp[48], vocab[48];
    printf("%5s  %8s  %7s  %11s  %11s  %13s  %11.2f  %12.1f\n", name, format_range(share->kv_heads, kv_heads),
           format_range(share->stripes, stripes), format_range(share->heads, heads),
           format_range(columns(share), mlp), format_range(share->vocab_rows, vocab),
           mebibytes(share->weight_bytes), kibibytes_per_1000(share));
}

static void print_table(const struct config *config, const struct model_spec *spec,
                        const struct memory_plan *plan, const struct host_need *need) {
    printf("%s: %s, %d layers, %d rank%s, KV %s\n\n", config->model,
           model_architecture_name(spec->architecture), (int)spec->n_layers, plan->n_ranks,
           plan->n_ranks == 1 ? "" : "s", dtype_layout(config->kv_type)->name);
    printf("%5s  %8s  %7s  %11s  %11s  %13s  %11s  %12s\n", "", "", "cache", "query",
           spec->n_experts ? "expert" : "MLP", "vocabulary", "weights", "KV KiB per");
    printf("%5s  %8s  %7s  %11s  %11s  %13s  %11s  %12s\n", "rank", "KV heads", "stripes", "heads", "columns",
           "rows", "MiB", "1,000 tokens");
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        char name[16];
        snprintf(name, sizeof name, "%d", rank);
        print_share(name, &plan->ranks[rank]);
    }
    print_share("total", &plan->total);
    printf("\n%d rank%s with up to %lld cached tokens: %.2f MiB of this host's %.0f\n", need->n_ranks,
           need->n_ranks == 1 ? "" : "s", (long long)need->kv_tokens, mebibytes(need->bytes),
           mebibytes(need->host_bytes));
    fflush(stdout); /* before a refusal on standard error */
}

static json_t *json_range(struct shard_range range) {
    return json_pack("[I,I]", (json_int_t)range.begin, (json_int_t)range.end);
}

static json_t *json_share(const struct rank_share *share) {
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "kv_heads", json_range(share->kv_heads),
        "cache_stripes", json_range(share->stripes), "heads", json_range(share->heads), "output_rows",
        json_range(share->output_rows), "mlp_columns", json_range(share->mlp_columns), "expert_columns",
        json_range(share->expert_columns), "vocab_rows", json_range(share->vocab_rows), "weight_bytes",
        (json_int_t)share->weight_bytes, "kv_bytes_per_token", (json_int_t)share->kv_bytes_per_token);
}

static json_t *json_plan(const struct memory_plan *plan, const struct host_need *need) {
    json_t *ranks = json_array();
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        if (json_array_append_new(ranks, json_share(&plan->ranks[rank])) == 0) continue;
        json_decref(ranks);
        return NULL;
    }
    return json_pack("{s:o, s:o, s:{s:i, s:I, s:I, s:I, s:b}}", "ranks", ranks, "total",
                     json_share(&plan->total), "host", "ranks", need->n_ranks, "kv_tokens",
                     (json_int_t)need->kv_tokens, "needed_bytes", (json_int_t)need->bytes, "memory_bytes",
                     (json_int_t)need->host_bytes, "fits", need->bytes <= need->host_bytes);
}

static enum status check_fit(const struct host_need *need) {
    if (need->bytes <= need->host_bytes) return STATUS_OK;
    return FAIL(
        STATUS_NO_MEMORY,
        "%d rank%s with up to %lld cached tokens need %.1f GiB and this host has %.1f GiB: spread them over "
        "more hosts (--per-host) or choose a smaller --context, --parallel or --kv-type",
        need->n_ranks, need->n_ranks == 1 ? "" : "s", (long long)need->kv_tokens,
        mebibytes(need->bytes) / 1024, mebibytes(need->host_bytes) / 1024);
}

static enum status show(const struct config *config, const struct model_file *model, int n_ranks,
                        bool leaves_rows) {
    struct memory_plan *plan = NULL;
    TRY(memory_plan_create(model, n_ranks, &config->shares, leaves_rows, config->weights, config->kv_type,
                           &plan));
    const struct host_need need = host_need(config, model_file_spec(model), plan);
    enum status status = STATUS_OK;
    if (config->json)
        status = json_print(json_plan(plan, &need), true);
    else
        print_table(config, model_file_spec(model), plan, &need);
    memory_plan_destroy(plan);
    return status == STATUS_OK ? check_fit(&need) : status;
}

/* A cluster can be planned before anything is downloaded: a config.json is enough. */
enum status command_plan(const struct config *config, int n_ranks, bool leaves_rows) {
    struct model_file *model = NULL;
    TRY((model_file_is_shape(config->model) ? model_file_open_shape : model_file_open)(config->model,
                                                                                       &model));
    const enum status status = show(config, model, config->ranks ? config->ranks : n_ranks, leaves_rows);
    model_file_close(model);
    return status;
}
