#!/usr/bin/env python3
"""GGUF files made by llama.cpp's converter and quantiser, and what transformers answers with exactly their weights.

usage: python make_gguf.py tests/golden/data --llama-cpp FOLDER --seeds tests/fuzz/seeds/gguf

FOLDER is a llama.cpp with build/bin/llama-quantize. The checkpoints are those of text/ and vision/; three of text/ are cut to two layers, one of each kind.

    gguf/tiny-a-Q8_0.gguf      tied, 2 value heads to a key head, MTP block           } each with NAME.ref.safetensors:
    gguf/tiny-b-mixed.gguf     own head; every number format that is supported        } input_ids [T], logits [T, V], and for tiny-a
    gguf/tiny-c-BF16.gguf      own head, 3 value heads to a key head                  } mtp.next_ids [T], hidden [T, H], mtp.logits [T, V]
    gguf/vision/               the checkpoint of vision/ in three parts, and its mmproj file: vision/prompts has the answers
    SEEDS/                     the smallest files, for the fuzz target

References are fp32 arithmetic on the dequantised weights, the converter's changes undone.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers.models.qwen3_5 import modeling_qwen3_5 as Q
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5Config, Qwen3_5TextConfig

from make_text import Runner

torch.set_num_threads(2)
torch.set_grad_enabled(False)

N_IDS = 24
LAYERS = [2, 3]                                     # of the source: DeltaNet, attention

# Every format once, on matrices whose rows it divides; what is not named stays as Q4_K_M chooses.
MIXED = {
    "blk.0.attn_qkv": "q5_k", "blk.0.attn_gate": "q3_k", "blk.0.ssm_out": "q8_0", "blk.0.ssm_alpha": "f32", "blk.0.ssm_beta": "bf16",
    "blk.0.ffn_gate": "q4_0", "blk.0.ffn_up": "q4_1", "blk.0.ffn_down": "q5_0", "blk.1.attn_q": "iq4_xs", "blk.1.attn_k": "q5_1",
    "blk.1.attn_v": "f16", "blk.1.attn_output": "iq4_nl", "blk.1.ffn_gate": "q2_k", "blk.1.ffn_up": "q4_k", "blk.1.ffn_down": "q6_k",
}
FORMATS = "F32 F16 BF16 Q8_0 Q6_K Q5_K Q4_K Q3_K Q2_K Q5_0 Q5_1 Q4_0 Q4_1 IQ4_NL IQ4_XS".split()


# --------------------------------------------------------------------------- llama.cpp

def convert(llama, hf, out, outtype, *extra):
    """The converter, told that an unknown tokenizer splits as Qwen 3.5's does."""
    code = ("import sys, runpy; sys.path.insert(0, {l!r}); sys.path.insert(0, {l!r} + '/gguf-py')\n"
            "import conversion.base as b\n"
            "for c in (b.ModelBase, b.TextModel):\n"
            "    if hasattr(c, 'get_vocab_base_pre'): c.get_vocab_base_pre = lambda self, tok: 'qwen35'\n"
            "sys.argv = ['convert_hf_to_gguf.py'] + sys.argv[1:]\n"
            "runpy.run_path({l!r} + '/convert_hf_to_gguf.py', run_name='__main__')\n").format(l=llama)
    p = subprocess.run([sys.executable, "-c", code, hf, "--outfile", out, "--outtype", outtype, *extra], capture_output=True, text=True)
    if p.returncode:
        sys.exit(p.stdout[-2000:] + p.stderr[-4000:])


def quantize(llama, source, out, kind, types=None):
    options = [x for name, t in (types or {}).items() for x in ("--tensor-type", f"{name}={t}")]
    subprocess.run([f"{llama}/build/bin/llama-quantize", *options, source, out, kind], check=True, capture_output=True)


# --------------------------------------------------------------------------- checkpoints

def cut(source, out):
    """The checkpoint with two layers only."""
    os.makedirs(out)
    tensors, kept = {}, {}
    for name in sorted(os.listdir(source)):
        if name.endswith(".safetensors"):
            tensors.update(load_file(f"{source}/{name}"))
        elif name.startswith("tokenizer"):
            shutil.copy(f"{source}/{name}", out)
    for name, t in tensors.items():
        head, _, tail = name.partition("layers.")
        if tail and "visual" not in head and "mtp" not in head:
            i, rest = tail.split(".", 1)
            if int(i) not in LAYERS:
                continue
            name = f"{head}layers.{LAYERS.index(int(i))}.{rest}"
        kept[name] = t
    save_file(kept, f"{out}/model.safetensors", {"format": "pt"})
    cfg = json.load(open(f"{source}/config.json"))
    text = cfg.get("text_config", cfg)
    text["layer_types"] = [text["layer_types"][i] for i in LAYERS]
    text["num_hidden_layers"], text["full_attention_interval"] = len(LAYERS), 2
    with open(f"{out}/config.json", "w") as f:
        json.dump(cfg, f, indent=1)
    return cfg


