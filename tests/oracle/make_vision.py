#!/usr/bin/env python3
"""Make a tiny random Qwen3.5 checkpoint with an image tower, and what transformers answers with it, in float32 on the CPU.

usage: python make_vision.py tests/golden/data/vision

    images/                the pictures: kinds of files, channels and sizes
    checkpoint/            config.json, model.safetensors (bf16), tokenizer.json, preprocessor_config.json, ...
    tower/NAME.safetensors the rows that the tower makes of images/NAME.*: merged [tokens, O]; for grey_32x32 every stage before
    prompts/NAME.safetensors
        ids [n]            the prompt, one pad for each picture (for a video: one for each pair of frames)
        grids [k, 3]       of the pictures, in order
        position_ids [3, L], next_pos [1]
        logits [L, V], greedy_ids [24], greedy_margin [24]   (not for video, which only has positions here)
    odd/                   a tower alone whose sizes are no multiple of anything: head size 72, MLP 269, patches of 8 pixels, unequal mean and std,
                           stored as f16; odd.safetensors has its picture and every stage
"""
import argparse
import json
import math
import os

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

torch.set_num_threads(2)
torch.set_grad_enabled(False)

SEED = 20260901
# The real special tokens in their real order and distances: tiny id = real id - 248044 + 256.
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
            "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
            "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
            "<tool_response>", "</tool_response>", "<think>", "</think>"]
SID = {s: 256 + i for i, s in enumerate(SPECIALS)}

TEXT = dict(hidden_size=96, intermediate_size=160, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, head_dim=128,
            linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=32, linear_conv_kernel_dim=4,
            tie_word_embeddings=True, vocab_size=320)
TOWER = dict(depth=3, hidden_size=64, num_heads=4, intermediate_size=144, num_position_embeddings=64, patch_size=16, out_hidden_size=96)
ODD = dict(depth=1, hidden_size=144, num_heads=2, intermediate_size=269, num_position_embeddings=9, patch_size=8, out_hidden_size=24)
PROCESSOR = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[.5] * 3, image_std=[.5] * 3,
                 size=dict(shortest_edge=65536, longest_edge=16777216))
ODD_PROCESSOR = dict(patch_size=8, temporal_patch_size=2, merge_size=2, image_mean=[0.48145466, 0.4578275, 0.40821073],
                     image_std=[0.26862954, 0.26130258, 0.27577711], size=dict(shortest_edge=1024, longest_edge=65536))


# ------------------------------------------------------------------ pictures

