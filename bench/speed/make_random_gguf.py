#!/usr/bin/env python3
"""Makes GGUF files with random weights at the published shapes, for measuring other engines without a download.

    make_random_gguf.py 0.8B 0.8b-Q6_K.gguf --type Q6_K             weights alone (tokenizer.ggml.model = no_vocab): enough for llama-bench
    make_random_gguf.py 0.8B 0.8b-Q6_K.gguf --type Q6_K --vocabulary   with a made-up vocabulary of bytes, which llama-mtmd-cli asks for
    make_random_gguf.py 0.8B 0.8b-mmproj.gguf --mmproj              the image tower, f16

Needs numpy and gguf (both on PyPI). Every matrix gets the type, as `llama-quantize` gives it with --pure; norms, convolutions and decays are f32. A tensor is
made and written at a time, so that a 9B fits a small machine.
"""
import argparse

import gguf
import numpy as np

# layers, hidden, MLP, query heads, key heads, value heads of DeltaNet, tied; tower: depth, width, heads, MLP (docs/model.md, section 9)
SHAPES = {
    "0.8B": (24, 1024, 3584, 8, 2, 16, True, 12, 768, 12, 3072),
    "2B": (24, 2048, 6144, 8, 2, 16, True, 24, 1024, 16, 4096),
    "4B": (32, 2560, 9216, 16, 4, 32, True, 24, 1024, 16, 4096),
    "9B": (32, 4096, 12288, 16, 4, 32, False, 27, 1152, 16, 4304),
}
VOCABULARY = 248320
FILE_TYPES = {"Q6_K": 18, "Q8_0": 7, "Q4_K": 15, "Q5_K": 17, "F16": 1, "BF16": 32}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
rng = np.random.default_rng(5)


# ---- numbers

def halves(values):
    return np.frombuffer(np.asarray(values, np.float16).tobytes(), np.uint8)


