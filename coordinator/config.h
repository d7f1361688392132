/* coordinator/config.h - every option of the program, in one struct and one table.
 *
 * The same names serve in YAML files (--config FILE), in the environment (CAUCUS_<NAME>, dashes as
 * underscores) and on the command line (--name); later ones override earlier ones, in that order. Which
 * options a command takes is in the table too; --help is printed from it. An unknown name is an error.
 *
 * Memory:  texts belong to the config and live until config_free.
 * Threads: one at a time.
 * Ranks:   rank 0 only; what the workers need travels as engine_config. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "cluster/engine.h"

enum command {
    COMMAND_NONE, /* `caucus --help`, `caucus --version` */
    COMMAND_RUN,
    COMMAND_SCORE,
    COMMAND_BENCH,
    COMMAND_EVAL,
    COMMAND_TOKENIZE,
    COMMAND_PLAN,
    COMMAND_INSPECT,
    COMMAND_TRACE,
    COMMAND_CALIBRATE,
    COMMAND_SCALE,
    COMMAND_SIMULATE,
    COMMAND_SUPERVISE,
};

enum { CONFIG_MAX_PARALLEL = 64 };

/* What a cell of a trace's map is shaded by: the share of its tokens that are attended to, or of the layers
 * and heads that attend to any. */
enum trace_shade { TRACE_SHADE_TOKENS, TRACE_SHADE_HEADS };

enum calibrate_by { CALIBRATE_PEAK, CALIBRATE_RECALL, CALIBRATE_MEASURES };

enum bench_format { BENCH_MARKDOWN, BENCH_CSV, BENCH_JSON, BENCH_JSON_LINES };

struct config {
    enum command command;
    bool help;         /* print the command's --help and stop */
    bool version;      /* print the version and stop */
    int32_t verbosity; /* -v, -vv */
    bool json;
    const char *config_file; /* --config; NULL: none */

    /* model and engine */
    const char *model;      /* never NULL, but for help and version */
    int32_t threads;        /* 0: the host's cores shared between its ranks; the first of … */
    int64_t *thread_counts; /* several for bench only */
    size_t n_thread_counts;
    enum numerics numerics; /* reproducible, fast */
    enum allreduce_choice allreduce;
    enum allreduce_wire wire;
    enum binding_choice bind;
    const char *shares_text; /* --shares "3,2,1" or "auto"; NULL: all alike; from it: */
    struct shares shares;    /* n 0: all alike */
    bool measures_shares;
    const char *check;      /* "every=N"; NULL: no … */
    int32_t check_every;    /* … steps are compared over ranks */
    double timeout;         /* seconds without a sign of a rank, or of its progress; 0: for ever */
    int32_t lost_ranks;     /* that the job goes on without */
    enum dtype weights;     /* to quantise to while loading; DTYPE_COUNT: as in the file */
    enum dtype kv_type;     /* f32, f16, bf16, Q8_0 */
    int64_t context;        /* 0: the model's */
    int32_t sliding_window; /* 0: none; -1: the model's */
    int32_t batch_tokens;   /* --batch-tokens: tokens of one step, prefill chunks included */
    int32_t parallel; /* --parallel: sequences side by side, at least 1; unless said as many as prompts */

    /* policy */
    const char *policy; /* bench: several, comma-separated */
    int32_t budget;     /* the first of … */
    int64_t *budgets;   /* several for bench only */
    size_t n_budgets;
    double recent_ratio;
    int32_t sinks;
    int32_t select_layers[ENGINE_MAX_SELECT_LAYERS];
    int32_t n_select_layers; /* 0: the model's default */
    int64_t dense_below;
    int32_t correct_every;      /* decoded tokens that are computed again, densely; 0: none */
    const char *policy_options; /* "name=value,policy.name=value" */
    enum probe_kind probe;      /* none, recall */
    int32_t probe_every;        /* decode tokens whose N is a multiple of this */
    int32_t emulate;            /* a layer; -1: none */

    /* calibrate */
    enum calibrate_by by;
    int32_t first_layer; /* of all choices of select layers */
    int32_t max_layers;
    double within; /* of the best */