def picture(w, h, seed, alpha=False):
    """Gradients, shapes, thin lines and noise: something a resize or a channel swap cannot leave unchanged."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    a = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 127.5 + 127.5 * np.sin((x * 3 + y * 5) / 17.0)], -1)
    im = Image.fromarray(np.clip(a + rng.normal(0, 9, a.shape), 0, 255).astype(np.uint8), "RGB")
    d = ImageDraw.Draw(im)
    for _ in range(9):
        x0, y0 = rng.integers(0, w), rng.integers(0, h)
        x1, y1 = x0 + rng.integers(2, max(3, w // 2)), y0 + rng.integers(2, max(3, h // 2))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        (d.ellipse, d.rectangle, d.line)[int(rng.integers(0, 3))]([int(x0), int(y0), int(x1), int(y1)], fill=color)
    if alpha:
        opacity = np.clip(255 - 300 * np.hypot(x / w - .5, y / h - .5), 0, 255).astype(np.uint8)
        im = im.convert("RGBA")
        im.putalpha(Image.fromarray(opacity))
    return im


def write_pictures(d):
    os.makedirs(d, exist_ok=True)
    turned = Image.Exif()
    turned[0x0112] = 6                                                   # "rotate 90 degrees clockwise to view"
    picture(333, 517, SEED + 1).save(f"{d}/rgb_333x517.png")
    picture(640, 480, SEED + 2, alpha=True).save(f"{d}/rgba_640x480.png")
    picture(200, 150, SEED + 3).quantize(64).save(f"{d}/palette_200x150.png")
    picture(32, 32, SEED + 4).convert("L").save(f"{d}/grey_32x32.png")
    picture(427, 320, SEED + 5).save(f"{d}/exif6_427x320.jpg", quality=88, exif=turned)
    picture(28, 900, SEED + 6).save(f"{d}/tall_28x900.webp", quality=80)
    return ["rgb_333x517.png", "rgba_640x480.png", "palette_200x150.png", "grey_32x32.png", "exif6_427x320.jpg", "tall_28x900.webp"]


# ------------------------------------------------------------------ checkpoint

def make_tokenizer(path):
    """Byte-level BPE: one token per UTF-8 byte (id = byte), then the special tokens. Some loaders insist on a merge list,
    so id 255 is the merge of bytes 253 and 254; none of the three occurs in UTF-8 text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letter, k = {}, 0
    for b in range(256):
        letter[b] = chr(b) if b in printable else chr(256 + k)
        k += b not in printable
    vocab = {letter[b]: b for b in range(255)}
    vocab[letter[253] + letter[254]] = 255
    t = Tokenizer(models.BPE(vocab=vocab, merges=[(letter[253], letter[254])], byte_fallback=False))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    tk = PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                 extra_special_tokens=dict(image_token="<|image_pad|>", video_token="<|video_pad|>",
                                                           vision_start_token="<|vision_start|>", vision_end_token="<|vision_end|>"))
    assert tk.convert_tokens_to_ids("<|video_pad|>") == SID["<|video_pad|>"]
    tk.save_pretrained(path)
    return tk


def make_config(tower):
    from transformers import Qwen3_5Config
    text = dict(TEXT, hidden_size=tower["out_hidden_size"], full_attention_interval=4, max_position_embeddings=4096, rms_norm_eps=1e-6,
                attn_output_gate=True, hidden_act="silu", eos_token_id=SID["<|im_end|>"], partial_rotary_factor=0.25,
                rope_parameters=dict(rope_theta=10000000.0, mrope_section=[6, 5, 5], partial_rotary_factor=0.25, rope_type="default",
                                     mrope_interleaved=True))
    vision = dict(tower, spatial_merge_size=2, temporal_patch_size=2, in_channels=3, hidden_act="gelu_pytorch_tanh")
    c = Qwen3_5Config(text_config=text, vision_config=vision, image_token_id=SID["<|image_pad|>"], video_token_id=SID["<|video_pad|>"],
                      vision_start_token_id=SID["<|vision_start|>"], vision_end_token_id=SID["<|vision_end|>"], tie_word_embeddings=True)
    c._attn_implementation = "eager"
    c.architectures = ["Qwen3_5ForConditionalGeneration"]
    return c


def random_like(name, shape, rng):
    """Large enough that positions, order and rounding all show in the output."""
    n = rng.standard_normal(shape)
    if name.endswith("A_log"):
        return np.log(rng.uniform(1, 8, shape))
    if name.endswith("dt_bias"):
        return n * .3 - 2
    if "pos_embed" in name:
        return n * .7
    if "linear_attn.norm" in name or ("visual" in name and ".norm" in name and name.endswith("weight")):
        return 1 + .2 * n
    if "norm" in name and name.endswith("weight") or name.endswith("bias"):
        return .2 * n                                                   # the text's norm weights are stored minus one
    if "embed_tokens" in name or name.startswith("lm_head"):
        return n * .6
    return n * (1.3 / math.sqrt(np.prod(shape[1:])))


def build(tower, dtype, seed):
    """A model in float32 whose weights are numbers of `dtype`."""
    from transformers import Qwen3_5ForConditionalGeneration
    torch.manual_seed(0)
    model = Qwen3_5ForConditionalGeneration._from_config(make_config(tower), dtype=torch.float32).eval()
    rng = np.random.default_rng(seed)
    for name, p in sorted(model.named_parameters()):
        p.copy_(torch.tensor(random_like(name, tuple(p.shape), rng), dtype=torch.float32).to(dtype).float())
    model.tie_weights()
    return model


