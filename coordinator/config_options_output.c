/* Options of what is measured, and what is written where. */
#include "coordinator/config_table_impl.h"

static const struct option_choice bench_format_choices[] = {
    {"md", BENCH_MARKDOWN}, {"csv", BENCH_CSV}, {"json", BENCH_JSON}, {"jsonl", BENCH_JSON_LINES}, {0}};

static const struct option_choice shade_choices[] = {
    {"tokens", TRACE_SHADE_TOKENS}, {"heads", TRACE_SHADE_HEADS}, {0}};

static const struct option timing_options[] = {
    {"n-prompt", .letter = 'p', .kind = OPTION_INT64_RANGES, COUNTED(prompt_sizes),
     .capacity = MOST_OF_A_LIST, .initial = "512", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens of a prompt to read; 0: no such test", .commands = TIMING},
    {"n-gen", .letter = 'n', .kind = OPTION_INT64_RANGES, COUNTED(generation_sizes),
     .capacity = MOST_OF_A_LIST, .initial = "128", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens to generate; 0: no such test", .commands = TIMING},
    {"pg", .kind = OPTION_TEXT_LIST, FIELD(prompt_and_generation), .min = 1, .metavar = "P,N",
     .doc = "read P tokens and generate N, timed together; may be repeated", .commands = TIMING},
    {"fill-kv", "n-depth", .letter = 'd', .kind = OPTION_INT64_RANGES, COUNTED(depths),
     .capacity = MOST_OF_A_LIST, .initial = "0", .max = MAX_TOKEN_COUNT, .metavar = "N,M",
     .doc = "tokens in the cache before each prompt or test: random keys and values, which take seconds",
     .commands = RUN | TIMING | SIMULATE},
    {"prefill-depth", .kind = OPTION_FLAG, FIELD(prefill_depth),
     .doc = "reach that depth by reading so many tokens", .commands = TIMING},
    {"n-parallel", "npl", .kind = OPTION_INT64_RANGES, COUNTED(parallel_counts), .capacity = MOST_OF_A_LIST,
     .initial = "1", .min = 1, .max = CONFIG_MAX_PARALLEL, .metavar = "N,M",
     .doc = "sequences side by side, in the same steps; rates are those of all together", .commands = TIMING},
    {"sweep-depth", .kind = OPTION_FLAG, FIELD(sweep_depth),
     .doc = "generation only, at depths that double from 512 up to the context", .commands = TIMING},
    {"repetitions", .letter = 'r', .kind = OPTION_INT32, FIELD(repetitions), .initial = "5", .min = 1,
     .max = 10000, .metavar = "N", .doc = "how often each test is timed", .commands = TIMING},
    {"np", .kind = OPTION_INT64_RANGES, COUNTED(rank_counts), .capacity = MOST_OF_A_LIST, .initial = "1,2",
     .min = 1, .max = 65536, .metavar = "P,Q", .doc = "numbers of ranks to start", .commands = SCALE},
    {"launcher", .kind = OPTION_TEXT, FIELD(launcher), .initial = "mpirun", .min = 1, .max = 4095,
     .metavar = "COMMAND",
     .doc = "what starts them, with options of its own between blanks; -n P is put behind it",
     .commands = SCALE},
    {"weak", .kind = OPTION_FLAG, FIELD(weak),
     .doc = "weak scaling: the depth is that of each rank, so that the context grows with the ranks",
     .commands = SCALE},
    {"warmup", .kind = OPTION_FLAG, FIELD(warmup), .initial = "true",
     .doc = "leave out the run before each test that is not timed", .commands = TIMING},
    {"costs", .kind = OPTION_PATH, FIELD(costs), .min = 1, .metavar = "FILE",
     .doc = "what the phases of a step cost: bench measures that, and nothing else, and writes it there; "
            "simulate reads it",
     .commands = BENCH | SIMULATE},
    {"speed", .kind = OPTION_FLOAT, FIELD(speed), .initial = "1", .min = 0.001, .max = 1000, .metavar = "X",
     .doc = "hosts compute X times as fast as the one that was measured", .commands = SIMULATE},
    {"steps", .kind = OPTION_INT32, FIELD(steps), .initial = "2", .min = 1, .max = 10000, .metavar = "N",
     .doc = "tokens to time, after one that is not", .commands = SIMULATE},
    {"places", .kind = OPTION_INT32, FIELD(places), .initial = "0", .max = 65536, .metavar = "N",
     .doc = "agree on a set by gathering the first N places of every head's proposal, in rounds that double, "
            "not by a minimum over all tokens",
     .commands = SIMULATE},
};

const struct option_group config_timing_options = {"Timing", timing_options,
                                                   sizeof timing_options / sizeof *timing_options};

static const struct option output_options[] = {
    {"journal", .kind = OPTION_PATH, FIELD(journal), .min = 1, .metavar = "FILE",
     .doc =
         "keep tokens there as they are generated, as JSON lines; the same run goes on from what is there, "
         "with the same text",
     .commands = RUN},
    {"results", .kind = OPTION_PATH, FIELD(results), .min = 1, .metavar = "FILE",
     .doc = "JSON lines, one for each finished sample; eval goes on from what is there", .commands = EVAL},
    {"text", .kind = OPTION_FLAG, FIELD(text), .initial = "true",
     .doc = "keep what the model wrote out of the results", .commands = EVAL},
    {"baseline", .kind = OPTION_FLAG, FIELD(baseline), .initial = "true",
     .doc = "do not add the policy full, beside which the others are shown", .commands = EVAL},
    {"summary-only", .kind = OPTION_PATH, FIELD(summary_only), .min = 1, .metavar = "FILE",
     .doc = "make no samples, sum up those in FILE", .commands = EVAL},
    {"plot", .kind = OPTION_PATH, FIELD(plot), .min = 1, .metavar = "FOLDER",
     .doc = "draw there, as SVG and PNG: eval accuracy, length, KV bytes, time and recall, scale speed-up, "
            "efficiency and shares; needs gnuplot",
     .commands = EVAL | SCALE},
    {"output-format", .letter = 'o', .kind = OPTION_CHOICE, FIELD(bench_format),
     .choices = bench_format_choices, .initial = "md", .metavar = "FORMAT",
     .doc = "a table, or every field (in bench llama-bench's and ours)",
     .commands = TIMING | EVAL | SIMULATE},
    {"json", .kind = OPTION_FLAG, FIELD(json), .doc = "print one JSON object instead of text",
     .commands = RUN | TOKENIZE | PLAN | INSPECT | CALIBRATE},
    {"logprobs", .kind = OPTION_INT32, FIELD(logprobs), .initial = "-1", .initial_doc = "none", .max = 256,
     .metavar = "N", .doc = "with --json: each token's log-probability and those of the N likeliest",
     .commands = RUN},
    {"output", .kind = OPTION_PATH, FIELD(output), .initial = "-", .min = 1, .metavar = "FILE",
     .doc =
         "where to write; score: JSON lines with \"logprobs\", \"argmax\" and \"perplexity\", - is standard "
         "output; trace: what --draw reads; calibrate: what --config takes, - for none",
     .commands = SCORE | TRACE | CALIBRATE},
    {"trace-every", .kind = OPTION_INT32, FIELD(trace_every), .initial = "1", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N", .doc = "record each N-th decode step only", .commands = TRACE},
    {"draw", .kind = OPTION_PATH, FIELD(draw), .min = 1, .metavar = "FILE",
     .doc = "draw this trace instead of recording one; - is standard input", .commands = TRACE},
    {"svg", .kind = OPTION_PATH, FIELD(svg), .min = 1, .metavar = "FILE",
     .doc = "draw the map as a picture; - is standard output", .commands = TRACE},
    {"html", .kind = OPTION_PATH, FIELD(html), .min = 1, .metavar = "FILE",
     .doc = "draw it as one page for a browser, which needs no network; - is standard output",
     .commands = TRACE},
    {"layer", .kind = OPTION_INT32, FIELD(layer), .initial = "-1", .initial_doc = "all that select",
     .max = 65535, .metavar = "I", .doc = "draw this layer alone", .commands = TRACE},
    {"kv-head", .kind = OPTION_INT32, FIELD(kv_head), .initial = "-1", .initial_doc = "all", .max = 65535,
     .metavar = "I", .doc = "draw this KV head alone", .commands = TRACE},
    {"shade", .kind = OPTION_CHOICE, FIELD(shade), .choices = shade_choices, .initial = "tokens",
     .metavar = "WHAT",
     .doc =
         "of the picture: how many of a page's tokens are attended to, or how many of the layers and heads "
         "attend to any of them",
     .commands = TRACE},
    {"logits", .kind = OPTION_INT64_LIST, COUNTED(logits_positions), .max = MAX_TOKEN_COUNT, .metavar = "I,J",
     .doc = "also write the whole row of logits at these positions", .commands = SCORE},
};

const struct option_group config_output_options = {"Output", output_options,
                                                   sizeof output_options / sizeof *output_options};

static const struct option general_options[] = {
    {"max-restarts", .kind = OPTION_INT32, FIELD(max_restarts), .initial = "10", .max = 1e6, .metavar = "N",
     .doc = "give up after so many restarts without a run of five minutes among them", .commands = SUPERVISE},
    {"backoff", .kind = OPTION_FLOAT, FIELD(backoff), .initial = "1", .max = 60, .metavar = "S",
     .doc = "seconds before the first restart; twice as long before each further one, at most 60",
     .commands = SUPERVISE},
    {"config", .kind = OPTION_PATH, FIELD(config_file), .min = 1, .metavar = "FILE",
     .doc = "YAML file of options, \"name: value\"", .commands = ALL | SUPERVISE, .only_arguments = true},
    {"verbose", .letter = 'v', .kind = OPTION_COUNT, FIELD(verbosity), .max = 2,
     .doc = "say what is done and how long it takes; -vv says more", .commands = ALL},
    {"help", .letter = 'h', .kind = OPTION_FLAG, FIELD(help), .doc = "print this and stop",
     .commands = ALL | SUPERVISE | NONE, .only_arguments = true},
    {"version", .kind = OPTION_FLAG, FIELD(version), .doc = "print the version and stop",
     .commands = ALL | SUPERVISE | NONE, .only_arguments = true},
};

const struct option_group config_general_options = {"General", general_options,
                                                    sizeof general_options / sizeof *general_options};
