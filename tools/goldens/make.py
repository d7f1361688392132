"""Writes every model and golden anew, and the index that says which golden belongs to which models."""

import check_given
import gguf_models
import less_is_more
import oracle
import score
import small_llama
import tiny_models

# Golden logits: the models they hold for, paths under tests/data/models.
MODELS_OF = {
    "tiny_mistral": ["tiny_mistral"],
    "tiny_mistral_full": ["tiny_mistral_full"],
    "tiny_mistral_window": ["tiny_mistral_window"],
    "tiny_llama_linear": ["tiny_llama_linear"],
    "tiny_llama3_short": ["tiny_llama3_short", "tiny_llama3_short.bf16.gguf"],
    "tiny_llama3_yarn": ["tiny_llama3_yarn"],
    "tiny_llama3_yarn_fields": ["tiny_llama3_yarn_fields"],
    "tiny_llama_f16": ["tiny_llama_f16"],
    "tiny_qwen2": ["tiny_qwen2", "tiny_qwen2_sharded", "tiny_qwen2.f16.gguf"],
    "tiny_qwen3_tf5": ["tiny_qwen3_tf5", "tiny_qwen3_tf4"],
    "tiny_qwen3_moe": ["tiny_qwen3_moe", "tiny_qwen3_moe.f32.gguf"],
    "tiny_qwen3_moe_raw": ["tiny_qwen3_moe_raw"],
    "small_llama": ["small_llama", "small_llama.f32.gguf", "small_llama.f16.gguf", "small_llama.bf16.gguf"],
    "small_llama.q8_0": ["small_llama.q8_0.gguf"],
    "small_llama.q4_0": ["small_llama.q4_0.gguf"],
    **{f"wide_llama.{kind}": [f"wide_llama.{kind}.gguf"] for kind in gguf_models.SUPER_BLOCKS},
}


def write_index():
    index = [{"golden": f"{golden}.json", "models": models} for golden, models in MODELS_OF.items()]
    for golden, models in MODELS_OF.items():
        for path in [oracle.GOLDEN / f"{golden}.json", *(oracle.MODELS / m for m in models)]:
            if not path.exists():
                raise FileNotFoundError(path)
    lines = ",\n".join(map(oracle.compact_json, index))
    (oracle.GOLDEN / "index.json").write_text(f"[\n{lines}\n]\n")


def main():
    for step in (tiny_models, small_llama, gguf_models, check_given, less_is_more, score):
        step.main()
    write_index()


if __name__ == "__main__":
    main()
