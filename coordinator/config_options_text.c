/* Options of what the model is and what it is asked. */
#include <math.h>

#include "coordinator/config_table_impl.h"

static const struct option model_options[] = {
    {"model", .letter = 'm', .kind = OPTION_PATH, FIELD(model), .min = 1, .max = ENGINE_PATH_MAX - 1,
     .metavar = "PATH",
     .doc = "Hugging Face folder or .gguf file; to plan or simulate, a config.json will do", .commands = ALL},
    {"tensors", .kind = OPTION_FLAG, FIELD(show_tensors), .doc = "list every tensor: type, shape, bytes",
     .commands = INSPECT},
    {"ranks", .letter = 'n', .kind = OPTION_INT32, FIELD(ranks), .initial = "0",
     .initial_doc = "as many as were started", .min = 1, .max = 65536, .metavar = "P",
     .doc = "plan for this many ranks", .commands = PLAN},
    {"per-host", .kind = OPTION_INT32, FIELD(ranks_per_host), .initial = "0",
     .initial_doc = "all on this host", .min = 1, .max = 65536, .metavar = "R",
     .doc = "ranks that share one host's memory", .commands = PLAN},
};

const struct option_group config_model_options = {"Model", model_options,
                                                  sizeof model_options / sizeof *model_options};

static const struct option input_options[] = {
    {"prompt", .letter = 'p', .kind = OPTION_TEXT_LIST, FIELD(prompts), .metavar = "TEXT",
     .doc = "the text to begin with; may be repeated: several are answered side by side",
     .commands = RUN | TOKENIZE | TRACE | CALIBRATE},
    {"file", .letter = 'f', .kind = OPTION_PATH, FIELD(prompt_file), .min = 1, .metavar = "FILE",
     .doc = "read the text from a file; - is standard input, which is also read where neither -p nor -f "
            "is given",
     .commands = RUN | TOKENIZE | TRACE},
    {"input", .kind = OPTION_PATH, FIELD(input), .initial = "-", .min = 1, .metavar = "FILE",
     .doc =
         "JSON lines, each with \"ids\" or \"text\", and optionally \"prompt_tokens\"; - is standard input, "
         "or for calibrate: none, the model answers",
     .commands = SCORE | CALIBRATE},
    {"problems", .kind = OPTION_TEXT_LIST, FIELD(problems), .min = 1, .metavar = "FILE",
     .doc =
         "JSON lines, each with \"prompt\" or \"messages\" and \"answer\", or as GSM8K, MATH500 and OlymMATH "
         "have them; may be repeated",
     .commands = EVAL},
    {"limit", .kind = OPTION_INT64, FIELD(limit), .initial = "0", .initial_doc = "all", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N", .doc = "take the first N problems", .commands = EVAL},
    {"prompt-suffix", .kind = OPTION_TEXT, FIELD(prompt_suffix), .metavar = "TEXT",
     .doc = "put this below each problem", .commands = EVAL},
    {"decode", .kind = OPTION_FLAG, FIELD(decode), .doc = "the other way: token ids to text",
     .commands = TOKENIZE},
    {"add-special", .kind = OPTION_FLAG, FIELD(add_special), .initial = "true",
     .doc = "leave out the tokens that the tokenizer puts around a text (BOS, EOS)", .commands = TOKENIZE},
    {"parse-special", .kind = OPTION_FLAG, FIELD(parse_special), .initial = "true",
     .doc = "take \"<|im_end|>\" and the like in the text as plain characters", .commands = TOKENIZE},
};

const struct option_group config_input_options = {"Input", input_options,
                                                  sizeof input_options / sizeof *input_options};

static const struct option chat_options[] = {
    {"interactive", .letter = 'i', .kind = OPTION_FLAG, FIELD(interactive),
     .doc = "chat turn by turn, also where standard input is no terminal", .commands = RUN},
    {"system", .kind = OPTION_TEXT, FIELD(system_prompt), .metavar = "TEXT", .doc = "the system message",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"chat-format", .kind = OPTION_TEXT, FIELD(chat_format), .min = 1, .metavar = "NAME",
     .initial_doc = "as the model's own template says",
     .doc =
         "how a dialogue is written: raw, chatml, qwen2, qwen2.5, qwen3, qwen3-thinking, llama3, r1-distill",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"raw", .kind = OPTION_FLAG, FIELD(raw), .doc = "no chat format: continue the text as it stands",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"thinking", .kind = OPTION_FLAG, FIELD(thinking), .initial = "true",
     .doc = "ask for an answer without reasoning, where the model's chat format knows how",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"thinking-output", .kind = OPTION_FLAG, FIELD(thinking_output), .initial = "true",
     .doc = "do not print what stands between <think> and </think>", .commands = RUN | TRACE},
};

const struct option_group config_chat_options = {"Chat", chat_options,
                                                 sizeof chat_options / sizeof *chat_options};

static const struct option generation_options[] = {
    {"max-tokens", .letter = 'n', .kind = OPTION_INT32, FIELD(max_tokens), .initial = "-1",
     .initial_doc = "until the context is full", .min = -1, .max = INFINITY, .metavar = "N",
     .doc = "tokens to generate at most; -1: until the context is full",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"temperature", "temp", .kind = OPTION_FLOAT, FIELD(temperature), FROM_MODEL, .max = 100, .metavar = "T",
     .doc = "0 always takes the likeliest token", .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"top-k", .kind = OPTION_INT32, FIELD(top_k), .initial = "-1", .initial_doc = "the model's own",
     .max = INFINITY, .metavar = "K", .doc = "sample among the K likeliest tokens; 0: all",
     .commands = RUN | TRACE | EVAL},
    {"top-p", .kind = OPTION_FLOAT, FIELD(top_p), FROM_MODEL, .max = 1, .metavar = "P",
     .doc = "sample among the likeliest tokens that together have probability P; 1: all",
     .commands = RUN | TRACE | EVAL},
    {"min-p", .kind = OPTION_FLOAT, FIELD(min_p), FROM_MODEL, .max = 1, .metavar = "P",
     .doc = "drop tokens less likely than P times the likeliest", .commands = RUN | TRACE | EVAL},
    {"repetition-penalty", .kind = OPTION_FLOAT, FIELD(repetition_penalty), FROM_MODEL, .min = 0.01,
     .max = 100, .metavar = "X", .doc = "divides the logits of tokens already seen; 1: off",
     .commands = RUN | TRACE | EVAL},
    {"seed", .kind = OPTION_UINT64, FIELD(seed), .initial = "0", .metavar = "N",
     .doc = "of the random numbers; the same seed gives the same text",
     .commands = RUN | TRACE | EVAL | CALIBRATE},
    {"stop", .kind = OPTION_TEXT_LIST, FIELD(stop), .min = 1, .metavar = "TEXT",
     .doc = "end before this text appears; may be repeated", .commands = RUN | TRACE | EVAL},
    {"ignore-eos", .kind = OPTION_FLAG, FIELD(ignore_eos), .doc = "go on after the model's end tokens",
     .commands = RUN | TRACE | EVAL},
    {"samples", .kind = OPTION_INT32, FIELD(samples), .initial = "1", .min = 1, .max = 1000000,
     .metavar = "N", .doc = "answers to each problem, each from a seed of its own", .commands = EVAL},
};

const struct option_group config_generation_options = {
    "Generation", generation_options, sizeof generation_options / sizeof *generation_options};
