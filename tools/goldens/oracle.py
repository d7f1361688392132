"""The oracle: Hugging Face transformers, eager attention, every operation in float64, on the CPU.

Stored weights (bf16, f16, f32) widen to float64 exactly, so what a golden holds is the model itself
with rounding errors around 1e-15, and any difference from it is the other program's.
"""

import contextlib
import json
from pathlib import Path

import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/data/models"
GOLDEN = ROOT / "tests/data/golden"
transformers.utils.logging.disable_progress_bar()

NOTE = f"transformers {transformers.__version__}, eager, float64 throughout; weights widened exactly"


@contextlib.contextmanager
def float32_means_float64():
    """transformers asks for float32 by name in norms, softmax, RoPE and routing; give it float64."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved


def load(folder, **config_changes):
    """The model of a folder; a tensor too many, too few or of another shape is an error."""
    config = transformers.AutoConfig.from_pretrained(folder, **config_changes)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager", output_loading_info=True)
    problems = {kind: found for kind, found in info.items() if found}
    if problems:
        raise ValueError(f"{folder}: {problems}")
    return model.eval()


def logits(model, token_ids):
    """[n_tokens, vocab_size], float64. The model is widened in place."""
    with float32_means_float64(), torch.no_grad():
        model = model.double()
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
        return model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0].numpy()


def round_inputs(model, is_quantised, block=32):
    """Quantised weights meet activations in 8 bits: rounds the input of every linear layer for which
    is_quantised(name) holds to 127 steps of each block's largest magnitude. Returns a list of how near each
    call came to rounding the other way, in steps."""
    margins = []

    def rounded(_, inputs):
        blocks = inputs[0].unflatten(-1, (-1, block))
        scale = blocks.abs().amax(-1, keepdim=True) / 127
        steps = torch.where(scale > 0, blocks / scale, 0)
        margins.append(float((0.5 - (steps - steps.round()).abs()).min()))
        return (steps.round() * scale).flatten(-2)

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and is_quantised(name):
            module.register_forward_pre_hook(rounded)
    return margins


def seven_digits(values):
    return [float(f"{value:.7g}") for value in values]


def compact_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact_json(value) + "\n")


def write_golden(name, model, token_ids, rows, positions=None, note=NOTE):
    """tests/data/golden/NAME.json; `rows` are the logits at `positions`, or at every position."""
    golden = {"note": note, "model": model, "token_ids": list(map(int, token_ids))}
    if positions is not None:
        golden["positions"] = list(positions)
    golden["argmax"] = [int(row.argmax()) for row in rows]
    golden["logits"] = [seven_digits(row) for row in rows]
    write_json(GOLDEN / f"{name}.json", golden)
