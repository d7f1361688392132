#!/usr/bin/env bash
# Bad input: one sentence, exit status 2; under mpirun too, where the other rank is silent.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
data=tests/data/models

# Options.
refuses "no command given; 'caucus --help' lists those that exist"
refuses "'tokenise' is no command; did you mean 'tokenize'?" tokenise
refuses_together "--tempature: unknown option; did you mean --temperature?" run -m $model --tempature 1
refuses "--logits: 'run' does not take this option; 'score' does" run -m $model --logits 1
refuses "--top-p: 1.5 is out of range; it must be from 0 to 1" run -m $model --top-p 1.5
refuses "--prompt: the value is missing; write --prompt TEXT" tokenize -m $model -p
refuses "--prompt: the text is not valid UTF-8" tokenize -m $model -p $'a\xff'
refuses "simulate needs the simulated MPI: start it with tools/simulate, which has smpirun run the program of the preset smpi (docs/scaling.md)" \
    simulate -m models/lemma --costs tests/data/smpi/costs.json
refuses "no model given; name a Hugging Face folder or a .gguf file with -m PATH or CAUCUS_MODEL" plan
refuses "--wire bf16 rounds sums, and --numerics reproducible does not; it goes with --numerics fast" \
    run -m $model -p x --wire bf16
refuses "budget 5 is too small: with 4 sinks it must be at least 6" run -m $model -p x --policy lessismore --budget 5
refuses "--policy: one name is wanted; only bench and eval take several" run -m $model -p x --policy quest,raas
refuses_together "--correct-every needs a policy that evicts nothing, and streaming does" \
    run -m $model -p x --policy streaming --correct-every 8
# Of several policies the last is looked at before the first has run for hours.
several=(eval -m models/lemma -t 1 --problems tests/data/eval/lemma.jsonl --results "$scratch/results")
refuses "--correct-every needs a policy that evicts nothing, and h2o does" \
    "${several[@]}" --policy lessismore,h2o --correct-every 7
refuses "policy quest has no option 'window': it has first-layer" \
    bench -m models/lemma --policy tactic,quest --policy-options window=64
refuses "budget 16 is too small: policy quest counts in pages of 16 tokens and needs 2 of them" \
    "${several[@]}" --policy lessismore,quest --budget 16
[ ! -e "$scratch/results" ] || fail "results of a policy that cannot run were begun"
refuses_together "--probe recall cannot be combined with a sliding window, here of 16 tokens; use --sliding-window 0" \
    run -m $model -p x --probe recall --sliding-window 16
refuses "--timeout 0.5 is too short; it must be 0 (none) or from 1 second" run -m $model -p x --timeout 0.5
refuses_together "--check: 'every=0' is not every=N, with N from 1 to 2147483647" run -m $model -p x --check every=0
refuses "--fill-kv: one number is wanted; only bench takes several" run -m $model -p x --fill-kv 1,2
CAUCUS_TOPP=1 refuses "CAUCUS_TOPP: this environment variable names no option; did you mean CAUCUS_TOP_P?" \
    inspect -m $model

# Configuration files.
printf 'model: %s\nbuget: 100\n' $model >"$scratch/unknown.yaml"
refuses_together "$scratch/unknown.yaml:2: buget: unknown option; did you mean budget?" run --config "$scratch/unknown.yaml"
printf 'a: [1\n' >"$scratch/broken.yaml"
refuses "$scratch/broken.yaml:1: a: unknown option" run --config "$scratch/broken.yaml"
refuses "cannot open $scratch/none.yaml: No such file or directory" run --config "$scratch/none.yaml"

# Text and token ids.
printf 'a\xffb' >"$scratch/text"
refuses "the text is not valid UTF-8 at byte 1" tokenize -m $model -f "$scratch/text"
refuses_together "512 is no token id: the vocabulary ends at 511" tokenize -m $model --decode -p 512
refuses "'x' is not a token id" tokenize -m $model --decode -p "1 x"
refuses "cannot open $data/tiny_qwen3/tokenizer.json: No such file or directory" tokenize -m $data/tiny_qwen3 -p x

# Models. broken FILE: a copy of a small model whose FILE is standard input.
broken() {
    rm -rf "$scratch/model"
    mkdir "$scratch/model"
    cp $data/tiny_qwen3/config.json $data/tiny_qwen3/model.safetensors "$scratch/model"
    chmod u+w "$scratch/model"/*
    cat >"$scratch/model/$1"
}
config=$data/tiny_qwen3/config.json
tensors=$data/tiny_qwen3/model.safetensors

refuses_together "cannot open $scratch/none: No such file or directory" inspect -m "$scratch/none"
mkdir "$scratch/empty"
refuses "cannot open $scratch/empty/config.json: No such file or directory" plan -m "$scratch/empty"

broken config.json < <(echo '{"a":')
refuses "$scratch/model/config.json is not valid JSON: unexpected token near end of file (line 2, column 0)" \
    inspect -m "$scratch/model"
broken config.json < <(sed 's/"qwen3"/"gpt_neox"/' $config)
refuses "$scratch/model/config.json: model_type = \"gpt_neox\" is not supported; llama, mistral, qwen2, qwen3 and \
qwen3_moe are" inspect -m "$scratch/model"
broken config.json < <(sed 's/"hidden_size": 64/"hidden_size": 128/' $config)
refuses "$scratch/model/model.safetensors: tensor model.embed_tokens.weight is [256, 64], but config.json calls for \
[256, 128]" inspect -m "$scratch/model"
broken config.json < <(sed -E 's/("num_attention_heads":) [0-9]+/\1 128/; s/("num_key_value_heads":) [0-9]+/\1 1/
    s/("head_dim":) [0-9]+/\1 1024/' $config)
refuses "costs of 128 query heads of 1024 dimensions to a KV head cannot be measured: their product is more than 65536" \
    bench -m "$scratch/model" --costs "$scratch/costs.json"

broken model.safetensors < <(head -c 1000 $tensors)
refuses "$scratch/model/model.safetensors: header length 2530 is more than the file holds (truncated file?)" \
    inspect -m "$scratch/model"
broken model.safetensors < <(head -c 100000 $tensors)
refuses "$scratch/model/model.safetensors: tensor model.embed_tokens.weight lies at bytes 135936 to 168704 of the \
data, which has 97462 (truncated file?)" inspect -m "$scratch/model"
broken model.safetensors < <(printf '\xff\xff\xff\xff\xff\xff\xff\x7f{}')
refuses "$scratch/model/model.safetensors: header length 9223372036854775807 is more than 100000000: not a \
safetensors file" inspect -m "$scratch/model"
broken model.safetensors < <(sed 's/"dtype":"BF16"/"dtype":"F8_E"/' $tensors)
refuses "$scratch/model/model.safetensors: lm_head.weight.dtype = \"F8_E\" is not supported" inspect -m "$scratch/model"

printf 'GGUX' >"$scratch/model.gguf"
refuses "$scratch/model.gguf is not a GGUF file: it does not begin with GGUF" inspect -m "$scratch/model.gguf"
head -c 300000 $data/stories260K.gguf >"$scratch/model.gguf"
refuses_together "$scratch/model.gguf: tensor blk.0.attn_k.weight of 8192 bytes at offset 278784 goes beyond the end of the \
file (truncated file?)" inspect -m "$scratch/model.gguf"