def blocks(kind, rows, cols):
    """Random blocks whose weights have about the size 1 / sqrt(cols)."""
    size, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    out = rng.integers(0, 256, (rows * cols // size, n_bytes), np.uint8)
    unit = cols ** -0.5
    if kind == "Q8_0":
        out[:, :2] = halves(unit / 74)
    elif kind == "Q6_K":
        out[:, 192:208] = rng.integers(64, 128, (len(out), 16))
        out[:, 208:] = halves(unit / 18.5 / 97)
    else:  # Q4_K, Q5_K: scale times code less a smallest value, whose mean it is
        step = unit / (200 if kind == "Q4_K" else 400)
        out[:, :2], out[:, 2:4] = halves(step), halves(step * (7.5 if kind == "Q4_K" else 15.5))
    return out.reshape(rows, -1)


def matrix(kind, rows, cols):
    if kind in ("F16", "BF16", "F32"):
        x = rng.standard_normal((rows, cols), np.float32) * np.float32(cols ** -0.5)
        if kind == "BF16":
            return (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(rows, -1)
        return x.astype(np.float16 if kind == "F16" else np.float32)
    return blocks(kind, rows, cols)


def around(middle, spread, *shape):
    return (middle + spread * rng.uniform(-1, 1, shape)).astype(np.float32)


# ---- tensors: name, type, shape as numpy has it, how to make it

def linear(name, kind, rows, cols):
    return name, kind, (rows, cols), lambda: matrix(kind, rows, cols)


def vector(name, make):
    return name, "F32", None, make


def layer_tensors(i, attention, kind, hidden, inner, heads, kv_heads, value_heads):
    p, width, channels = "blk.%d." % i, value_heads * 128, 2 * 16 * 128 + value_heads * 128
    yield vector(p + "attn_norm.weight", lambda: around(1, 0.2, hidden))
    yield vector(p + "post_attention_norm.weight", lambda: around(1, 0.2, hidden))
    if attention:
        yield linear(p + "attn_q.weight", kind, 2 * heads * 256, hidden)
        yield linear(p + "attn_k.weight", kind, kv_heads * 256, hidden)
        yield linear(p + "attn_v.weight", kind, kv_heads * 256, hidden)
        yield linear(p + "attn_output.weight", kind, hidden, heads * 256)
        yield vector(p + "attn_q_norm.weight", lambda: around(1, 0.2, 256))
        yield vector(p + "attn_k_norm.weight", lambda: around(1, 0.2, 256))
    else:
        yield linear(p + "attn_qkv.weight", kind, channels, hidden)
        yield linear(p + "attn_gate.weight", kind, width, hidden)
        yield linear(p + "ssm_alpha.weight", kind, value_heads, hidden)
        yield linear(p + "ssm_beta.weight", kind, value_heads, hidden)
        yield linear(p + "ssm_out.weight", kind, hidden, width)
        yield vector(p + "ssm_conv1d.weight", lambda: around(0, 0.5, channels, 4))
        yield vector(p + "ssm_a", lambda: -np.exp(around(0, 2, value_heads)))
        yield vector(p + "ssm_dt.bias", lambda: around(-2, 2, value_heads))
        yield vector(p + "ssm_norm.weight", lambda: around(1, 0.2, 128))
    yield linear(p + "ffn_gate.weight", kind, inner, hidden)
    yield linear(p + "ffn_up.weight", kind, inner, hidden)
    yield linear(p + "ffn_down.weight", kind, hidden, inner)


def text_tensors(shape, kind):
    layers, hidden, inner, heads, kv_heads, value_heads, tied = SHAPES[shape][:7]
    yield linear("token_embd.weight", kind, VOCABULARY, hidden)
    yield vector("output_norm.weight", lambda: around(1, 0.2, hidden))
    if not tied:
        yield linear("output.weight", kind, VOCABULARY, hidden)
    for i in range(layers):
        yield from layer_tensors(i, i % 4 == 3, kind, hidden, inner, heads, kv_heads, value_heads)


def tower_tensors(shape):
    depth, width, _, inner = SHAPES[shape][7:]
    merged, hidden = 4 * width, SHAPES[shape][1]

    def both(name, rows, cols):
        yield linear(name + ".weight", "F16", rows, cols)
        yield vector(name + ".bias", lambda: around(0, 0.02, rows))

    def norm(name):
        yield vector(name + ".weight", lambda: around(1, 0.2, width))
        yield vector(name + ".bias", lambda: around(0, 0.02, width))

    for i in range(depth):
        p = "v.blk.%d." % i
        yield from both(p + "attn_qkv", 3 * width, width)
        yield from both(p + "attn_out", width, width)
        yield from both(p + "ffn_up", inner, width)
        yield from both(p + "ffn_down", width, inner)
        yield from norm(p + "ln1")
        yield from norm(p + "ln2")
    yield from norm("v.post_ln")
    yield from both("mm.0", merged, merged)
    yield from both("mm.2", hidden, merged)
    for name in ("v.patch_embd.weight", "v.patch_embd.weight.1"):
        yield name, "F16", (width, 3, 16, 16), lambda: around(0, 0.04, width, 3, 16, 16).astype(np.float16)
    yield vector("v.patch_embd.bias", lambda: around(0, 0.02, width))
    yield vector("v.position_embd.weight", lambda: around(0, 0.02, 2304, width))


# ---- settings

def write_text_settings(w, shape, kind):
    layers, hidden, inner, heads, kv_heads, value_heads, _ = SHAPES[shape][:7]
    w.add_block_count(layers)
    w.add_context_length(262144)
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(inner)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(256)
    w.add_value_length(256)
    w.add_rope_dimension_count(64)
    w.add_array("qwen35.rope.dimension_sections", [11, 11, 10, 0])
    w.add_rope_freq_base(1e7)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_uint32("qwen35.full_attention_interval", 4)
    w.add_uint32("qwen35.ssm.conv_kernel", 4)
    w.add_uint32("qwen35.ssm.state_size", 128)
    w.add_uint32("qwen35.ssm.group_count", 16)
    w.add_uint32("qwen35.ssm.time_step_rank", value_heads)
    w.add_uint32("qwen35.ssm.inner_size", value_heads * 128)
    w.add_vocab_size(VOCABULARY)
    w.add_file_type(FILE_TYPES[kind])


def byte_letters():
    """The characters that stand for bytes in GPT-2's vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def write_vocabulary(w):
    letters = byte_letters()
    words = [letters[b] for b in range(256)]
    words += ["<|filler_%d|>" % i for i in range(VOCABULARY - len(words) - len(SPECIAL))] + SPECIAL
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen35")
    w.add_token_list(words)
    w.add_token_types([gguf.TokenType.NORMAL] * (VOCABULARY - len(SPECIAL)) + [gguf.TokenType.CONTROL] * len(SPECIAL))
    w.add_token_merges([letters[ord("a")] + " " + letters[ord("b")]])
    w.add_eos_token_id(VOCABULARY - len(SPECIAL) + 2)
    w.add_add_bos_token(False)


def write_tower_settings(w, shape):
    depth, width, heads, inner = SHAPES[shape][7:]
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "qwen3vl_merger")
    w.add_bool("clip.use_gelu", True)
    for key, value in (("projection_dim", SHAPES[shape][1]), ("image_size", 768), ("patch_size", 16), ("embedding_length", width),
                       ("feed_forward_length", inner), ("block_count", depth), ("attention.head_count", heads), ("spatial_merge_size", 2)):
        w.add_uint32("clip.vision." + key, value)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    w.add_array("clip.vision.image_mean", [0.5] * 3)
    w.add_array("clip.vision.image_std", [0.5] * 3)
    w.add_array("clip.vision.is_deepstack_layers", [False] * depth)
    w.add_file_type(FILE_TYPES["F16"])


# ---- the file

def announce(w, name, kind, shape, make):
    """The header needs types and sizes before anything is made; small tensors are made twice."""
    if kind in ("F32", "F16"):
        shape = shape or make().shape
        dtype = np.dtype(np.float32 if kind == "F32" else np.float16)
        w.add_tensor_info(name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)
        return
    size, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    row = shape[1] // size * n_bytes
    w.add_tensor_info(name, (shape[0], row), np.dtype(np.uint8), shape[0] * row, gguf.GGMLQuantizationType[kind])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out")
    parser.add_argument("--type", choices=FILE_TYPES, default="Q6_K")
    parser.add_argument("--vocabulary", action="store_true", help="a made-up vocabulary rather than none")
    parser.add_argument("--mmproj", action="store_true", help="the image tower")
    options = parser.parse_args()
    w = gguf.GGUFWriter(options.out, "clip" if options.mmproj else "qwen35")
    w.add_name("random " + options.shape)
    w.add_quantization_version(2)
    if options.mmproj:
        w.add_type("mmproj")
        write_tower_settings(w, options.shape)
    else:
        write_text_settings(w, options.shape, options.type)
        if options.vocabulary:
            write_vocabulary(w)
        else:
            w.add_tokenizer_model("no_vocab")
    tensors = list(tower_tensors(options.shape) if options.mmproj else text_tensors(options.shape, options.type))
    for tensor in tensors:
        announce(w, *tensor)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for *_, make in tensors:
        w.write_tensor_data(make())
    w.close()


if __name__ == "__main__":
    main()