NAMES = {
    "attn_norm.weight": "input_layernorm.weight", "post_attention_norm.weight": "post_attention_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight", "attn_k.weight": "self_attn.k_proj.weight", "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight", "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight", "attn_qkv.weight": "linear_attn.in_proj_qkv.weight",
    "attn_gate.weight": "linear_attn.in_proj_z.weight", "ssm_beta.weight": "linear_attn.in_proj_b.weight",
    "ssm_alpha.weight": "linear_attn.in_proj_a.weight", "ssm_conv1d.weight": "linear_attn.conv1d.weight",
    "ssm_dt.bias": "linear_attn.dt_bias", "ssm_a": "linear_attn.A_log", "ssm_norm.weight": "linear_attn.norm.weight",
    "ssm_out.weight": "linear_attn.out_proj.weight", "ffn_gate.weight": "mlp.gate_proj.weight", "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
MTP_NAMES = {"nextn.eh_proj.weight": "fc.weight", "nextn.enorm.weight": "pre_fc_norm_embedding.weight",
             "nextn.hnorm.weight": "pre_fc_norm_hidden.weight", "nextn.shared_head_norm.weight": "norm.weight"}


def untile(x, keys, per_key, head, axis):
    """Value heads in the file's order (j * keys + i) back to Hugging Face's (i * per_key + j)."""
    x = np.moveaxis(x, axis, 0)
    shape = x.shape
    return np.moveaxis(x.reshape((per_key, keys, head) + shape[1:]).swapaxes(0, 1).reshape(shape), 0, axis)


def undo(name, v, c):
    """What the converter did to a tensor of a layer."""
    keys, d = c["linear_num_key_heads"], c["linear_key_head_dim"]
    per_key, rows = c["linear_num_value_heads"] // keys, 2 * keys * d
    if name.endswith("norm.weight") and name != "ssm_norm.weight":
        return v - 1
    if name in ("attn_qkv.weight", "ssm_conv1d.weight"):
        v = np.concatenate([v[:rows], untile(v[rows:], keys, per_key, d, 0)])
        return v[:, None, :] if name.startswith("ssm") else v
    if name == "attn_gate.weight":
        return untile(v, keys, per_key, d, 0)
    if name in ("ssm_beta.weight", "ssm_alpha.weight", "ssm_dt.bias"):
        return untile(v, keys, per_key, 1, 0)
    if name == "ssm_a":
        return np.log(-untile(v.reshape(-1), keys, per_key, 1, 0))
    return untile(v, keys, per_key, d, 1) if name == "ssm_out.weight" else v


def weights_of(path, cfg):
    """The file's weights by the names of Hugging Face without prefix, as float."""
    c, out, seen = cfg.get("text_config", cfg), {}, set()
    for t in gguf.GGUFReader(path).tensors:
        v = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])
        seen.add(t.tensor_type.name)
        top = {"token_embd.weight": "embed_tokens.weight", "output.weight": "lm_head.weight", "output_norm.weight": "norm.weight"}
        if t.name in top:
            name, v = top[t.name], v - 1 if t.name == "output_norm.weight" else v
        else:
            _, i, rest = t.name.split(".", 2)
            prefix = f"layers.{i}." if int(i) < len(LAYERS) else "mtp.layers.0."
            name = "mtp." + MTP_NAMES[rest] if rest in MTP_NAMES else prefix + NAMES[rest]
            v = undo(rest, v, c)
        out[name] = torch.tensor(np.ascontiguousarray(v))
    return out, seen


