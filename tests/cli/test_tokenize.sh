#!/usr/bin/env bash
# caucus tokenize, with the small model that comes with the sources.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
gguf=tests/data/models/stories260K.gguf

prints "1 403 407 261 378" tokenize -m $model -p "Once upon a time"
prints "1 403 407 261 378" tokenize -m $gguf -p "Once upon a time"
prints "403 407 261 378" tokenize -m $model --no-add-special -p "Once upon a time"
prints '{"ids":[1,403,407,261,378]}' tokenize -m $model --json -p "Once upon a time"
prints $'1 403 407 261 378\n1 403' tokenize -m $model -p "Once upon a time" -p "Once"
prints "Once upon a time" tokenize -m $model --decode -p "403 407 261 378"
prints "Once upon a time" tokenize -m $model --decode -p "[403, 407, 261, 378]"
prints '{"text":"Once upon a time"}' tokenize -m $model --decode --json -p "403,407,261,378"
printf 'Once upon a time' | prints "1 403 407 261 378" tokenize -m $model
printf 'Once upon a time' >"$scratch/text"
prints "1 403 407 261 378" tokenize -m $model -f "$scratch/text"
CAUCUS_MODEL=$model prints "1 403 407 261 378" tokenize -p "Once upon a time"

# Any text comes back.
text=$'Tab\there, emoji \xf0\x9f\x98\x80, caf\xc3\xa9\nand a second line'
ids=$("$program" tokenize -m $model --no-add-special -p "$text")
prints "$text" tokenize -m $model --decode -p "$ids"

refuses "models/lemma/config.json has no tokenizer: name the folder that it is in, or a .gguf file" \
    tokenize -m models/lemma/config.json -p x
refuses "cannot open nowhere.json: No such file or directory" tokenize -m nowhere.json -p x
