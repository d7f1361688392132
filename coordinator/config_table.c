/* Every option of the program: where it is kept, what it may be, what it does. */
#include <math.h>

#include "coordinator/config_impl.h"

enum {
    RUN = 1 << COMMAND_RUN,
    SCORE = 1 << COMMAND_SCORE,
    BENCH = 1 << COMMAND_BENCH,
    EVAL = 1 << COMMAND_EVAL,
    TOKENIZE = 1 << COMMAND_TOKENIZE,
    PLAN = 1 << COMMAND_PLAN,
    INSPECT = 1 << COMMAND_INSPECT,
    TRACE = 1 << COMMAND_TRACE,
    CALIBRATE = 1 << COMMAND_CALIBRATE,
    NONE = 1 << COMMAND_NONE,
    ENGINE = RUN | SCORE | BENCH | TRACE | EVAL,
    ALL = RUN | SCORE | BENCH | TOKENIZE | PLAN | INSPECT | TRACE | CALIBRATE | EVAL,
};

enum { MOST_OF_A_LIST = 256 };

enum group {
    GROUP_MODEL,
    GROUP_TEXT,
    GROUP_CHAT,
    GROUP_GENERATION,
    GROUP_TESTS,
    GROUP_POLICY,
    GROUP_ENGINE,
    GROUP_OUTPUT,
    GROUP_GENERAL,
};

static const char *const group_names[] = {
    [GROUP_MODEL] = "Model",     [GROUP_TEXT] = "Input",
    [GROUP_CHAT] = "Chat",       [GROUP_GENERATION] = "Generation",
    [GROUP_TESTS] = "Timing",    [GROUP_POLICY] = "Attention",
    [GROUP_ENGINE] = "Engine",   [GROUP_OUTPUT] = "Output",
    [GROUP_GENERAL] = "General", NULL,
};

static const char *const command_names[] = {
    [COMMAND_NONE] = "caucus",
    [COMMAND_RUN] = "run",
    [COMMAND_SCORE] = "score",
    [COMMAND_BENCH] = "bench",
    [COMMAND_EVAL] = "eval",
    [COMMAND_TOKENIZE] = "tokenize",
    [COMMAND_PLAN] = "plan",
    [COMMAND_INSPECT] = "inspect",
    [COMMAND_TRACE] = "trace",
    [COMMAND_CALIBRATE] = "calibrate",
    NULL,
};

static const struct option_choice numerics_choices[] = {
    {"reproducible", NUMERICS_REPRODUCIBLE}, {"fast", NUMERICS_FAST}, {0}};

static const struct option_choice allreduce_choices[] = {
    {"auto", ALLREDUCE_AUTO}, {"mpi", ALLREDUCE_MPI}, {"shared", ALLREDUCE_SHARED}, {0}};

static const struct option_choice probe_choices[] = {{"none", PROBE_NONE}, {"recall", PROBE_RECALL}, {0}};

static const struct option_choice bench_format_choices[] = {
    {"md", BENCH_MARKDOWN}, {"csv", BENCH_CSV}, {"json", BENCH_JSON}, {"jsonl", BENCH_JSON_LINES}, {0}};

static const struct option_choice by_choices[] = {
    {"peak", CALIBRATE_PEAK}, {"recall", CALIBRATE_RECALL}, {0}};

static const struct option_choice shade_choices[] = {
    {"tokens", TRACE_SHADE_TOKENS}, {"heads", TRACE_SHADE_HEADS}, {0}};

static const struct option_choice bind_choices[] = {{"auto", BINDING_AUTO}, {"none", BINDING_NONE}, {0}};

static const struct option_choice kv_type_choices[] = {{"f32", DTYPE_F32},   {"f16", DTYPE_F16},
                                                       {"bf16", DTYPE_BF16}, {"q8", DTYPE_Q8_0},
                                                       {"q8_0", DTYPE_Q8_0}, {0}};

static const struct option_choice weights_choices[] = {
    {"file", DTYPE_COUNT}, {"q8", DTYPE_Q8_0}, {"q4", DTYPE_Q4_0}, {0}};

