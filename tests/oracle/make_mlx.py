#!/usr/bin/env python3
"""Make tiny checkpoints quantised for MLX, and what transformers answers with their weights, dequantised exactly, in float32.

usage: python make_mlx.py tests/golden/data [--only zoo,tower]
       python make_mlx.py tests/fuzz/seeds/mlx --only seeds      config.json, a NUL, model.safetensors: for tests/fuzz/fuzz_mlx.c

Reads text/tiny-{a,b}/hf and vision/ of the same folder. Every model is also run by mlx-lm or mlx-vlm in float32, and the difference printed. The dequantisers
below are independent of MLX; the script stops when they disagree with it.

    mlx/NAME/           config.json, model.safetensors (and index) as MLX's tools write them
    mlx/NAME/ref.safetensors  input_ids [T], logits [T, V]
        tiny-a-6bit     tiny-a by mlx_lm.convert: 6 bits, groups of 64; and mtp/ by mlx-vlm: 8 bits; mtp.next_ids, mtp.logits
        tiny-b-mixed    tiny-b by mlx_lm.convert with a predicate: 8, 6, 5, 4, 3, 2 bits; groups of 32 and 64; in_proj_a/b in bf16
        zoo             every width x group, scales in bf16, f16 and f32; mxfp4, nvfp4, mxfp8; the embedding is the head
        plain           not quantised: names "model.*", f16, norms + 1, [C, 4, 1]
        tower           the checkpoint of vision/ by mlx-vlm: everything quantised that groups of 32 fit, in the tower too; logits of prompts/one_image
"""
import argparse
import json
import os
import shutil

import mlx.core as mx
import numpy as np
import torch
from safetensors.torch import load_file, save_file

import make_text
import make_vision

mx.set_default_device(mx.cpu)
torch.set_grad_enabled(False)

SMALL = dict(layout="text", tie=True, mtp=False, hidden=128, inter=128, layers=8, heads=2, kv=1, head_dim=64, lk=2, lv=4, ld=32, vocab=320,
             mrope=[3, 3, 2], dtype="bf16")
PLAIN = dict(SMALL, layers=4, hidden=64, inter=96, vocab=288, tie=False)


