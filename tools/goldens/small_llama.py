"""Writes small_llama, a random Llama with a real little tokenizer, as a Hugging Face folder.

Its weights are exact in bf16 and in f16, so that one golden serves every unquantised file.
"""

import json

import tokenizers
import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

import oracle
import tiny_models
from random_weights import random_weights
from sample_text import MIXED, STORY
from tiny_models import Shape, config_json, golden, save_tensors, write_config

NAME = "small_llama"
FOLDER = oracle.MODELS / NAME
SHAPE = Shape(num_key_value_heads=4, tied=True, vocab_size=320, num_hidden_layers=4)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
END_OF_TEXT, IM_END = 317, 319
QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
          " + '<|im_end|>' + '\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SMALLEST = 2.0**-17  # bf16 has 8 bits, f16 ends at 2^-24: below this one of them would round


def train_tokenizer():
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=SHAPE.vocab_size - len(SPECIAL), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([STORY, MIXED], trainer)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def write_tokenizer():
    tokenizer = train_tokenizer()
    if tokenizer.get_vocab_size() != SHAPE.vocab_size or tokenizer.token_to_id(SPECIAL[2]) != IM_END:
        raise ValueError("the tokenizer has other ids than the configuration says")
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, "bos_token": None,
                "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "model_max_length": 512,
                "clean_up_tokenization_spaces": False, "chat_template": CHATML}
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    generation = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                  "bos_token_id": END_OF_TEXT, "eos_token_id": [IM_END, END_OF_TEXT],
                  "pad_token_id": END_OF_TEXT}
    (FOLDER / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    return tokenizer


def write_token_golden(tokenizer):
    texts = [*STORY.split(". ")[:4], *MIXED.splitlines(), "", " ", "  two  spaces\n\n\ttab", "caf\u0065\u0301",
             "<|im_start|>user\nHi<|im_end|>\n", "a<|im_end|>b <|endoftext|> <|im_en", "I'LL we'Re 12345", "\0\x7f"]
    cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
    chat = AutoTokenizer.from_pretrained(FOLDER)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 6*7?"},
                {"role": "assistant", "content": "42"}, {"role": "user", "content": "Sure?"}]
    rendered = chat.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    oracle.write_json(oracle.GOLDEN / f"{NAME}_tokens.json", {
        "note": f"tokenizers {tokenizers.__version__}", "model": NAME, "cases": cases,
        "chat": {"messages": messages, "rendered": rendered, "ids": tokenizer.encode(rendered).ids}})


def main():
    config = config_json("llama", "LlamaForCausalLM", SHAPE, attention_bias=False, mlp_bias=False,
                         rms_norm_eps=1e-5, rope_scaling=None, bos_token_id=END_OF_TEXT, eos_token_id=IM_END)
    write_config(FOLDER, config, new_spelling=False)
    weights = random_weights(SHAPE, 6, torch.bfloat16)
    save_tensors({n: torch.where(w.abs() < SMALLEST, 0, w) for n, w in weights.items()},
                 FOLDER / "model.safetensors")
    tokenizer = write_tokenizer()
    write_token_golden(tokenizer)
    golden(NAME, token_ids())


def token_ids():
    return tiny_models.tokens(tiny_models.SHORT, 17, SHAPE.vocab_size)


if __name__ == "__main__":
    main()