def save_checkpoint(model, path, dtype, processor, tower_only=False):
    os.makedirs(path, exist_ok=True)
    weights = {k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items()
               if k != "lm_head.weight" and ("visual" in k or not tower_only)}
    save_file(weights, f"{path}/model.safetensors", metadata={"format": "pt"})
    c = model.config
    c.dtype = c.text_config.dtype = c.vision_config.dtype = str(dtype).removeprefix("torch.")
    c.save_pretrained(path)
    with open(f"{path}/preprocessor_config.json", "w") as f:
        json.dump(dict(processor, processor_class="Qwen3VLProcessor", image_processor_type="Qwen2VLImageProcessorFast"), f, indent=1)


# ------------------------------------------------------------------ the tower

def load_rgb(path):
    """EXIF orientation, then RGB; transparency is laid over white."""
    from transformers.image_transforms import convert_to_rgb
    return Image.fromarray(convert_to_rgb(ImageOps.exif_transpose(Image.open(path)), return_numpy=True))


def patches_of(processor, picture):
    from transformers import Qwen2VLImageProcessor
    b = Qwen2VLImageProcessor(**processor)(images=[picture], return_tensors="pt")
    return b["pixel_values"], b["image_grid_thw"]


def stages(model, patches, grid):
    v, keep, hooks = model.model.visual, {}, []

    def after(module, fn):
        hooks.append(module.register_forward_hook(lambda m, i, o: keep.update(fn(i, o))))
    after(v.patch_embed, lambda i, o: dict(patch_embed=o))
    after(v.rotary_pos_emb, lambda i, o: dict(rope_cos=o[0], rope_sin=o[1], embed_plus_pos=i[0]))
    for k, b in enumerate(v.blocks):
        after(b, lambda i, o, k=k: {f"block{k}": o})
    after(v.merger.norm, lambda i, o: dict(merger_norm=o))
    out = v(patches, grid_thw=grid)
    for h in hooks:
        h.remove()
    return {k: x.numpy() for k, x in dict(keep, merged=out.pooler_output).items()}


