#!/usr/bin/env python3
"""What transformers makes of YaRN: frequencies of the real models, and what two tiny checkpoints of make_text.py answer with it.

usage: python make_yarn.py tests/golden/data/text

    yarn.safetensors
        settings [N, 8]                       factor, original, beta_fast, beta_slow, attention_factor (0: none), mscale, mscale_all_dim, truncate
        inv_freq [N, 32], scale [N]           _compute_yarn_parameters of each at theta 1e7, 64 of 256 values
        pos [3, T], cos_f64, sin_f64 [T, 32]  tables of setting 0 up to position 1,010,000, the reference's frequencies in double
        short.logits [64, V]                  the last rows of tiny-c's prompt of 131 tokens, trained on 32, factor 4
        near.logits [32, V]                   the last rows of tiny-a's prompt with pictures, factor 4, as the model card has it
        far.logits [32, V]                    the same, with a gap of 900,000 positions (far.shift) in the middle
"""
import argparse
import json
import os

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.modeling_rope_utils import _compute_yarn_parameters
from transformers.models.qwen3_5 import modeling_qwen3_5 as Q
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5Config, Qwen3_5TextConfig

from make_text import Runner

torch.set_num_threads(2)
torch.set_grad_enabled(False)

# factor, original, beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim, truncate
SETTINGS = [
    (4, 262144, 0, 0, 0, 0, 0, 1),
    (2, 262144, 0, 0, 0, 0, 0, 1),
    (1, 262144, 0, 0, 0, 0, 0, 1),
    (4, 32768, 16, 2, 0, 0, 0, 1),
    (4, 262144, 0, 0, 0, 0, 0, 0),
    (3.5, 262144, 0, 0, 0.75, 0, 0, 1),
    (4, 262144, 0, 0, 0, 0.707, 1.0, 1),
    (4, 100, 0, 0, 0, 0, 0, 1),
    (4, 16777216, 32, 32, 0, 0, 0, 1),
]
SHIFT = 900000


def parameters(setting, base):
    factor, original, fast, slow, attention, mscale, all_dim, truncate = setting
    extra = dict(beta_fast=fast, beta_slow=slow, attention_factor=attention, mscale=mscale, mscale_all_dim=all_dim)
    return dict(base, rope_type="yarn", factor=float(factor), original_max_position_embeddings=original, truncate=bool(truncate),
                **{k: v for k, v in extra.items() if v})


def real_config(setting):
    base = dict(rope_theta=10000000, partial_rotary_factor=0.25, mrope_section=[11, 11, 10], mrope_interleaved=True)
    return Qwen3_5TextConfig(hidden_size=256, head_dim=256, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                             intermediate_size=64, vocab_size=64, max_position_embeddings=262144, rope_parameters=parameters(setting, base))


def tables(inv, scale):
    """In double: in float the angles at a million are off by 0.03."""
    pos = torch.tensor([[0, 1, 63, 4095, 131072, 262143, 524288, 1009999, 5, 900, 700000],
                        [0, 1, 63, 4095, 131072, 262143, 524288, 1009999, 6, 905, 700011],
                        [0, 1, 63, 4095, 131072, 262143, 524288, 1009999, 8, 931, 700003]])
    axis = np.array([1 if i % 3 == 1 and i < 33 else 2 if i % 3 == 2 and i < 30 else 0 for i in range(32)])
    angles = pos.numpy()[axis].T * inv.double().numpy()[None]
    return {"pos": pos.int(), "cos_f64": torch.tensor(np.cos(angles) * scale), "sin_f64": torch.tensor(np.sin(angles) * scale)}


def in_double(rotary):
    """The module's own forward, angles in double."""
    def forward(x, position_ids):
        freqs = position_ids.expand(3, -1, -1)[..., None].double() * double_frequencies(rotary)
        cos, sin = (rotary.recomposition_frequencies(f * rotary.attention_scaling) for f in (freqs.cos(), freqs.sin()))
        return cos.to(x.dtype), sin.to(x.dtype)
    rotary.forward = forward


def double_frequencies(rotary):
    """_compute_yarn_parameters with every step in double; asserted to be its result."""
    p = rotary.config.rope_parameters
    dim = rotary.inv_freq.shape[0] * 2
    turns = lambda n: dim * np.log(p["original_max_position_embeddings"] / (n * 2 * np.pi)) / (2 * np.log(p["rope_theta"]))
    low, high = max(np.floor(turns(32)), 0), min(np.ceil(turns(1)), dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / ((high - low) or 0.001), 0, 1)
    freq = p["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
    freq = torch.tensor(freq / p["factor"] * ramp + freq * (1 - ramp))
    assert torch.allclose(freq, rotary.inv_freq.double(), rtol=2e-6), (freq, rotary.inv_freq)
    return freq


def load(path, setting):
    """A checkpoint of make_text.py in fp32 with YaRN in its config."""
    with open(os.path.join(path, "config.json")) as f:
        cfg = json.load(f)
    text = cfg.get("text_config", cfg)
    text["rope_parameters"] = parameters(setting, text["rope_parameters"])
    kind, config = ((Q.Qwen3_5ForConditionalGeneration, Qwen3_5Config) if "text_config" in cfg else
                    (Q.Qwen3_5ForCausalLM, Qwen3_5TextConfig))
    model = kind.from_pretrained(path, config=config(**{k: v for k, v in cfg.items() if k != "architectures"}), dtype=torch.float32).eval()
    stack = model.model.language_model if "text_config" in cfg else model.model
    in_double(stack.rotary_emb)
    return Runner(cfg, model, stack, {})


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("dir", help="has tiny-a and tiny-c; yarn.safetensors is written there")
    a = ap.parse_args()
    ref = lambda name: safe_open(os.path.join(a.dir, name, "ref.safetensors"), "pt")
    made = [_compute_yarn_parameters(real_config(s), None) for s in SETTINGS]
    d = {"settings": torch.tensor(SETTINGS, dtype=torch.float64), "inv_freq": torch.stack([m[0] for m in made]),
         "scale": torch.tensor([m[1] for m in made], dtype=torch.float64)}
    d.update(tables(*made[0]))

    with ref("tiny-c") as f:
        ids = f.get_tensor("input_ids").long()
    d["short.logits"] = load(os.path.join(a.dir, "tiny-c", "hf"), (4, 32, 0, 0, 0, 0, 0, 1)).run(ids)[0][-64:]

    r = load(os.path.join(a.dir, "tiny-a", "hf"), SETTINGS[0])
    with ref("tiny-a") as f:
        ids, kind, pos, rows = (f.get_tensor("mm." + n) for n in ("input_ids", "kind", "position_ids", "features"))
    emb = r.text.embed_tokens(ids.long()[None]).clone()
    emb[0, kind > 0] = rows
    second_half = torch.arange(len(ids)) >= len(ids) // 2
    for name, shift in (("near", 0), ("far", SHIFT)):
        d[name + ".logits"] = r.run(embeds=emb, pos3=pos.long() + shift * second_half)[0][-32:]
    d["far.shift"] = torch.tensor([SHIFT]).int()
    print("the gap moves logits by up to", float((d["far.logits"] - d["near.logits"]).abs().max()))
    save_file({k: v.contiguous() for k, v in d.items()}, os.path.join(a.dir, "yarn.safetensors"))


if __name__ == "__main__":
    main()
