#!/usr/bin/env bash
# caucus inspect: every kind of model that the sources carry.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
data=tests/data/models

shows inspect_stories260K.txt inspect -m models/stories260K
shows inspect_stories260K.json inspect -m models/stories260K --json
shows inspect_gguf_tensors.txt inspect -m $data/small_llama.q8_0.gguf --tensors
shows inspect_qwen3_moe.txt inspect -m $data/tiny_qwen3_moe
shows inspect_llama3.json inspect -m $data/tiny_llama3 --tensors --json
