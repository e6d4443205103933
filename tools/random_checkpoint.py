#!/usr/bin/env python3
"""Random Qwen3.5 checkpoints at the real shapes, as Hugging Face directories.

The weights mean nothing; their shapes, names, types and order of size are those of the published models, so that loading, memory and speed
can be tried without them. Values depend on the seed and the tensor's name alone: sharding does not change them. Tensors are made and
written in pieces of a few megabytes, so the 9B fits a small machine. Needs numpy, nothing else.

    random_checkpoint.py 0.8b OUT --tokenizer DIR     one file, bf16
    random_checkpoint.py 9b OUT --shard-mb 5000       model-00001-of-00004.safetensors ... and the index
    random_checkpoint.py tiny OUT --dtype f32 --text-only
    random_checkpoint.py 4b OUT --config-only         the JSON files alone
"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import zlib

import numpy as np

PIECE = 1 << 20  # values made at a time

# layers, hidden, intermediate, query heads, KV heads, linear value heads, tied; tower: depth, width, heads, MLP
SHAPES = {
    "0.8b": (24, 1024, 3584, 8, 2, 16, True, 12, 768, 12, 3072),
    "2b": (24, 2048, 6144, 8, 2, 16, True, 24, 1024, 16, 4096),
    "4b": (32, 2560, 9216, 16, 4, 32, True, 24, 1024, 16, 4096),
    "9b": (32, 4096, 12288, 16, 4, 32, False, 27, 1152, 16, 4304),
    "tiny": (8, 256, 512, 4, 2, 4, True, 3, 128, 4, 384),
}
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "vocab.json", "merges.txt", "added_tokens.json"]
SAFETENSORS_TYPE = {"bf16": "BF16", "f16": "F16", "f32": "F32"}
VALUE_BYTES = {"BF16": 2, "F16": 2, "F32": 4}


def first_added(vocab):
    """<|endoftext|>, the first of the 33 added tokens."""
    return 248044 if vocab > 248076 else vocab - 33


def text_config(size, vocab):
    layers, hidden, inner, heads, kv_heads, value_heads, tied = SHAPES[size][:7]
    small = size == "tiny"
    return {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_output_gate": True,
        "dtype": "bfloat16",
        "eos_token_id": first_added(vocab),
        "full_attention_interval": 4,
        "head_dim": 64 if small else 256,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": inner,
        "layer_types": ["linear_attention" if (i + 1) % 4 else "full_attention" for i in range(layers)],
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 64 if small else 128,
        "linear_num_key_heads": 2 if small else 16,
        "linear_num_value_heads": value_heads,
        "linear_value_head_dim": 64 if small else 128,
        "max_position_embeddings": 4096 if small else 262144,
        "mlp_only_layers": [],
        "model_type": "qwen3_5_text",
        "mtp_num_hidden_layers": 1,
        "mtp_use_dedicated_embeddings": False,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-06,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": vocab,
        "mamba_ssm_dtype": "float32",
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [3, 3, 2] if small else [11, 11, 10],
            "rope_type": "default",
            "rope_theta": 10000000,
            "partial_rotary_factor": 0.25,
        },
    }


def vision_config(size):
    depth, width, heads, inner = SHAPES[size][7:]
    return {
        "deepstack_visual_indexes": [],
        "depth": depth,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": width,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": inner,
        "model_type": "qwen3_5",
        "num_heads": heads,
        "num_position_embeddings": 64 if size == "tiny" else 2304,
        "out_hidden_size": SHAPES[size][1],
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }


def configs(size, vocab, text_only, mtp):
    """File name -> content of the JSON files."""
    text = text_config(size, vocab)
    if not mtp:
        text["mtp_num_hidden_layers"] = 0
    special = first_added(vocab)
    generation = {"bos_token_id": special, "do_sample": True, "eos_token_id": [special + 2, special], "pad_token_id": special,
                  "temperature": 0.6, "top_k": 20, "top_p": 0.95}
    if text_only:
        return {"config.json": {"architectures": ["Qwen3_5ForCausalLM"], **text}, "generation_config.json": generation}
    config = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "image_token_id": special + 12,
        "model_type": "qwen3_5",
        "text_config": text,
        "tie_word_embeddings": text["tie_word_embeddings"],
        "transformers_version": "4.57.0.dev0",
        "video_token_id": special + 13,
        "vision_config": vision_config(size),
        "vision_end_token_id": special + 10,
        "vision_start_token_id": special + 9,
    }
    preprocessor = {
        "size": {"longest_edge": 16777216, "shortest_edge": 65536},
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
        "image_processor_type": "Qwen2VLImageProcessorFast",
    }
    return {"config.json": config, "preprocessor_config.json": preprocessor, "generation_config.json": generation}


# ---- tensors: (name, shape, kind). Kinds say how values are drawn (make_values).


def mlp_and_norms(prefix, t):
    h, inner = t["hidden_size"], t["intermediate_size"]
    yield prefix + "input_layernorm.weight", (h,), "zero_norm"
    yield prefix + "post_attention_layernorm.weight", (h,), "zero_norm"
    yield prefix + "mlp.gate_proj.weight", (inner, h), "linear"
    yield prefix + "mlp.up_proj.weight", (inner, h), "linear"
    yield prefix + "mlp.down_proj.weight", (h, inner), "linear"


def attention_layer(prefix, t):
    h, n, kv, hd = (t[k] for k in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))
    yield prefix + "self_attn.q_proj.weight", (2 * n * hd, h), "linear"  # per head: query rows, then gate rows
    yield prefix + "self_attn.k_proj.weight", (kv * hd, h), "linear"
    yield prefix + "self_attn.v_proj.weight", (kv * hd, h), "linear"
    yield prefix + "self_attn.o_proj.weight", (h, n * hd), "linear"
    yield prefix + "self_attn.q_norm.weight", (hd,), "zero_norm"
    yield prefix + "self_attn.k_norm.weight", (hd,), "zero_norm"
    yield from mlp_and_norms(prefix, t)


def delta_layer(prefix, t):
    h, value_heads, dv = t["hidden_size"], t["linear_num_value_heads"], t["linear_value_head_dim"]
    channels = 2 * t["linear_num_key_heads"] * t["linear_key_head_dim"] + value_heads * dv
    yield prefix + "linear_attn.in_proj_qkv.weight", (channels, h), "linear"
    yield prefix + "linear_attn.in_proj_z.weight", (value_heads * dv, h), "linear"
    yield prefix + "linear_attn.in_proj_b.weight", (value_heads, h), "linear"
    yield prefix + "linear_attn.in_proj_a.weight", (value_heads, h), "linear"
    yield prefix + "linear_attn.conv1d.weight", (channels, 1, t["linear_conv_kernel_dim"]), "conv"
    yield prefix + "linear_attn.A_log", (value_heads,), "a_log"
    yield prefix + "linear_attn.dt_bias", (value_heads,), "dt_bias"
    yield prefix + "linear_attn.norm.weight", (dv,), "one_norm"
    yield prefix + "linear_attn.out_proj.weight", (h, value_heads * dv), "linear"
    yield from mlp_and_norms(prefix, t)


def text_tensors(prefix, t):
    h, vocab = t["hidden_size"], t["vocab_size"]
    yield prefix + "embed_tokens.weight", (vocab, h), "linear"
    for i, kind in enumerate(t["layer_types"]):
        layer = attention_layer if kind == "full_attention" else delta_layer
        yield from layer(f"{prefix}layers.{i}.", t)
    yield prefix + "norm.weight", (h,), "zero_norm"
    if not t["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, h), "linear"


def mtp_tensors(t):
    h = t["hidden_size"]
    yield "mtp.fc.weight", (h, 2 * h), "linear"
    yield "mtp.pre_fc_norm_embedding.weight", (h,), "zero_norm"
    yield "mtp.pre_fc_norm_hidden.weight", (h,), "zero_norm"
    yield "mtp.norm.weight", (h,), "zero_norm"
    yield from attention_layer("mtp.layers.0.", t)


def affine(name, out, inside):
    yield name + ".weight", (out, inside), "linear"
    yield name + ".bias", (out,), "bias"


def layer_norm(name, width):
    yield name + ".weight", (width,), "one_norm"
    yield name + ".bias", (width,), "bias"


def vision_tensors(v):
    p, width, inner = "model.visual.", v["hidden_size"], v["intermediate_size"]
    merged = width * v["spatial_merge_size"] ** 2
    patch = v["patch_size"]
    yield p + "patch_embed.proj.weight", (width, v["in_channels"], v["temporal_patch_size"], patch, patch), "linear"
    yield p + "patch_embed.proj.bias", (width,), "bias"
    yield p + "pos_embed.weight", (v["num_position_embeddings"], width), "bias"
    for i in range(v["depth"]):
        b = f"{p}blocks.{i}."
        yield from layer_norm(b + "norm1", width)
        yield from layer_norm(b + "norm2", width)
        yield from affine(b + "attn.qkv", 3 * width, width)
        yield from affine(b + "attn.proj", width, width)
        yield from affine(b + "mlp.linear_fc1", inner, width)
        yield from affine(b + "mlp.linear_fc2", width, inner)
    yield from layer_norm(p + "merger.norm", width)
    yield from affine(p + "merger.linear_fc1", merged, merged)
    yield from affine(p + "merger.linear_fc2", v["out_hidden_size"], merged)


def all_tensors(config):
    text_only = "text_config" not in config
    text = config if text_only else config["text_config"]
    yield from text_tensors("model." if text_only else "model.language_model.", text)
    if not text_only:
        yield from vision_tensors(config["vision_config"])
    if text["mtp_num_hidden_layers"]:
        yield from mtp_tensors(text)


# ---- values


def make_values(rng, kind, n, fan_in):
    """n float32 values. Scales keep the residual stream near its entering size through any number of layers."""
    if kind == "a_log":
        return np.log(rng.uniform(1, 16, n)).astype(np.float32)  # as the published models were initialised
    if kind == "dt_bias":
        step = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), n))
        return np.log(np.expm1(step)).astype(np.float32)  # softplus(dt_bias) = step
    x = rng.standard_normal(n, dtype=np.float32)
    scale = {"linear": 0.7 / np.sqrt(fan_in), "conv": 0.5, "zero_norm": 0.05, "one_norm": 0.05, "bias": 0.02}[kind]
    x *= np.float32(scale)
    return x + np.float32(1) if kind == "one_norm" else x


def encode(x, dtype):
    if dtype == "F32":
        return x.astype("<f4").tobytes()
    if dtype == "F16":
        return x.astype("<f2").tobytes()
    u = x.view(np.uint32)
    return ((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2").tobytes()


def dtype_of(kind, name, dtype):
    """Published files keep the decay and the gated norm of DeltaNet in F32 among BF16."""
    small = kind == "a_log" or name.endswith("linear_attn.norm.weight")
    return "F32" if small else dtype


def write_tensor(f, seed, name, shape, kind, dtype):
    rng = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))
    n, fan_in = int(np.prod(shape)), int(np.prod(shape[1:]))
    for at in range(0, n, PIECE):
        f.write(encode(make_values(rng, kind, min(PIECE, n - at), fan_in), dtype))


# ---- files


def write_beside(path, write):
    temporary = path.with_name(path.name + f".tmp-{os.getpid()}")
    try:
        with open(temporary, "wb") as f:
            write(f)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    write_beside(path, lambda f: f.write((json.dumps(value, indent=4) + "\n").encode()))


def header_of(tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _, dtype in tensors:
        n = int(np.prod(shape)) * VALUE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, at


def write_shard(path, tensors, seed, done, total):
    def write(f):
        f.write(header_of(tensors)[0])
        at = done
        for name, shape, kind, dtype in tensors:
            write_tensor(f, seed, name, shape, kind, dtype)
            at += int(np.prod(shape)) * VALUE_BYTES[dtype]
            if sys.stderr.isatty():
                print(f"\r{path.name}  {100 * at / total:5.1f} %", end="", file=sys.stderr)

    write_beside(path, write)


def split(tensors, shard_bytes):
    shards, size = [[]], 0
    for t in tensors:
        n = int(np.prod(t[1])) * VALUE_BYTES[t[3]]
        if shards[-1] and size + n > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(t)
        size += n
    return shards


def write_weights(out, config, dtype, shard_mb, seed):
    tensors = [(name, shape, kind, dtype_of(kind, name, dtype)) for name, shape, kind in all_tensors(config)]
    shards = split(tensors, shard_mb * 1_000_000) if shard_mb else [tensors]
    total, done, weight_map = header_of(tensors)[1], 0, {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors" if shard_mb else "model.safetensors"
        write_shard(out / name, shard, seed, done, total)
        done += header_of(shard)[1]
        weight_map.update({t[0]: name for t in shard})
    if shard_mb:
        write_json(out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})
    print(f"{out}: {len(tensors)} tensors, {total / 1e9:.2f} GB, {len(shards)} file(s)", file=sys.stderr)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("size", choices=list(SHAPES))
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--dtype", choices=list(SAFETENSORS_TYPE), default="bf16")
    p.add_argument("--shard-mb", type=int, default=0, help="shards of at most this many megabytes, with an index")
    p.add_argument("--text-only", action="store_true", help="the flat Qwen3_5ForCausalLM layout, without the tower")
    p.add_argument("--no-mtp", action="store_true")
    p.add_argument("--config-only", action="store_true")
    p.add_argument("--vocab", type=int, help="rows of the embedding (default 248320; tiny 4096)")
    p.add_argument("--tokenizer", type=pathlib.Path, help="directory whose tokenizer files are copied")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def main():
    a = arguments()
    vocab = a.vocab or (4096 if a.size == "tiny" else 248320)
    files = configs(a.size, vocab, a.text_only, not a.no_mtp)
    a.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_json(a.out / name, content)
    for name in TOKENIZER_FILES if a.tokenizer else []:
        if (a.tokenizer / name).exists():
            shutil.copyfile(a.tokenizer / name, a.out / name)
    if not a.config_only:
        write_weights(a.out, files["config.json"], SAFETENSORS_TYPE[a.dtype], a.shard_mb, a.seed)


if __name__ == "__main__":
    main()