def save(path, arrays):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_numpy({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)


# ------------------------------------------------------------------ prompts

def chat(user):
    return f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def image_block(grid):
    return "<|vision_start|>" + "<|image_pad|>" * (int(grid.prod()) // 4) + "<|vision_end|>"


def video_block(grid, times, outer):
    """One time stamp and one block per pair of frames. outer: with the template's own start and end around it, as transformers >= 5.10 writes it."""
    n = int(grid[1] * grid[2]) // 4
    s = "".join(f"<{t:.1f} seconds><|vision_start|>" + "<|video_pad|>" * n + "<|vision_end|>" for t in times)
    return f"<|vision_start|>{s}<|vision_end|>" if outer else s


def one_pad_each(ids):
    pads = (SID["<|image_pad|>"], SID["<|video_pad|>"])
    return [t for i, t in enumerate(ids) if t not in pads or ids[i - 1] != t]


def positions(model, ids, images=None, video=None):
    kind = (ids == SID["<|image_pad|>"]).int() + 2 * (ids == SID["<|video_pad|>"]).int()
    if images is None and video is None:
        return torch.arange(ids.shape[1]).view(1, 1, -1).expand(3, 1, -1), 0
    pos, delta = model.model.get_rope_index(ids, kind, images, video)
    return pos, int(delta[0, 0])


def position_arrays(ids, pos, delta, grids):
    return dict(ids=np.array(one_pad_each(ids), np.int32), grids=np.array(grids, np.int32).reshape(-1, 3),
                position_ids=pos[:, 0].numpy().astype(np.int32), next_pos=np.array([len(ids) + delta], np.int32))


def run_prompt(model, ids, patches=None, grids=None, n_new=24):
    """Greedy, recomputing everything at each step: no cache can hide a mistake in positions."""
    seq = torch.tensor([ids])
    pos, delta = positions(model, seq, grids)
    kw = {} if patches is None else dict(pixel_values=patches, image_grid_thw=grids)
    margins, first = [], None
    for _ in range(n_new + 1):
        tail = torch.arange(len(ids), seq.shape[1]) + delta
        p = torch.cat([pos, tail.view(1, 1, -1).expand(3, 1, -1)], -1)
        logits = model(input_ids=seq, mm_token_type_ids=(seq == SID["<|image_pad|>"]).int(), use_cache=False, position_ids=p, **kw).logits[0]
        first = logits if first is None else first
        top = torch.topk(logits[-1], 2).values
        margins.append(float(top[0] - top[1]))
        seq = torch.cat([seq, logits[-1].argmax().view(1, 1)], 1)
    return dict(position_arrays(ids, pos, delta, [] if grids is None else grids.tolist()), logits=first.numpy(),
                greedy_ids=seq[0, len(ids):len(ids) + n_new].numpy().astype(np.int32), greedy_margin=np.array(margins[:n_new], np.float32))


def make_prompts(out, model, tk, pictures):
    encode = lambda text: tk(text, add_special_tokens=False)["input_ids"]

    def emit(name, text, names=()):
        patches = torch.cat([pictures[n][0] for n in names]) if names else None
        grids = torch.cat([pictures[n][1] for n in names]) if names else None
        r = run_prompt(model, encode(text), patches, grids)
        save(f"{out}/prompts/{name}.safetensors", r)
        print(f"{name}: {r['logits'].shape[0]} tokens, logits {r['logits'].min():.2f} to {r['logits'].max():.2f}, smallest margin {r['greedy_margin'].min():.3f}")
    block = lambda name: image_block(pictures[name][1][0])
    emit("text_only", chat("Say something."))
    emit("one_image", chat(block("palette_200x150") + "Describe the picture."), ["palette_200x150"])
    emit("two_images", chat("First: " + block("grey_32x32") + " second: " + block("tall_28x900") + " Compare them."),
         ["grey_32x32", "tall_28x900"])
    grid = torch.tensor([[3, 4, 6]])
    for name, outer in (("video_plain", False), ("video_outer", True)):
        ids = encode(chat(video_block(grid[0], [0.2, 1.2, 2.5], outer) + "What moves?"))
        pos, delta = positions(model, torch.tensor([ids]), video=grid)
        save(f"{out}/prompts/{name}.safetensors", position_arrays(ids, pos, delta, [[1, 4, 6]] * 3))


def make_odd(out):
    model = build(ODD, torch.float16, SEED + 50)
    save_checkpoint(model, f"{out}/odd", torch.float16, ODD_PROCESSOR, tower_only=True)
    rng = np.random.default_rng(SEED + 51)
    pixels = rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)          # a size that stays as it is
    patches, grid = patches_of(ODD_PROCESSOR, Image.fromarray(pixels))
    assert grid.tolist() == [[1, 6, 10]]
    save(f"{out}/odd/ref.safetensors", dict(stages(model, patches, grid), pixels=pixels.astype(np.int32)))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    out = ap.parse_args().out
    model = build(TOWER, torch.bfloat16, SEED)
    save_checkpoint(model, f"{out}/checkpoint", torch.bfloat16, PROCESSOR)
    tk = make_tokenizer(f"{out}/checkpoint")
    pictures = {}
    for file in write_pictures(f"{out}/images"):
        name = file.rsplit(".", 1)[0]
        pictures[name] = patches_of(PROCESSOR, load_rgb(f"{out}/images/{file}"))
        s = stages(model, *pictures[name])
        save(f"{out}/tower/{name}.safetensors", s if name == "grey_32x32" else dict(merged=s["merged"]))
    make_prompts(out, model, tk, pictures)
    make_odd(out)


if __name__ == "__main__":
    main()