#define FIELD(name)     .offset = offsetof(struct config, name)
#define COUNTED(name)   FIELD(name), .count_offset = offsetof(struct config, n_##name)
#define FROM_MODEL      .initial = "nan", .initial_doc = "the model's own"
#define MAX_TOKEN_COUNT 1073741824.0

static const struct option options[] = {
    {"model", .letter = 'm', .kind = OPTION_PATH, FIELD(model), .min = 1, .max = ENGINE_PATH_MAX - 1,
     .metavar = "PATH", .doc = "Hugging Face folder or .gguf file", .commands = ALL, .group = GROUP_MODEL},
    {"tensors", .kind = OPTION_FLAG, FIELD(show_tensors), .doc = "list every tensor: type, shape, bytes",
     .commands = INSPECT, .group = GROUP_MODEL},
    {"ranks", .letter = 'n', .kind = OPTION_INT32, FIELD(ranks), .initial = "0",
     .initial_doc = "as many as were started", .min = 1, .max = 65536, .metavar = "P",
     .doc = "plan for this many ranks", .commands = PLAN, .group = GROUP_MODEL},
    {"per-host", .kind = OPTION_INT32, FIELD(ranks_per_host), .initial = "0",
     .initial_doc = "all on this host", .min = 1, .max = 65536, .metavar = "R",
     .doc = "ranks that share one host's memory", .commands = PLAN, .group = GROUP_MODEL},

    {"prompt", .letter = 'p', .kind = OPTION_TEXT_LIST, FIELD(prompts), .metavar = "TEXT",
     .doc = "the text to begin with; may be repeated: several are answered side by side",
     .commands = RUN | TOKENIZE | TRACE | CALIBRATE, .group = GROUP_TEXT},
    {"file", .letter = 'f', .kind = OPTION_PATH, FIELD(prompt_file), .min = 1, .metavar = "FILE",
     .doc = "read the text from a file; - is standard input, which is also read where neither -p nor -f "
            "is given",
     .commands = RUN | TOKENIZE | TRACE, .group = GROUP_TEXT},
    {"input", .kind = OPTION_PATH, FIELD(input), .initial = "-", .min = 1, .metavar = "FILE",
     .doc =
         "JSON lines, each with \"ids\" or \"text\", and optionally \"prompt_tokens\"; - is standard input, "
         "or for calibrate: none, the model answers",
     .commands = SCORE | CALIBRATE, .group = GROUP_TEXT},
    {"problems", .kind = OPTION_TEXT_LIST, FIELD(problems), .min = 1, .metavar = "FILE",
     .doc =
         "JSON lines, each with \"prompt\" or \"messages\" and \"answer\", or as GSM8K, MATH500 and OlymMATH "
         "have them; may be repeated",
     .commands = EVAL, .group = GROUP_TEXT},
    {"limit", .kind = OPTION_INT64, FIELD(limit), .initial = "0", .initial_doc = "all", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N", .doc = "take the first N problems", .commands = EVAL,
     .group = GROUP_TEXT},
    {"prompt-suffix", .kind = OPTION_TEXT, FIELD(prompt_suffix), .metavar = "TEXT",
     .doc = "put this below each problem", .commands = EVAL, .group = GROUP_TEXT},
    {"decode", .kind = OPTION_FLAG, FIELD(decode), .doc = "the other way: token ids to text",
     .commands = TOKENIZE, .group = GROUP_TEXT},
    {"add-special", .kind = OPTION_FLAG, FIELD(add_special), .initial = "true",
     .doc = "leave out the tokens that the tokenizer puts around a text (BOS, EOS)", .commands = TOKENIZE,
     .group = GROUP_TEXT},
    {"parse-special", .kind = OPTION_FLAG, FIELD(parse_special), .initial = "true",
     .doc = "take \"<|im_end|>\" and the like in the text as plain characters", .commands = TOKENIZE,
     .group = GROUP_TEXT},

    {"interactive", .letter = 'i', .kind = OPTION_FLAG, FIELD(interactive),
     .doc = "chat turn by turn, also where standard input is no terminal", .commands = RUN,
     .group = GROUP_CHAT},
    {"system", .kind = OPTION_TEXT, FIELD(system_prompt), .metavar = "TEXT", .doc = "the system message",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_CHAT},
    {"chat-format", .kind = OPTION_TEXT, FIELD(chat_format), .min = 1, .metavar = "NAME",
     .initial_doc = "as the model's own template says",
     .doc =
         "how a dialogue is written: raw, chatml, qwen2, qwen2.5, qwen3, qwen3-thinking, llama3, r1-distill",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_CHAT},
    {"raw", .kind = OPTION_FLAG, FIELD(raw), .doc = "no chat format: continue the text as it stands",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_CHAT},
    {"thinking", .kind = OPTION_FLAG, FIELD(thinking), .initial = "true",
     .doc = "ask for an answer without reasoning, where the model's chat format knows how",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_CHAT},
    {"thinking-output", .kind = OPTION_FLAG, FIELD(thinking_output), .initial = "true",
     .doc = "do not print what stands between <think> and </think>", .commands = RUN | TRACE,
     .group = GROUP_CHAT},

    {"max-tokens", .letter = 'n', .kind = OPTION_INT32, FIELD(max_tokens), .initial = "-1",
     .initial_doc = "until the context is full", .min = -1, .max = INFINITY, .metavar = "N",
     .doc = "tokens to generate at most; -1: until the context is full",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_GENERATION},
    {"temperature", "temp", .kind = OPTION_FLOAT, FIELD(temperature), FROM_MODEL, .max = 100, .metavar = "T",
     .doc = "0 always takes the likeliest token", .commands = RUN | TRACE | EVAL | CALIBRATE,
     .group = GROUP_GENERATION},
    {"top-k", .kind = OPTION_INT32, FIELD(top_k), .initial = "-1", .initial_doc = "the model's own",
     .max = INFINITY, .metavar = "K", .doc = "sample among the K likeliest tokens; 0: all",
     .commands = RUN | TRACE | EVAL, .group = GROUP_GENERATION},
    {"top-p", .kind = OPTION_FLOAT, FIELD(top_p), FROM_MODEL, .max = 1, .metavar = "P",
     .doc = "sample among the likeliest tokens that together have probability P; 1: all",
     .commands = RUN | TRACE | EVAL, .group = GROUP_GENERATION},
    {"min-p", .kind = OPTION_FLOAT, FIELD(min_p), FROM_MODEL, .max = 1, .metavar = "P",
     .doc = "drop tokens less likely than P times the likeliest", .commands = RUN | TRACE | EVAL,
     .group = GROUP_GENERATION},
    {"repetition-penalty", .kind = OPTION_FLOAT, FIELD(repetition_penalty), FROM_MODEL, .min = 0.01,
     .max = 100, .metavar = "X", .doc = "divides the logits of tokens already seen; 1: off",
     .commands = RUN | TRACE | EVAL, .group = GROUP_GENERATION},
    {"seed", .kind = OPTION_UINT64, FIELD(seed), .initial = "0", .metavar = "N",
     .doc = "of the random numbers; the same seed gives the same text",
     .commands = RUN | TRACE | EVAL | CALIBRATE, .group = GROUP_GENERATION},
    {"stop", .kind = OPTION_TEXT_LIST, FIELD(stop), .min = 1, .metavar = "TEXT",
     .doc = "end before this text appears; may be repeated", .commands = RUN | TRACE | EVAL,
     .group = GROUP_GENERATION},
    {"ignore-eos", .kind = OPTION_FLAG, FIELD(ignore_eos), .doc = "go on after the model's end tokens",
     .commands = RUN | TRACE | EVAL, .group = GROUP_GENERATION},

    {"samples", .kind = OPTION_INT32, FIELD(samples), .initial = "1", .min = 1, .max = 1000000,
     .metavar = "N", .doc = "answers to each problem, each from a seed of its own", .commands = EVAL,
     .group = GROUP_GENERATION},

    {"n-prompt", .letter = 'p', .kind = OPTION_INT64_RANGES, COUNTED(prompt_sizes),
     .capacity = MOST_OF_A_LIST, .initial = "512", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens of a prompt to read; 0: no such test", .commands = BENCH, .group = GROUP_TESTS},
    {"n-gen", .letter = 'n', .kind = OPTION_INT64_RANGES, COUNTED(generation_sizes),
     .capacity = MOST_OF_A_LIST, .initial = "128", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens to generate; 0: no such test", .commands = BENCH, .group = GROUP_TESTS},
    {"pg", .kind = OPTION_TEXT_LIST, FIELD(prompt_and_generation), .min = 1, .metavar = "P,N",
     .doc = "read P tokens and generate N, timed together; may be repeated", .commands = BENCH,
     .group = GROUP_TESTS},
    {"fill-kv", "n-depth", .letter = 'd', .kind = OPTION_INT64_RANGES, COUNTED(depths),
     .capacity = MOST_OF_A_LIST, .initial = "0", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens in the cache before each prompt or test: random keys and values, which take seconds",
     .commands = RUN | BENCH, .group = GROUP_TESTS},
    {"prefill-depth", .kind = OPTION_FLAG, FIELD(prefill_depth),
     .doc = "reach that depth by reading so many tokens", .commands = BENCH, .group = GROUP_TESTS},
    {"n-parallel", "npl", .kind = OPTION_INT64_RANGES, COUNTED(parallel_counts), .capacity = MOST_OF_A_LIST,
     .initial = "1", .min = 1, .max = CONFIG_MAX_PARALLEL, .metavar = "N,M",
     .doc = "sequences side by side, in the same steps; rates are those of all together", .commands = BENCH,
     .group = GROUP_TESTS},
    {"sweep-depth", .kind = OPTION_FLAG, FIELD(sweep_depth),
     .doc = "generation only, at depths that double from 512 up to the context", .commands = BENCH,
     .group = GROUP_TESTS},
    {"repetitions", .letter = 'r', .kind = OPTION_INT32, FIELD(repetitions), .initial = "5", .min = 1,
     .max = 10000, .metavar = "N", .doc = "how often each test is timed", .commands = BENCH,
     .group = GROUP_TESTS},
    {"warmup", .kind = OPTION_FLAG, FIELD(warmup), .initial = "true",
     .doc = "leave out the run before each test that is not timed", .commands = BENCH, .group = GROUP_TESTS},

    {"policy", .kind = OPTION_TEXT, FIELD(policy), .initial = "full", .min = 1, .max = 1023,
     .metavar = "NAME",
     .doc = "which cached tokens a decode step reads: full (all of them), lessismore (one set that all heads "
            "of all ranks agree on), tidal (K tokens for each query head), quest (pages whose keys promise "
            "most), raas (pages that were of use lately), streaming (the first and the newest tokens), delta "
            "(one set of pages), h2o (the most attended and newest of each KV head), rkv (what is attended to"
            " and not repeated), refresh (K tokens until the queries change), sparsemax and sparsemax-select "
            "(as many as sparsemax gives weight), tactic (clusters that hold a share of the attention), "
            "multipole (the best clusters exactly, the others by their centres), emulate (full, with "
            "--emulate 1)",
     .commands = ENGINE, .group = GROUP_POLICY},
    {"budget", .kind = OPTION_INT64_RANGES, COUNTED(budgets), .capacity = MOST_OF_A_LIST, .initial = "2048",
     .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "K",
     .doc = "tokens that a sparse policy reads; at least sinks + 2", .commands = ENGINE | CALIBRATE,
     .group = GROUP_POLICY},
    {"recent-ratio", .kind = OPTION_FLOAT, FIELD(recent_ratio), .initial = "0.25", .max = 1, .metavar = "R",
     .doc = "share of the budget kept for the latest tokens", .commands = ENGINE | CALIBRATE,
     .group = GROUP_POLICY},
    {"sinks", .kind = OPTION_INT32, FIELD(sinks), .initial = "4", .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "first tokens that always belong to the set", .commands = ENGINE | CALIBRATE,
     .group = GROUP_POLICY},
    {"select-layers", .kind = OPTION_INT32_VECTOR, COUNTED(select_layers),
     .capacity = ENGINE_MAX_SELECT_LAYERS, .max = 65535, .metavar = "I,J",
     .initial_doc = "the policy's own for the model",
     .doc = "layers that choose the set for those after them, ascending, counted from 0", .commands = ENGINE,
     .group = GROUP_POLICY},
    {"dense-below", .kind = OPTION_INT64, FIELD(dense_below), .initial = "0", .max = MAX_TOKEN_COUNT,
     .metavar = "N", .doc = "attend to all tokens while there are at most so many", .commands = ENGINE,
     .group = GROUP_POLICY},
    {"correct-every", .kind = OPTION_INT32, FIELD(correct_every), .initial = "0", .initial_doc = "never",
     .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "T",
     .doc =
         "compute T tokens that a sparse policy decoded again, densely, and keep their new keys and values; "
         "with any policy that evicts nothing",
     .commands = RUN | SCORE | EVAL, .group = GROUP_POLICY},
    {"emulate", .kind = OPTION_INT32, FIELD(emulate), .initial = "-1", .initial_doc = "no layer", .min = 0,
     .max = 65535, .metavar = "LAYER",
     .doc = "the layers behind this one attend more to what it attended to; goes with any policy",
     .commands = ENGINE, .group = GROUP_POLICY},
    {"policy-options", .kind = OPTION_TEXT, FIELD(policy_options), .initial = "",
     .max = ENGINE_OPTIONS_MAX - 1, .metavar = "NAME=X,…",
     .doc = "options that one policy alone has, as in docs/policies.md; POLICY.NAME=X counts for that policy "
            "only",
     .commands = ENGINE, .group = GROUP_POLICY},

    {"probe", .kind = OPTION_CHOICE, FIELD(probe), .choices = probe_choices, .initial = "none",
     .metavar = "WHAT",
     .doc =
         "recall: how much of dense attention falls on the tokens that are read, by layer; costs time, and "
         "memory for the keys of all tokens",
     .commands = RUN | SCORE | EVAL, .group = GROUP_POLICY},
    {"probe-every", .kind = OPTION_INT32, FIELD(probe_every), .initial = "1", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "probe only decode steps at which N or a multiple of it is cached",
     .commands = RUN | SCORE | EVAL | CALIBRATE, .group = GROUP_POLICY},

    {"by", .kind = OPTION_CHOICE, FIELD(by), .choices = by_choices, .initial = "peak", .metavar = "WHAT",
     .doc =
         "what to choose by: recall, the share of dense attention that falls on the set, or peak, 1 less the "
         "largest share of a token outside",
     .commands = CALIBRATE, .group = GROUP_POLICY},
    {"first-layer", .kind = OPTION_INT32, FIELD(first_layer), .initial = "2", .max = 65535, .metavar = "I",
     .doc = "the first layer that selects; those before it are dense", .commands = CALIBRATE,
     .group = GROUP_POLICY},
    {"max-layers", .kind = OPTION_INT32, FIELD(max_layers), .initial = "4", .min = 1,
     .max = ENGINE_MAX_SELECT_LAYERS, .metavar = "N", .doc = "try up to so many layers that select",
     .commands = CALIBRATE, .group = GROUP_POLICY},
    {"within", .kind = OPTION_FLOAT, FIELD(within), .initial = "0.005", .max = 1, .metavar = "X",
     .doc = "recommend the fewest layers that come so near the best", .commands = CALIBRATE,
     .group = GROUP_POLICY},

    {"threads", .letter = 't', .kind = OPTION_INT64_RANGES, COUNTED(thread_counts),
     .capacity = MOST_OF_A_LIST, .initial = "0", .initial_doc = "the host's cores, shared between its ranks",
     .min = 1, .max = 1024, .metavar = "N", .doc = "threads of each rank", .commands = ENGINE | CALIBRATE,
     .group = GROUP_ENGINE},
    {"bind", .kind = OPTION_CHOICE, FIELD(bind), .choices = bind_choices, .initial = "auto", .metavar = "HOW",
     .doc = "auto keeps each thread to its part of the cores that mpirun left the ranks, none to no core",
     .commands = ENGINE | CALIBRATE, .group = GROUP_ENGINE},
    {"context", .letter = 'c', .kind = OPTION_INT64, FIELD(context), .initial = "0",
     .initial_doc = "the model's own", .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "tokens a sequence can hold, prompt included", .commands = ENGINE | PLAN | CALIBRATE,
     .group = GROUP_ENGINE},
    {"sliding-window", .kind = OPTION_INT32, FIELD(sliding_window), .initial = "-1",
     .initial_doc = "the model's own", .min = 0, .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "attend to the last N tokens only; 0: to all", .commands = ENGINE | CALIBRATE,
     .group = GROUP_ENGINE},
    {"weights", .kind = OPTION_CHOICE, FIELD(weights), .choices = weights_choices, .initial = "file",
     .metavar = "TYPE",
     .doc = "quantise the matrices while loading: q8 (Q8_0), q4 (Q4_0, the output matrix Q8_0); file: the "
            "types that are in the file",
     .commands = ENGINE | PLAN | CALIBRATE, .group = GROUP_ENGINE},
    {"kv-type", .kind = OPTION_CHOICE, FIELD(kv_type), .choices = kv_type_choices, .initial = "f16",
     .metavar = "TYPE", .doc = "how keys and values are stored", .commands = ENGINE | PLAN | CALIBRATE,
     .group = GROUP_ENGINE},
    {"numerics", .kind = OPTION_CHOICE, FIELD(numerics), .choices = numerics_choices,
     .initial = "reproducible", .metavar = "MODE",
     .doc = "reproducible gives the same bits for any number of ranks", .commands = ENGINE | CALIBRATE,
     .group = GROUP_ENGINE},
    {"allreduce", .kind = OPTION_CHOICE, FIELD(allreduce), .choices = allreduce_choices, .initial = "auto",
     .metavar = "WAY",
     .doc = "how the ranks of one host add their parts: what is measured to be fastest at the start, MPI, or "
            "shared memory",
     .commands = ENGINE | CALIBRATE, .group = GROUP_ENGINE},
    {"batch-tokens", .kind = OPTION_INT32, FIELD(batch_tokens), .initial = "512", .min = 1, .max = 65536,
     .metavar = "N", .doc = "tokens of one step, parts of prompts included", .commands = ENGINE | CALIBRATE,
     .group = GROUP_ENGINE},
    {"parallel", .kind = OPTION_INT32, FIELD(parallel), .initial = "0",
     .initial_doc = "as many as there are prompts, up to 64; for eval as many as memory allows, up to 16",
     .min = 1, .max = CONFIG_MAX_PARALLEL, .metavar = "N", .doc = "sequences computed side by side",
     .commands = RUN | SCORE | PLAN | EVAL | CALIBRATE, .group = GROUP_ENGINE},

    {"results", .kind = OPTION_PATH, FIELD(results), .min = 1, .metavar = "FILE",
     .doc = "JSON lines, one for each finished sample; eval goes on from what is there", .commands = EVAL,
     .group = GROUP_OUTPUT},
    {"text", .kind = OPTION_FLAG, FIELD(text), .initial = "true",
     .doc = "keep what the model wrote out of the results", .commands = EVAL, .group = GROUP_OUTPUT},
    {"baseline", .kind = OPTION_FLAG, FIELD(baseline), .initial = "true",
     .doc = "do not add the policy full, beside which the others are shown", .commands = EVAL,
     .group = GROUP_OUTPUT},
    {"summary-only", .kind = OPTION_PATH, FIELD(summary_only), .min = 1, .metavar = "FILE",
     .doc = "make no samples, sum up those in FILE", .commands = EVAL, .group = GROUP_OUTPUT},
    {"plot", .kind = OPTION_PATH, FIELD(plot), .min = 1, .metavar = "FOLDER",
     .doc = "draw accuracy, length, KV bytes, time and recall there, as SVG and PNG; needs gnuplot",
     .commands = EVAL, .group = GROUP_OUTPUT},
    {"output-format", .letter = 'o', .kind = OPTION_CHOICE, FIELD(bench_format),
     .choices = bench_format_choices, .initial = "md", .metavar = "FORMAT",
     .doc = "a table, or every field (in bench llama-bench's and ours)", .commands = BENCH | EVAL,
     .group = GROUP_OUTPUT},
    {"json", .kind = OPTION_FLAG, FIELD(json), .doc = "print one JSON object instead of text",
     .commands = RUN | TOKENIZE | PLAN | INSPECT | CALIBRATE, .group = GROUP_OUTPUT},
    {"logprobs", .kind = OPTION_INT32, FIELD(logprobs), .initial = "-1", .initial_doc = "none", .max = 256,
     .metavar = "N", .doc = "with --json: each token's log-probability and those of the N likeliest",
     .commands = RUN, .group = GROUP_OUTPUT},
    {"output", .kind = OPTION_PATH, FIELD(output), .initial = "-", .min = 1, .metavar = "FILE",
     .doc =
         "where to write; score: JSON lines with \"logprobs\", \"argmax\" and \"perplexity\", - is standard "
         "output; trace: what --draw reads; calibrate: what --config takes, - for none",
     .commands = SCORE | TRACE | CALIBRATE, .group = GROUP_OUTPUT},
    {"trace-every", .kind = OPTION_INT32, FIELD(trace_every), .initial = "1", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N", .doc = "record each N-th decode step only", .commands = TRACE,
     .group = GROUP_OUTPUT},
    {"draw", .kind = OPTION_PATH, FIELD(draw), .min = 1, .metavar = "FILE",
     .doc = "draw this trace instead of recording one; - is standard input", .commands = TRACE,
     .group = GROUP_OUTPUT},
    {"svg", .kind = OPTION_PATH, FIELD(svg), .min = 1, .metavar = "FILE", .doc = "draw the map as a picture",
     .commands = TRACE, .group = GROUP_OUTPUT},
    {"html", .kind = OPTION_PATH, FIELD(html), .min = 1, .metavar = "FILE",
     .doc = "draw it as one page for a browser, which needs no network", .commands = TRACE,
     .group = GROUP_OUTPUT},
    {"layer", .kind = OPTION_INT32, FIELD(layer), .initial = "-1", .initial_doc = "all that select",
     .max = 65535, .metavar = "I", .doc = "draw this layer alone", .commands = TRACE, .group = GROUP_OUTPUT},
    {"kv-head", .kind = OPTION_INT32, FIELD(kv_head), .initial = "-1", .initial_doc = "all", .max = 65535,
     .metavar = "I", .doc = "draw this KV head alone", .commands = TRACE, .group = GROUP_OUTPUT},
    {"shade", .kind = OPTION_CHOICE, FIELD(shade), .choices = shade_choices, .initial = "tokens",
     .metavar = "WHAT",
     .doc =
         "of the picture: how many of a page's tokens are attended to, or how many of the layers and heads "
         "attend to any of them",
     .commands = TRACE, .group = GROUP_OUTPUT},
    {"logits", .kind = OPTION_INT64_LIST, COUNTED(logits_positions), .max = MAX_TOKEN_COUNT, .metavar = "I,J",
     .doc = "also write the whole row of logits at these positions", .commands = SCORE,
     .group = GROUP_OUTPUT},

    {"config", .kind = OPTION_PATH, FIELD(config_file), .min = 1, .metavar = "FILE",
     .doc = "YAML file of options, \"name: value\"", .commands = ALL, .group = GROUP_GENERAL,
     .only_arguments = true},
    {"verbose", .letter = 'v', .kind = OPTION_COUNT, FIELD(verbosity), .max = 2,
     .doc = "say what is done and how long it takes; -vv says more", .commands = ALL, .group = GROUP_GENERAL},
    {"help", .letter = 'h', .kind = OPTION_FLAG, FIELD(help), .doc = "print this and stop",
     .commands = ALL | NONE, .group = GROUP_GENERAL, .only_arguments = true},
    {"version", .kind = OPTION_FLAG, FIELD(version), .doc = "print the version and stop",
     .commands = ALL | NONE, .group = GROUP_GENERAL, .only_arguments = true},
};

const struct option_table config_table = {
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .command_names = command_names,
    .group_names = group_names,
    .environment_prefix = "CAUCUS_",
    .environment_ignored = "CAUCUS_TEST_",
};
