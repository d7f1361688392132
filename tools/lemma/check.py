#!/usr/bin/env python3
"""Lets a model solve fresh lemma chains by itself, through Hugging Face transformers, and counts.

    python3 tools/lemma/check.py models/lemma --steps 8 32 --count 20

Nothing of train.py is used: the folder is read, the prompt rendered and the end recognised as its own files say.
On a GPU if there is one.
"""
import argparse
import random
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import chains


@torch.no_grad()
def solve(model, tokenizer, problems):
    """The model's responses; the problems are of one length, so that no prompt needs padding."""
    dialogues = [[{"role": "user", "content": problem.prompt}] for problem in problems]
    texts = tokenizer.apply_chat_template(dialogues, add_generation_prompt=True, tokenize=False)
    given = tokenizer(texts, add_special_tokens=False, return_tensors="pt").to(model.device)
    room = model.config.max_position_embeddings - given.input_ids.shape[1]
    ids = model.generate(**given, max_new_tokens=min(room, 20 * problems[0].steps + 40))
    return tokenizer.batch_decode(ids[:, given.input_ids.shape[1]:], skip_special_tokens=True)


def check(model, tokenizer, steps, arguments):
    rng, started = random.Random(f"check {arguments.seed} {steps}"), time.time()
    problems = [chains.draw_problem(rng, steps, steps // 4) for _ in range(arguments.count)]
    responses = []
    for i in range(0, len(problems), arguments.batch):
        responses += solve(model, tokenizer, problems[i:i + arguments.batch])
    exact = sum(response == problem.response for response, problem in zip(responses, problems))
    right = sum(response.rpartition("</think>")[2].strip() == problem.answer
                for response, problem in zip(responses, problems))
    print(f"{steps:5} steps: exact {exact}, right answers {right} of {len(problems)} problems"
          f" in {time.time() - started:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the model")
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 32, 64, 128, 256], metavar="N",
                        help="lengths of problems (default: 8 32 64 128 256)")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="problems of each (default: 20)")
    parser.add_argument("--batch", type=int, default=100, metavar="N", help="solved at once (default: 100)")
    parser.add_argument("--dtype", default="auto", help="float type; auto: the weights' own (default: auto)")
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=arguments.dtype).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    for steps in arguments.steps:
        check(model, tokenizer, steps, arguments)


if __name__ == "__main__":
    main()