def compare(tag, a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    print(f"{tag}: largest difference {np.abs(a - b).max():.3g}, values in [{b.min():.1f}, {b.max():.1f}]", flush=True)


# ------------------------------------------------------------------ codes -> floats

def unpack(words, bits, n):
    """uint32 words -> unsigned codes; each row is one little-endian stream of bits, the lowest first."""
    by = np.ascontiguousarray(words).view(np.uint8).reshape(words.shape[0], -1)
    b = np.unpackbits(by, axis=1, bitorder="little").reshape(words.shape[0], n, bits)
    return (b.astype(np.int64) << np.arange(bits)).sum(-1)


FP4 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def e4m3(u):
    u = u.astype(np.int64)
    s, e, m = np.where(u & 128, -1.0, 1.0), (u >> 3) & 15, u & 7
    return s * np.where(e == 0, m / 8 * 2.0 ** -6, (1 + m / 8) * 2.0 ** (e - 7.0))


def dequantise(w, scales, biases, group, bits, mode):
    words, n = w.numpy().view(np.uint32), scales.shape[1] * group
    u = unpack(words, bits, n)
    if mode == "affine":
        s, b = scales.float().numpy(), biases.float().numpy()
        out = u.astype(np.float32) * np.repeat(s, group, 1) + np.repeat(b, group, 1)
    else:
        s = e4m3(scales.numpy()) if mode == "nvfp4" else 2.0 ** (scales.numpy().astype(np.float64) - 127)
        out = ((FP4[u] if bits == 4 else e4m3(u)) * np.repeat(s, group, 1)).astype(np.float32)
    array = lambda t: mx.array(t.float().numpy()) if t.dtype != torch.uint8 else mx.array(t.numpy())
    theirs = mx.dequantize(mx.array(words), array(scales), None if biases is None else array(biases), group_size=group, bits=bits, mode=mode)
    assert np.array_equal(np.array(theirs.astype(mx.float32)), out), (group, bits, mode)
    return torch.tensor(out)


SHIFTED = ("input_layernorm.weight", "post_attention_layernorm.weight", "q_norm.weight", "k_norm.weight", "model.norm.weight")


def their_name(k):
    for theirs, ours in (("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."), ("vision_tower.", "model.visual.")):
        if k.startswith(theirs):
            return ours + k[len(theirs):]
    return k


def state_of(path, draft=False):
    """All weights of a folder as Hugging Face names and holds them, in float32."""
    q = json.load(open(f"{path}/config.json")).get("quantization", {})
    t = {}
    for f in sorted(os.listdir(path)):
        if f.endswith(".safetensors") and f != "ref.safetensors":
            t.update(load_file(f"{path}/{f}"))
    out = {}
    for k, v in t.items():
        if k.endswith((".scales", ".biases")):
            continue
        base = k.removesuffix(".weight")
        if base + ".scales" in t:
            p = q.get(base, q)
            v = dequantise(v, t[base + ".scales"], t.get(base + ".biases"), p["group_size"], p["bits"], p.get("mode", "affine"))
        v = v.float()
        if k.endswith("conv1d.weight"):
            v = v.movedim(1, 2)                                          # [C, 4, 1] -> [C, 1, 4]
        if k.endswith("patch_embed.proj.weight"):
            v = v.permute(0, 4, 1, 2, 3)                                 # colours last -> colours first
        if (draft and "norm" in k) or k.endswith(SHIFTED):
            v = v - 1.0
        out["mtp." + k if draft else their_name(k)] = v.contiguous()
    return out


# ------------------------------------------------------------------ references

def model_of(config, state):
    """transformers in float32 with these weights; the decoder inside."""
    config = {k: v for k, v in config.items() if k not in ("architectures", "quantization", "quantization_config")}
    if "text_config" in config:
        model = make_text.Q.Qwen3_5ForConditionalGeneration(make_text.Qwen3_5Config(**config))
    else:
        model = make_text.Q.Qwen3_5ForCausalLM(make_text.Qwen3_5TextConfig(**config))
        state = {k.replace("model.language_model.", "model."): v for k, v in state.items()}
    model = model.float().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not [m for m in missing if "visual" not in m and m != "lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model, model.model.language_model if "text_config" in config else model.model


def logits_by_mlx(path, ids):
    from mlx.utils import tree_map
    from mlx_lm import utils
    from pathlib import Path
    model, _ = utils.load_model(Path(path), model_config={"model_type": "qwen3_5"})
    model.update(tree_map(lambda x: x.astype(mx.float32) if mx.issubdtype(x.dtype, mx.floating) else x, model.parameters()))
    return np.array(model(mx.array(ids.numpy())[None])[0])


def write_reference(path, ids, extra=None):
    config, state = json.load(open(f"{path}/config.json")), state_of(path)
    model, text = model_of(config, state)
    r = make_text.Runner(config, model, text, state_of(f"{path}/mtp", draft=True) if os.path.isdir(f"{path}/mtp") else {})
    logits, _, hidden, _ = r.run(ids)
    d = {"input_ids": ids.int(), "logits": logits}
    if r.mtp:
        following = torch.cat([ids[1:], logits[-1].argmax()[None]])
        d["mtp.next_ids"] = following.int()
        d["mtp.logits"], _ = r.mtp_forward(following, hidden, torch.arange(len(ids)))
    save_file({k: v.contiguous() for k, v in d.items()}, f"{path}/ref.safetensors")
    compare(os.path.basename(path) + ", mlx-lm in float32 and the reference", logits_by_mlx(path, ids), logits)


def keep_weights_only(path):
    for f in os.listdir(path):
        if not f.endswith(".safetensors") and f not in ("config.json", "model.safetensors.index.json", "mtp", "preprocessor_config.json"):
            os.remove(f"{path}/{f}")


# ------------------------------------------------------------------ models by MLX's own tools

def mixed_rule(path, module):
    if path.endswith(("embed_tokens", "lm_head")):
        return {"group_size": 64, "bits": 8}
    if path.endswith(("in_proj_a", "in_proj_b")):
        return False
    if path.endswith(("o_proj", "out_proj")):
        return {"group_size": 32, "bits": 8}
    if ".layers.1.mlp" in path:
        return {"group_size": 64, "bits": {"gate_proj": 5, "up_proj": 4, "down_proj": 3}[path.rsplit(".", 1)[1]]}
    if path.endswith("layers.2.mlp.gate_proj"):
        return {"group_size": 32, "bits": 2}
    return True


def by_mlx_lm(data, name, source, rule, draft):
    from mlx_lm import convert
    out, hf = f"{data}/mlx/{name}", f"{data}/text/{source}/hf"
    shutil.rmtree(out, ignore_errors=True)
    convert(hf, out, quantize=True, q_group_size=64, q_bits=6, quant_predicate=rule)
    if draft:
        from mlx_vlm.speculative.drafters.qwen3_5_mtp.split import Qwen3_5MTPSplitter
        Qwen3_5MTPSplitter().split(hf, f"{out}/mtp", q_bits=8, q_group_size=64)
        keep_weights_only(f"{out}/mtp")
    keep_weights_only(out)
    write_reference(out, load_file(f"{data}/text/{source}/ref.safetensors")["input_ids"].long())


def by_mlx_vlm(data):
    from mlx_vlm.quant_utils import quantize_model
    from mlx_vlm.utils import get_model_path, load_model, save_config, save_weights
    from pathlib import Path
    source, out = Path(f"{data}/vision/checkpoint"), Path(f"{data}/mlx/tower")
    shutil.rmtree(out, ignore_errors=True)
    model = load_model(source)
    config = json.load(open(source / "config.json"))
    fits = lambda path, m: hasattr(m, "to_quantized") and m.weight.shape[-1] % 32 == 0
    rule = lambda path, m: fits(path, m) and ({"group_size": 32, "bits": 8} if "vision_tower" in path else True)
    model, config = quantize_model(model, config, 32, 6, mode="affine", quant_predicate=rule)
    os.makedirs(out)
    save_weights(out, model)
    save_config(config, config_path=out / "config.json")
    shutil.copy(source / "preprocessor_config.json", out)
    keep_weights_only(out)
    reference = make_vision.build(make_vision.TOWER, torch.bfloat16, make_vision.SEED)
    missing, unexpected = reference.load_state_dict(state_of(str(out)), strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    reference.tie_weights()
    write_picture_reference(data, str(out), reference)


def write_picture_reference(data, out, model):
    from mlx_vlm.utils import load_model
    from mlx.utils import tree_map
    from pathlib import Path
    stored = load_file(f"{data}/vision/prompts/one_image.safetensors")
    patches, grid = make_vision.patches_of(make_vision.PROCESSOR, make_vision.load_rgb(f"{data}/vision/images/palette_200x150.png"))
    pad, ids = make_vision.SID["<|image_pad|>"], []
    for t in stored["ids"].tolist():
        ids += [t] * (int(grid[0].prod()) // 4 if t == pad else 1)
    r = make_vision.run_prompt(model, ids, patches, grid, n_new=16)
    save_file({k: torch.tensor(np.ascontiguousarray(v)) for k, v in r.items()}, f"{out}/ref.safetensors")
    theirs = load_model(Path(out))
    theirs.update(tree_map(lambda x: x.astype(mx.float32) if mx.issubdtype(x.dtype, mx.floating) else x, theirs.parameters()))
    y = theirs(mx.array(ids)[None], pixel_values=mx.array(patches.numpy()), image_grid_thw=mx.array(grid.numpy()))
    compare("tower, mlx-vlm in float32 and the reference", np.array(y.logits[0]), r["logits"])
    print(f"smallest margin of the greedy tokens {r['greedy_margin'].min():.3f}")


# ------------------------------------------------------------------ models written here, tensor by tensor

def mlx_form(state, dtype):
    """Hugging Face's names and values -> MLX's."""
    out = {}
    for k, v in state.items():
        if k == "lm_head.weight" and "model.embed_tokens.weight" in state and torch.equal(v, state["model.embed_tokens.weight"]):
            continue
        if k.endswith(SHIFTED):
            v = v + 1.0
        if k.endswith("conv1d.weight"):
            v = v.movedim(1, 2)
        a = mx.array(v.numpy())
        out[k] = a if k.endswith("A_log") else a.astype(dtype)
    return out


def save_mlx(path, tensors, config):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    mx.save_safetensors(f"{path}/model.safetensors", tensors, metadata={"format": "mlx"})
    with open(f"{path}/config.json", "w") as f:
        json.dump(config, f, indent=1)


def combinations():
    """Settings and the type of their scales, in turn; the last ones are the float modes."""
    types = [mx.bfloat16, mx.float16, mx.float32]
    out = [(dict(group_size=g, bits=b), types[(i + j + k) % 3]) for k in range(2) for i, b in enumerate((2, 3, 4, 5, 6, 8)) for j, g in enumerate((32, 64, 128))]
    return out + [(dict(group_size=g, bits=b, mode=m), mx.bfloat16) for m, b, g in (("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32))] * 2


def make_zoo(data):
    config, model, _, _ = make_text.build(SMALL, 77)
    plain, tensors, rules, choices = mlx_form(model.state_dict(), mx.bfloat16), {}, {}, combinations()
    matrices = [k for k, v in plain.items() if v.ndim == 2 and v.shape[1] >= 128]
    usual = dict(group_size=64, bits=6, mode="affine")
    for k, v in plain.items():
        name = "language_model." + k
        if k not in matrices:
            tensors[name] = v
            continue
        setting, dtype = choices[matrices.index(k) % len(choices)] if "embed" not in k else (dict(group_size=64, bits=6), mx.bfloat16)
        parts = mx.quantize(v.astype(dtype), **setting)
        for part, tail in zip(parts, (".weight", ".scales", ".biases")):
            tensors[name.removesuffix(".weight") + tail] = part
        rules[name.removesuffix(".weight")] = setting
    print(f"zoo: {len(matrices)} matrices, {len(choices)} settings")
    assert len(matrices) > len(choices)
    quantization = dict(usual, **rules)
    save_mlx(f"{data}/mlx/zoo", tensors, dict(config, quantization=quantization, quantization_config=quantization))
    write_reference(f"{data}/mlx/zoo", torch.randint(0, 264, (90,), generator=torch.Generator().manual_seed(3)))


def make_plain(data):
    config, model, _, _ = make_text.build(PLAIN, 78)
    tensors = mlx_form(model.state_dict(), mx.float16)
    save_mlx(f"{data}/mlx/plain", tensors, dict(config, dtype="float16"))
    write_reference(f"{data}/mlx/plain", torch.randint(0, 264, (70,), generator=torch.Generator().manual_seed(4)))


# ------------------------------------------------------------------ seeds of the fuzz target

SEED = dict(SMALL, layers=2, hidden=64, inter=64, heads=1, head_dim=32, lk=1, lv=2, ld=16, vocab=32, mrope=[2, 1, 1])


def seed_config():
    c = make_text.text_config(dict(SEED, vocab=64))
    return dict(c, vocab_size=32, eos_token_id=1, layer_types=["linear_attention", "full_attention"], architectures=["Qwen3_5ForCausalLM"])


def make_seed(folder, name, config, choose):
    model = make_text.Q.Qwen3_5ForCausalLM(make_text.Qwen3_5TextConfig(**{k: v for k, v in config.items() if k != "architectures"}))
    tensors, rules = {}, {}
    for k, v in mlx_form(model.state_dict(), mx.bfloat16).items():
        setting = choose(k) if v.ndim == 2 else None
        if not setting:
            tensors["language_model." + k] = v
            continue
        for part, tail in zip(mx.quantize(v, **setting), (".weight", ".scales", ".biases")):
            tensors["language_model." + k.removesuffix(".weight") + tail] = part
        rules["language_model." + k.removesuffix(".weight")] = setting
    if rules:
        config = dict(config, quantization=dict(group_size=64, bits=4, mode="affine", **rules))
    mx.save_safetensors(f"{folder}/{name}.safetensors", tensors, metadata={"format": "mlx"})
    with open(f"{folder}/{name}.safetensors", "rb") as f:
        weights = f.read()
    os.remove(f"{folder}/{name}.safetensors")
    with open(f"{folder}/{name}", "wb") as f:
        f.write(json.dumps(config, separators=(",", ":")).encode() + b"\0" + weights)


def make_seeds(folder):
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(5)
    widths = [dict(group_size=32, bits=b) for b in (2, 3, 5, 8)] + [dict(group_size=g, bits=b, mode=m) for m, b, g in
                                                                  (("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32))] + [None]
    make_seed(folder, "two-bits", seed_config(), lambda k: dict(group_size=32, bits=2))
    make_seed(folder, "every-mode", seed_config(), lambda k: widths[sum(map(ord, k)) % len(widths)])
    make_seed(folder, "plain", seed_config(), lambda k: None)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("data")
    ap.add_argument("--only", default="tiny-a-6bit,tiny-b-mixed,zoo,plain,tower")
    a = ap.parse_args()
    jobs = {"tiny-a-6bit": lambda: by_mlx_lm(a.data, "tiny-a-6bit", "tiny-a", None, True),
            "tiny-b-mixed": lambda: by_mlx_lm(a.data, "tiny-b-mixed", "tiny-b", mixed_rule, False),
            "zoo": lambda: make_zoo(a.data), "plain": lambda: make_plain(a.data), "tower": lambda: by_mlx_vlm(a.data),
            "seeds": lambda: make_seeds(a.data)}
    for name in a.only.split(","):
        jobs[name]()


if __name__ == "__main__":
    main()