    /* run: prompt */
    struct text_list prompts;  /* -p, may be repeated: side by side */
    const char *prompt_file;   /* -f; "-" is standard input */
    const char *system_prompt; /* --system */
    bool raw;                  /* --raw: no chat format */
    const char *chat_format;   /* --chat-format; NULL: from the model's template */
    bool thinking;             /* --no-thinking: Qwen3's empty think block */
    bool thinking_output;      /* --no-thinking-output: do not print <think> blocks */
    bool interactive;          /* --interactive: chat, also when standard input is no terminal */

    /* run: generation */
    int64_t fill_kv;    /* tokens of random keys and values before the prompt */
    int32_t max_tokens; /* -n; -1: until the context is full */
    bool ignore_eos;
    struct text_list stop;     /* --stop, may be repeated */
    double temperature;        /* NaN: the model's generation_config, else 0 … */
    int32_t top_k;             /* -1: likewise */
    double top_p;              /* NaN: likewise */
    double min_p;              /* NaN: likewise */
    double repetition_penalty; /* NaN: likewise */
    uint64_t seed;
    int32_t logprobs;    /* --logprobs N: best N with each token in --json; -1: none */
    const char *journal; /* tokens go there as they come, and are gone on from; NULL: none */

    /* score */
    const char *input;         /* JSONL; "-" is standard input */
    const char *output;        /* JSONL; "-" is standard output */
    int64_t *logits_positions; /* --logits I,J,… */
    size_t n_logits_positions;

    /* bench */
    int64_t *prompt_sizes; /* -p; 0: no such test */
    size_t n_prompt_sizes;
    int64_t *generation_sizes; /* -n; likewise */
    size_t n_generation_sizes;
    struct text_list prompt_and_generation; /* --pg "P,N" */
    int64_t *depths;                        /* -d; the first is fill_kv */
    size_t n_depths;
    int64_t *parallel_counts; /* --n-parallel */
    size_t n_parallel_counts;
    bool sweep_depth;   /* instead: generation only, at depths that double up to the context */
    bool prefill_depth; /* reach a depth by reading tokens, not by random keys and values */
    int32_t repetitions;
    bool warmup;
    enum bench_format bench_format;
    const char
        *costs; /* bench: what phases cost goes there, instead of any test; simulate: comes from there */

    /* simulate */
    double speed;   /* of a host, where the measured one has 1 */
    int32_t steps;  /* tokens */
    int32_t places; /* of a proposal; 0: agree by a minimum */

    /* scale, beside what bench takes */
    int64_t *rank_counts; /* --np */
    size_t n_rank_counts;
    const char *launcher; /* --launcher "mpirun --hostfile hosts" */
    bool weak;            /* depths are for each rank */

    /* trace */
    int32_t trace_every;
    const char *draw;       /* a trace to draw instead of recording one; "-" is standard input; NULL: none */
    const char *svg, *html; /* files to draw to; NULL: none */
    int32_t layer, kv_head; /* to draw; -1: all */
    enum trace_shade shade;

    /* eval */
    struct text_list problems; /* JSONL files */
    int64_t limit;             /* problems to take; 0: all */
    int32_t samples;           /* of each problem */
    const char *prompt_suffix; /* below each problem; NULL: nothing */
    bool baseline;             /* --no-baseline: `full` only where it is asked for */
    const char *results;       /* JSONL, written and gone on from */
    bool text;                 /* --no-text: without what the model wrote */
    const char *summary_only;  /* results to sum up instead of making any; NULL: none */
    const char *plot;          /* folder of pictures; NULL: none */

    /* tokenize */
    bool decode;        /* ids to text */
    bool parse_special; /* --no-parse-special */
    bool add_special;   /* --no-add-special */

    /* plan */
    int32_t ranks;          /* -n of plan: ranks to plan for; 0: as many as were started */
    int32_t ranks_per_host; /* --per-host; 0: all on this one */
    bool show_tensors;      /* inspect --tensors */

    /* supervise */
    char *const *supervised; /* the command behind "--", NULL at its end; the caller's argv */
    int32_t max_restarts;
    double backoff; /* seconds */

    void *memory; /* private */
};

/* Parses argv (argv[1] is the command), environment and YAML. Anything unknown or out of range:
 * STATUS_BAD_INPUT with a sentence that names it and says what is allowed. */
NODISCARD enum status config_parse(int argc, char *const *argv, char *const *environment,
                                   struct config *config_out);
void config_free(struct config *config);

/* Writes the help of a command (COMMAND_NONE: of the program), or the version, to standard output. */
void config_print_help(enum command command);
void config_print_version(void);