def answers(path, cfg):
    """input_ids, logits and what the MTP head says, by transformers in fp32."""
    weights, seen = weights_of(path, cfg)
    plain = {k: v for k, v in cfg.items() if k != "architectures"}
    nested = "text_config" in cfg
    model = (Q.Qwen3_5ForConditionalGeneration(Qwen3_5Config(**plain)) if nested else Q.Qwen3_5ForCausalLM(Qwen3_5TextConfig(**plain))).float().eval()
    text = model.model.language_model if nested else model.model
    mtp = {k: v for k, v in weights.items() if k.startswith("mtp.")}
    missing, unexpected = text.load_state_dict({k: v for k, v in weights.items() if k not in mtp and k != "lm_head.weight"}, strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    model.lm_head.weight.data = weights.get("lm_head.weight", weights["embed_tokens.weight"])
    r = Runner(cfg, model, text, mtp)
    ids = torch.randint(0, 264, (N_IDS,), generator=torch.Generator().manual_seed(11))
    logits, _, final, _ = r.run(ids)
    d = {"input_ids": ids.int(), "logits": logits}
    if mtp:
        nxt = torch.cat([ids[1:], logits[-1:].argmax(-1)])
        d.update({"mtp.next_ids": nxt.int(), "hidden": final, "mtp.logits": r.mtp_forward(nxt, final, torch.arange(N_IDS))[0]})
    return {k: v.contiguous() for k, v in d.items()}, seen


# --------------------------------------------------------------------------- the files

def make_text(data, llama, work):
    for name, kind in (("tiny-a", "Q8_0"), ("tiny-b", "mixed"), ("tiny-c", "BF16")):
        cfg = cut(f"{data}/text/{name}/hf", f"{work}/{name}")
        out, full = f"{data}/gguf/{name}-{kind}.gguf", f"{work}/{name}.gguf"
        mtp = [] if cfg.get("text_config", cfg)["mtp_num_hidden_layers"] else ["--no-mtp"]
        convert(llama, f"{work}/{name}", full, "bf16" if kind == "BF16" else "f32", *mtp)
        if kind == "BF16":
            shutil.copy(full, out)
        elif kind == "mixed":
            quantize(llama, full, out, "Q4_K_M", MIXED)
        else:
            quantize(llama, full, out, kind)
        d, seen = answers(out, cfg)
        assert kind != "mixed" or seen >= set(FORMATS), set(FORMATS) - seen
        save_file(d, f"{data}/gguf/{name}.ref.safetensors")
        print(f"{out}: {os.path.getsize(out)} bytes, {' '.join(sorted(seen))}, logits {d['logits'].min():.2f} to {d['logits'].max():.2f}")


def make_vision(data, llama):
    out, source = f"{data}/gguf/vision", f"{data}/vision/checkpoint"
    convert(llama, source, f"{out}/tiny.gguf", "bf16", "--no-mtp", "--split-max-tensors", "22")
    convert(llama, source, f"{out}/mmproj.gguf", "bf16", "--mmproj")
    print(*(f"{n}: {os.path.getsize(f'{out}/{n}')} bytes" for n in sorted(os.listdir(out))), sep="\n")


def make_seeds(seeds):
    """One layer of each kind, a block of a tower, and one setting of each type. Every size small: what a fuzzer changes should be a header."""
    os.makedirs(seeds, exist_ok=True)
    z = lambda *shape: np.zeros(shape, np.float32)

    w = gguf.GGUFWriter(f"{seeds}/model.gguf", "qwen35")
    ints = {"block_count": 3, "nextn_predict_layers": 1, "context_length": 64, "embedding_length": 8, "feed_forward_length": 8,
            "attention.head_count": 2, "attention.head_count_kv": 1, "attention.key_length": 4, "attention.value_length": 4,
            "rope.dimension_count": 4, "ssm.conv_kernel": 4, "ssm.state_size": 4, "ssm.group_count": 1, "ssm.time_step_rank": 2,
            "ssm.inner_size": 8, "full_attention_interval": 2}
    for key, x in ints.items():
        w.add_uint32("qwen35." + key, x)
    w.add_float32("qwen35.attention.layer_norm_rms_epsilon", 1e-6)
    w.add_float32("qwen35.rope.freq_base", 1e7)
    w.add_array("qwen35.rope.dimension_sections", [1, 1, 0, 0])
    w.add_array("qwen35.attention.recurrent_layers", [True, False, False])
    w.add_array("tokenizer.ggml.tokens", ["a", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"])
    w.add_uint32("tokenizer.ggml.eos_token_id", 0)
    w.add_float32("general.sampling.temp", 0.5)
    shapes = {"attn_norm.weight": (8,), "post_attention_norm.weight": (8,), "ffn_gate.weight": (8, 8), "ffn_up.weight": (8, 8),
              "ffn_down.weight": (8, 8)}
    delta = {"attn_qkv.weight": (16, 8), "attn_gate.weight": (8, 8), "ssm_alpha.weight": (2, 8), "ssm_beta.weight": (2, 8),
             "ssm_conv1d.weight": (16, 4), "ssm_a": (2,), "ssm_dt.bias": (2,), "ssm_norm.weight": (4,), "ssm_out.weight": (8, 8)}
    attention = {"attn_q.weight": (16, 8), "attn_k.weight": (4, 8), "attn_v.weight": (4, 8), "attn_output.weight": (8, 8),
                 "attn_q_norm.weight": (4,), "attn_k_norm.weight": (4,)}
    mtp = {"nextn.eh_proj.weight": (8, 16), "nextn.enorm.weight": (8,), "nextn.hnorm.weight": (8,), "nextn.shared_head_norm.weight": (8,)}
    w.add_tensor("token_embd.weight", z(4, 8))
    w.add_tensor("output_norm.weight", z(8))
    for i, parts in enumerate(({**shapes, **delta}, {**shapes, **attention}, {**shapes, **attention, **mtp})):
        for name, shape in parts.items():
            w.add_tensor(f"blk.{i}.{name}", z(*shape).astype(np.float16 if name.startswith("ffn") else np.float32))
    finish(w)

    w = gguf.GGUFWriter(f"{seeds}/mmproj.gguf", "clip")
    w.add_string("clip.projector_type", "qwen3vl_merger")
    w.add_bool("clip.has_vision_encoder", True)
    w.add_bool("clip.use_gelu", True)
    ints = {"block_count": 1, "embedding_length": 4, "attention.head_count": 1, "feed_forward_length": 8, "projection_dim": 8,
            "patch_size": 2, "image_size": 4, "spatial_merge_size": 2}
    for key, x in ints.items():
        w.add_uint32("clip.vision." + key, x)
    w.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    w.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    w.add_array("clip.vision.is_deepstack_layers", [False])
    for name in ("v.patch_embd.weight", "v.patch_embd.weight.1"):
        w.add_tensor(name, z(4, 3, 2, 2))
    w.add_tensor("v.patch_embd.bias", z(4))
    w.add_tensor("v.position_embd.weight", z(4, 4))
    pairs = {"v.blk.0.ln1": (4,), "v.blk.0.ln2": (4,), "v.blk.0.attn_qkv": (12, 4), "v.blk.0.attn_out": (4, 4), "v.blk.0.ffn_up": (8, 4),
             "v.blk.0.ffn_down": (4, 8), "v.post_ln": (4,), "mm.0": (16, 16), "mm.2": (8, 16)}
    for name, shape in pairs.items():
        w.add_tensor(name + ".weight", z(*shape))
        w.add_tensor(name + ".bias", z(shape[0]))
    finish(w)

    w = gguf.GGUFWriter(f"{seeds}/types.gguf", "none")
    for kind, x in (("uint8", 1), ("int8", -1), ("uint16", 2), ("int16", -2), ("uint32", 3), ("int32", -3), ("float32", 0.5), ("bool", True),
                    ("string", "word"), ("uint64", 4), ("int64", -4), ("float64", 0.25), ("array", [1, 2]), ("array", ["a", "bc", ""])):
        getattr(w, "add_" + kind)(f"{kind}.{type(x).__name__}.{str(x)[:2].strip('[')}", x)
    w.add_uint32("general.alignment", 64)
    w.data_alignment = 64
    w.add_tensor("one", z(2, 3))
    w.add_tensor("two", z(5))
    q8 = gguf.GGMLQuantizationType.Q8_0
    w.add_tensor("three", gguf.quantize(z(2, 64), q8), raw_dtype=q8)
    finish(w)
    model, tower = (open(f"{seeds}/{n}.gguf", "rb").read() for n in ("model", "mmproj"))
    with open(f"{seeds}/model-and-mmproj", "wb") as f:
        f.write(model + tower)
    os.remove(f"{seeds}/mmproj.gguf")


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data")
    ap.add_argument("--llama-cpp", required=True)
    ap.add_argument("--seeds", required=True)
    a = ap.parse_args()
    shutil.rmtree(f"{a.data}/gguf/vision", ignore_errors=True)
    os.makedirs(f"{a.data}/gguf/vision")
    with tempfile.TemporaryDirectory() as work:
        make_text(a.data, a.llama_cpp, work)
    make_vision(a.data, a.llama_cpp)
    make_seeds(a.seeds)


if __name__ == "__main__":
    main()
