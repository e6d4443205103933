#!/usr/bin/env python3
"""Make tiny random Qwen3.5 text checkpoints and what transformers answers with them.

usage: python make_text.py tests/golden/data/text [--only tiny-c,ops]

Every checkpoint keeps the real structure (gated DeltaNet layers, one gated full-attention layer in four, partial interleaved M-RoPE, optional
MTP block) at toy sizes. All weights are rounded to bf16 first, so the same values can be stored as bf16 or fp32 and one reference in fp32 serves
both. The MTP head, which transformers drops, is computed by a small function below.

    NAME/hf/              config.json, model*.safetensors, tokenizer.json ...
    NAME/ref.safetensors  inputs and expected outputs:
        input_ids [T], logits [T, V]                       prompt; logits at every position
        hidden [L+1, 72, H], final_hidden [72, H]          embedding and residual stream after each layer, first 72 tokens; after the last norm
        state.i.conv [C, 3], state.i.recurrent [Hv, dk, dv]  DeltaNet state after the prompt (conv inputs, oldest first)
        state.i.key, state.i.value [kv, T, hd]             cache after the prompt (keys normed and rotated)
        greedy_ids [32], greedy_logits [32, V]             row k: logits after feeding greedy id k
        mtp.next_ids, mtp.logits, mtp.hidden               MTP block over the prompt, next_ids = prompt shifted by one + first greedy id
        mm.*                                               image and video spans: ids, kind (0 text, 1 image, 2 video), grids, position_ids [3, T],
                                                           rope_delta, features written over the placeholders, logits, 8 greedy steps
    ops.safetensors       single operators: delta.*, conv.*, gnorm.*, norm.*, l2.*, decay.*, rope.*, attn.*
"""
import argparse
import json
import math
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import DynamicCache
from transformers.models.qwen3_5 import modeling_qwen3_5 as Q
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5Config, Qwen3_5TextConfig

torch.set_num_threads(2)
torch.set_grad_enabled(False)

# Special tokens sit at the end of the toy vocabulary, in this order.
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
            "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<think>", "</think>"]

# Text config + packaging of each checkpoint.  `layout` is "vl" (nested config, names
# model.language_model.*) or "text" (flat config, names model.*).
CHECKPOINTS = [
    dict(name="tiny-a", layout="vl", dtype="bf16", shards=2, tie=True, mtp=True, prompt=150, seeds=24,
         hidden=128, inter=256, layers=8, heads=4, kv=2, head_dim=64, lk=2, lv=4, ld=32, vocab=640,
         mrope=[3, 3, 2]),
    dict(name="tiny-b", layout="vl", dtype="bf16", shards=1, tie=False, mtp=False, prompt=150, seeds=24,
         hidden=256, inter=256, layers=4, heads=4, kv=1, head_dim=64, lk=4, lv=8, ld=32, vocab=512,
         mrope=[3, 3, 2]),
    dict(name="tiny-c", layout="text", dtype="fp32", shards=1, tie=False, mtp=False, prompt=131, seeds=24,
         hidden=64, inter=192, layers=4, heads=3, kv=1, head_dim=32, lk=2, lv=6, ld=32, vocab=512,
         mrope=[2, 1, 1]),
]


# --------------------------------------------------------------------------- tokenizer

def write_tokenizer(path, vocab_size):
    """A toy byte-level BPE with the Qwen3.5 splitting rule, so converters run."""
    from tokenizers import Tokenizer, AddedToken, decoders, models, normalizers, pre_tokenizers, Regex
    from transformers.models.qwen3_5.tokenization_qwen3_5 import PRETOKENIZE_REGEX

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    merges = []
    for a, b in [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("o", "n"), ("Ġ", "a"), ("r", "e")]:
        merges.append((a, b))
        vocab[a + b] = len(vocab)
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    # Unused filler tokens keep the specials at the very end of the vocabulary.
    base = len(vocab)
    filler = [f"<|unused{i}|>" for i in range(vocab_size - base - len(SPECIALS))]
    tok.add_tokens([AddedToken(t, normalized=False) for t in filler])
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIALS])
    assert tok.get_vocab_size() == vocab_size
    tok.save(os.path.join(path, "tokenizer.json"))
    with open(os.path.join(path, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
                   "pad_token": "<|endoftext|>", "clean_up_tokenization_spaces": False}, f, indent=1)


# --------------------------------------------------------------------------- configs

def special(c, name):
    return c["vocab"] - len(SPECIALS) + SPECIALS.index(name)


def text_config(c):
    return dict(
        model_type="qwen3_5_text", vocab_size=c["vocab"], hidden_size=c["hidden"], intermediate_size=c["inter"],
        num_hidden_layers=c["layers"], num_attention_heads=c["heads"], num_key_value_heads=c["kv"],
        head_dim=c["head_dim"], linear_num_key_heads=c["lk"], linear_num_value_heads=c["lv"],
        linear_key_head_dim=c["ld"], linear_value_head_dim=c["ld"], linear_conv_kernel_dim=4,
        max_position_embeddings=262144, rms_norm_eps=1e-6, tie_word_embeddings=c["tie"], hidden_act="silu",
        attention_bias=False, attention_dropout=0.0, attn_output_gate=True, full_attention_interval=4,
        layer_types=["full_attention" if (i + 1) % 4 == 0 else "linear_attention" for i in range(c["layers"])],
        mamba_ssm_dtype="float32", mtp_num_hidden_layers=1 if c["mtp"] else 0, mtp_use_dedicated_embeddings=False,
        dtype="bfloat16" if c["dtype"] == "bf16" else "float32", eos_token_id=special(c, "<|endoftext|>"),
        rope_parameters=dict(rope_type="default", rope_theta=10000000, partial_rotary_factor=0.25,
                             mrope_section=c["mrope"], mrope_interleaved=True))


def full_config(c):
    t = text_config(c)
    if c["layout"] == "text":
        return dict(t, architectures=["Qwen3_5ForCausalLM"])
    return dict(
        architectures=["Qwen3_5ForConditionalGeneration"], model_type="qwen3_5", text_config=t,
        tie_word_embeddings=c["tie"], image_token_id=special(c, "<|image_pad|>"),
        video_token_id=special(c, "<|video_pad|>"), vision_start_token_id=special(c, "<|vision_start|>"),
        vision_end_token_id=special(c, "<|vision_end|>"),
        vision_config=dict(model_type="qwen3_5", depth=1, hidden_size=32, intermediate_size=64, num_heads=2,
                           in_channels=3, patch_size=16, temporal_patch_size=2, spatial_merge_size=2,
                           out_hidden_size=c["hidden"], num_position_embeddings=64,
                           hidden_act="gelu_pytorch_tanh", deepstack_visual_indexes=[]))


# --------------------------------------------------------------------------- weights

def bf16_round(t):
    return t.to(torch.bfloat16).to(torch.float32)


def random_like(name, p, g, tie):
    """Non-degenerate random value for one tensor: decays, gates and norms all matter."""
    n = lambda std: torch.randn(p.shape, generator=g) * std
    if name.endswith("A_log"):
        return torch.log(torch.rand(p.shape, generator=g) * 2.0 + 0.02)
    if name.endswith("dt_bias"):
        return n(1.0) - 1.0
    if name.endswith("linear_attn.norm.weight"):
        return 1.0 + n(0.2)                       # this norm is NOT zero-centred
    if "visual" in name:
        return n(0.1) + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    if tie and name.endswith(("language_model.norm.weight", "model.norm.weight", "mtp.norm.weight")):
        # Random signs: with a tied head and a plain final norm every token would predict itself.
        sign = torch.randint(0, 2, p.shape, generator=g) * 2.0 - 1.0
        return sign * (0.3 + n(0.05)) - 1.0
    if "norm" in name:
        return n(0.25)                            # zero-centred: scale is 1 + w
    if name.endswith("conv1d.weight"):
        return n(0.5)
    if "embed_tokens" in name:
        return n(1.0)
    if name.endswith("lm_head.weight"):
        return n(0.25)
    # Sublayer outputs are kept small beside the residual stream, as in a trained
    # model; otherwise rounding noise grows twentyfold through a random stack.
    if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight")):
        gain = 0.4
    elif any(s in name for s in ("in_proj_b", "in_proj_a", "q_proj", "k_proj")):
        gain = 1.6
    else:
        gain = 1.0
    return n(gain / math.sqrt(p.shape[-1]))


def build(c, seed):
    cfg = full_config(c)
    g = torch.Generator().manual_seed(seed)
    if c["layout"] == "vl":
        model = Q.Qwen3_5ForConditionalGeneration(Qwen3_5Config(**{k: v for k, v in cfg.items() if k != "architectures"}))
        text = model.model.language_model
    else:
        model = Q.Qwen3_5ForCausalLM(Qwen3_5TextConfig(**{k: v for k, v in cfg.items() if k != "architectures"}))
        text = model.model
    model = model.float().eval()
    for name, p in sorted(model.named_parameters()):
        p.data.copy_(bf16_round(random_like(name, p, g, c["tie"])))
    model.tie_weights()
    mtp = {}
    if c["mtp"]:
        h = c["hidden"]
        like = {n: p for n, p in text.layers[3].named_parameters()}      # a full-attention block
        mtp = {"mtp.layers.0." + n: p for n, p in like.items()}
        mtp.update({"mtp.fc.weight": torch.empty(h, 2 * h), "mtp.norm.weight": torch.empty(h),
                    "mtp.pre_fc_norm_embedding.weight": torch.empty(h),
                    "mtp.pre_fc_norm_hidden.weight": torch.empty(h)})
        mtp = {n: bf16_round(random_like(n, p, g, c["tie"])) for n, p in sorted(mtp.items())}
    return cfg, model, text, mtp


def save_checkpoint(path, c, cfg, model, mtp):
    os.makedirs(path, exist_ok=True)
    sd = {k: v.detach().clone() for k, v in model.state_dict().items()}
    if c["tie"]:
        sd.pop("lm_head.weight", None)
    sd.update(mtp)
    if c["dtype"] == "bf16":
        # Real checkpoints mix dtypes; keep two small tensors in fp32 to exercise that.
        keep = ("A_log", "linear_attn.norm.weight")
        sd = {k: (v if k.endswith(keep) else v.to(torch.bfloat16)) for k, v in sd.items()}
    names = sorted(sd)
    if c["shards"] == 1:
        save_file({k: sd[k].contiguous() for k in names}, os.path.join(path, "model.safetensors"), {"format": "pt"})
    else:
        n, index = c["shards"], {}
        for s in range(n):
            fn = f"model.safetensors-{s + 1:05d}-of-{n:05d}.safetensors"
            part = names[len(names) * s // n: len(names) * (s + 1) // n]
            save_file({k: sd[k].contiguous() for k in part}, os.path.join(path, fn), {"format": "pt"})
            index.update({k: fn for k in part})
        total = sum(v.numel() * v.element_size() for v in sd.values())
        with open(os.path.join(path, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {"total_size": total}, "weight_map": index}, f, indent=1)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(cfg, f, indent=1)
    write_tokenizer(path, c["vocab"])


# --------------------------------------------------------------------------- references

class Runner:
    """fp32 reference of the text stack, with every intermediate reachable."""

    def __init__(self, cfg, model, text, mtp):
        self.text, self.mtp, self.head = text, mtp, model.lm_head
        self.config = text.config
        self.config._attn_implementation = "eager"

    def run(self, ids=None, embeds=None, pos3=None, cache=None):
        """Returns logits [T,V], per-layer outputs (embedding first), final-norm output, cache."""
        outs = []
        hooks = [l.register_forward_hook(lambda m, i, o: outs.append((o[0] if isinstance(o, tuple) else o)[0]))
                 for l in self.text.layers]
        if embeds is None:
            embeds = self.text.embed_tokens(ids[None])
        cache = cache if cache is not None else DynamicCache(config=self.config)
        kw = {} if pos3 is None else {"position_ids": pos3[:, None, :]}
        h = self.text(inputs_embeds=embeds, past_key_values=cache, use_cache=True, **kw).last_hidden_state
        for k in hooks:
            k.remove()
        return self.head(h)[0], [embeds[0]] + outs, h[0], cache

    def mtp_forward(self, next_ids, hidden, pos):
        """MTP block: row t sees the trunk's final-norm output at t and the token at t+1.

        x = fc([rms(emb(next)) ; rms(hidden)]); one gated full-attention decoder
        layer over all rows (its own KV cache); final norm; shared head.
        """
        cfg = self.config
        fa = cfg.layer_types.index("full_attention")
        layer = Q.Qwen3_5DecoderLayer(cfg, fa).float().eval()
        layer.load_state_dict({k[len("mtp.layers.0."):]: v for k, v in self.mtp.items() if k.startswith("mtp.layers.0.")})

        def norm(x, name):
            x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + cfg.rms_norm_eps)
            return x * (1.0 + self.mtp[name])
        e = self.text.embed_tokens(next_ids[None])
        x = torch.cat([norm(e, "mtp.pre_fc_norm_embedding.weight"),
                       norm(hidden[None], "mtp.pre_fc_norm_hidden.weight")], -1) @ self.mtp["mtp.fc.weight"].T
        pe = self.text.rotary_emb(x, pos.view(1, 1, -1).expand(3, 1, -1))
        T = x.shape[1]
        mask = torch.full((T, T), float("-inf")).triu(1)[None, None]
        x = layer(x, position_embeddings=pe, attention_mask=mask)
        x = norm(x[0] if isinstance(x, tuple) else x, "mtp.norm.weight")
        return self.head(x)[0], x[0]


def greedy(r, ids, steps):
    """Prefill, then one token at a time with the cache (recurrent path)."""
    logits, _, _, cache = r.run(ids)
    out, rows, nxt = [], [], int(logits[-1].argmax())
    for _ in range(steps):
        out.append(nxt)
        lg, _, _, cache = r.run(torch.tensor([nxt]), cache=cache)
        rows.append(lg[-1])
        nxt = int(lg[-1].argmax())
    return out, torch.stack(rows)


def states(r, cache):
    d = {}
    for i, kind in enumerate(r.config.layer_types):
        if kind == "linear_attention":
            d[f"state.{i}.conv"] = cache.get_conv_state(i, state_idx=0)[0][:, -3:].clone()       # [channels, 3]
            d[f"state.{i}.recurrent"] = cache.get_recurrent_state(i, state_idx=0)[0].clone()     # [Hv, Dk, Dv]
        else:
            d[f"state.{i}.key"] = cache.layers[i].keys[0].clone()                                # [kv, T, hd], after rope
            d[f"state.{i}.value"] = cache.layers[i].values[0].clone()
    return d


def multimodal(c, r, model, g):
    """M-RoPE with image and video spans; vision features are random vectors."""
    S = lambda n: special(c, n)
    words = lambda n: torch.randint(0, 256, (n,), generator=g).tolist()
    ids, kind = [], []
    img_grid, vid_grid = [[1, 4, 6], [1, 8, 4]], [[3, 4, 4]]

    def add(seq, k=0):
        ids.extend(seq)
        kind.extend([k] * len(seq))
    add(words(7))
    for t, h, w in img_grid:
        add([S("<|vision_start|>")]); add([S("<|image_pad|>")] * (t * h * w // 4), 1); add([S("<|vision_end|>")])
        add(words(5))
    t, h, w = vid_grid[0]
    for _ in range(t):                      # one timestamp text and one span per temporal patch
        add(words(4))
        add([S("<|vision_start|>")]); add([S("<|video_pad|>")] * (h * w // 4), 2); add([S("<|vision_end|>")])
    add(words(20))
    ids_t, kind_t = torch.tensor(ids), torch.tensor(kind, dtype=torch.int32)
    pos, delta = model.model.get_rope_index(ids_t[None], kind_t[None], image_grid_thw=torch.tensor(img_grid),
                                            video_grid_thw=torch.tensor(vid_grid))
    pos, delta = pos[:, 0], int(delta[0, 0])
    feats = bf16_round(torch.randn(int((kind_t > 0).sum()), c["hidden"], generator=g) * 0.25)
    emb = r.text.embed_tokens(ids_t[None]).clone()
    emb[0, kind_t > 0] = feats
    logits, _, _, cache = r.run(embeds=emb, pos3=pos)
    nxt, out, rows = int(logits[-1].argmax()), [], []
    for k in range(8):
        out.append(nxt)
        p = torch.full((3, 1), len(ids) + k + delta)
        lg, _, _, cache = r.run(torch.tensor([nxt]), pos3=p, cache=cache)
        rows.append(lg[-1])
        nxt = int(lg[-1].argmax())
    return {"mm.input_ids": ids_t.int(), "mm.kind": kind_t, "mm.image_grid_thw": torch.tensor(img_grid).int(),
            "mm.video_grid_thw": torch.tensor(vid_grid).int(), "mm.position_ids": pos.int(),
            "mm.rope_delta": torch.tensor([delta]).int(), "mm.features": feats, "mm.logits": logits,
            "mm.greedy_ids": torch.tensor(out).int(), "mm.greedy_logits": torch.stack(rows)}


def recurrent_only(r, ids):
    """The whole prompt fed one token at a time: measures chunked against recurrent."""
    cache, rows = None, []
    for t in ids.tolist():
        lg, _, _, cache = r.run(torch.tensor([t]), cache=cache)
        rows.append(lg[-1])
    return torch.stack(rows)


def reference(c, cfg, model, text, mtp, seed):
    g = torch.Generator().manual_seed(seed + 1)
    r = Runner(cfg, model, text, mtp)
    ids = torch.randint(0, 264, (c["prompt"],), generator=g)
    logits, layers, final, cache = r.run(ids)
    n = 72                                   # crosses one 64-token chunk boundary
    d = {"input_ids": ids.int(), "logits": logits, "hidden": torch.stack([x[:n] for x in layers]),
         "final_hidden": final[:n]}
    d.update(states(r, cache))
    out, rows = greedy(r, ids, 32)
    d["greedy_ids"], d["greedy_logits"] = torch.tensor(out).int(), rows
    if c["mtp"]:
        nxt = torch.cat([ids[1:], torch.tensor([out[0]])])
        d["mtp.next_ids"] = nxt.int()
        d["mtp.logits"], hm = r.mtp_forward(nxt, final, torch.arange(len(ids)))
        d["mtp.hidden"] = hm[:n]
    if c["layout"] == "vl":
        d.update(multimodal(c, r, model, g))
    top2 = torch.cat([logits[-1:], rows]).topk(2, -1).values
    gap = float((top2[:, 0] - top2[:, 1]).min())
    rec = recurrent_only(r, ids)
    info = dict(min_greedy_top2_gap=gap, distinct_greedy=len(set(out)), logit_std=float(logits.std()),
                logit_absmax=float(logits.abs().max()),
                chunk_vs_recurrent_max_abs=float((rec - logits).abs().max()),
                chunk_vs_recurrent_rms=float((rec - logits).pow(2).mean().sqrt()))
    return d, info


# --------------------------------------------------------------------------- operators

def ops(seed):
    g = torch.Generator().manual_seed(seed)
    rn = lambda *s: torch.randn(*s, generator=g)
    d = {}
    # Gated delta rule: small heads over 150 tokens, and the real head size over 70.
    for tag, T, hk, hv, dim in (("small", 150, 2, 6, 32), ("real", 70, 1, 2, 128)):
        q, k, v = rn(1, T, hk, dim), rn(1, T, hk, dim), rn(1, T, hv, dim)
        gate = -torch.exp(torch.log(torch.rand(hv, generator=g) * 2 + 0.02)) * torch.nn.functional.softplus(rn(1, T, hv) - 1)
        beta = torch.sigmoid(2 * rn(1, T, hv))
        s0 = 0.3 * rn(1, hv, dim, dim)
        kw = dict(g=gate, beta=beta, initial_state=s0, output_final_state=True, use_qk_l2norm_in_kernel=True)
        o1, s1 = Q.torch_recurrent_gated_delta_rule(q, k, v, **kw)
        o2, s2 = Q.torch_chunk_gated_delta_rule(q, k, v, **kw)
        p = f"delta.{tag}."
        d.update({p + "q": q[0], p + "k": k[0], p + "v": v[0], p + "g": gate[0], p + "beta": beta[0], p + "state_in": s0[0],
                  p + "out": o1[0], p + "state_out": s1[0], p + "out_chunk": o2[0], p + "state_out_chunk": s2[0]})
    # Depthwise causal conv (kernel 4) + silu, from a zero state and from a carried state.
    x, w = rn(1, 24, 19), rn(24, 4) * 0.5
    full = Q.causal_conv1d_fn(x, w, None, "silu")
    st = x[:, :, 7:10].clone()
    step = Q.causal_conv1d_update(x[:, :, 10:11], st, w, None, "silu")
    d.update({"conv.x": x[0], "conv.w": w, "conv.out": full[0], "conv.step_state": x[0, :, 7:10], "conv.step_x": x[0, :, 10],
              "conv.step_out": step[0, :, 0]})
    # Norms.
    x, z, w = rn(5, 128) * 3, rn(5, 128), 1 + 0.2 * rn(128)
    m = Q.Qwen3_5RMSNormGated(128, eps=1e-6); m.weight.data.copy_(w)
    d.update({"gnorm.x": x, "gnorm.z": z, "gnorm.w": w, "gnorm.out": m(x, z)})
    m = Q.Qwen3_5RMSNorm(128, eps=1e-6); m.weight.data.copy_(w - 1)
    d.update({"norm.x": x, "norm.w": w - 1, "norm.out": m(x)})
    d.update({"l2.x": x * 1e-3, "l2.out": Q.l2norm(x * 1e-3)})
    # Decay gate, including softplus at large and very negative arguments.
    a = torch.tensor([-60., -20., -5., -1., 0., 1., 5., 15., 19.9, 20.1, 40.])
    al, db = torch.full_like(a, 0.7), torch.full_like(a, -0.3)
    d.update({"decay.a": a, "decay.A_log": al, "decay.dt_bias": db,
              "decay.g": -al.exp() * torch.nn.functional.softplus(a + db)})
    # Rotary tables of the real models: head_dim 256, 64 rotary dims, theta 1e7, sections 11/11/10.
    cfg = Qwen3_5TextConfig(hidden_size=256, head_dim=256, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                            intermediate_size=64, vocab_size=64, max_position_embeddings=262144,
                            rope_parameters=dict(rope_type="default", rope_theta=10000000, partial_rotary_factor=0.25,
                                                 mrope_section=[11, 11, 10], mrope_interleaved=True))
    rot = Q.Qwen3_5TextRotaryEmbedding(cfg)
    pos = torch.tensor([[0, 1, 2, 63, 1000, 4095, 32767, 131072, 262143, 5, 5, 5, 900, 7000],
                        [0, 1, 2, 63, 1000, 4095, 32767, 131072, 262143, 5, 6, 9, 905, 7011],
                        [0, 1, 2, 63, 1000, 4095, 32767, 131072, 262143, 5, 8, 7, 931, 7003]])
    cos, sin = rot(torch.zeros(1), pos[:, None, :])
    inv64 = 1.0 / (1e7 ** (np.arange(0, 64, 2) / 64))
    axis = np.array([1 if i % 3 == 1 and i < 33 else 2 if i % 3 == 2 and i < 30 else 0 for i in range(32)])
    ang = pos.numpy()[axis].T * inv64[None]
    q, k = rn(1, 2, 14, 256), rn(1, 1, 14, 256)
    qo, ko = Q.apply_rotary_pos_emb(q, k, cos, sin)
    d.update({"rope.pos": pos.int(), "rope.inv_freq": rot.inv_freq, "rope.cos": cos[0][:, :32].contiguous(),
              "rope.sin": sin[0][:, :32].contiguous(), "rope.cos_f64": torch.tensor(np.cos(ang)),
              "rope.sin_f64": torch.tensor(np.sin(ang)), "rope.axis": torch.tensor(axis).int(),
              "rope.q": q[0], "rope.k": k[0], "rope.q_out": qo[0], "rope.k_out": ko[0]})
    # One gated attention block at the real head size (2 query heads, 1 KV head), 14 tokens.
    cfg._attn_implementation = "eager"
    att = Q.Qwen3_5Attention(cfg, 3).float().eval()
    for n, p in att.named_parameters():
        p.data.copy_(0.2 * torch.randn(p.shape, generator=g) if "norm" in n else torch.randn(p.shape, generator=g) / 16)
    x = rn(1, 14, 256)
    mask = torch.full((14, 14), float("-inf")).triu(1)[None, None]
    y, _ = att(x, position_embeddings=(cos, sin), attention_mask=mask)
    d.update({"attn.x": x[0], "attn.out": y[0]})
    d.update({"attn." + n: p.data.to(torch.bfloat16) for n, p in att.named_parameters()})
    # Recompute with the bf16-rounded weights so that storage and result agree.
    for n, p in att.named_parameters():
        p.data.copy_(bf16_round(p.data))
    d["attn.out"] = att(x, position_embeddings=(cos, sin), attention_mask=mask)[0][0]
    # get_rope_index on a few token layouts is in each checkpoint's mm.* tensors.
    return d


def search_seed(i, c, first_seed):
    """A seed whose greedy path has clear winners, so that token ids are a fair test for engines that round a little differently."""
    best = None
    for s in range(c["seeds"]):
        seed = first_seed * 1000003 + i * 7919 + s
        cfg, model, text, mtp = build(c, seed)
        r = Runner(cfg, model, text, mtp)
        ids = torch.randint(0, 264, (c["prompt"],), generator=torch.Generator().manual_seed(seed + 1))
        first = r.run(ids)[0][-1]
        out, rows = greedy(r, ids, 32)
        t2 = torch.cat([first[None], rows]).topk(2, -1).values
        score = float((t2[:, 0] - t2[:, 1]).min()) * (1 if len(set(out)) >= 16 else 0.01)
        if best is None or score > best[0]:
            best = (score, seed)
        if score > 0.1:
            break
    return best[1]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="", help="comma-separated checkpoint names; `ops` for the operator file")
    a = ap.parse_args()
    only = a.only.split(",") if a.only else [c["name"] for c in CHECKPOINTS] + ["ops"]
    os.makedirs(a.out, exist_ok=True)
    for i, c in enumerate(CHECKPOINTS):
        if c["name"] not in only:
            continue
        seed = search_seed(i, c, a.seed)
        cfg, model, text, mtp = build(c, seed)
        d, info = reference(c, cfg, model, text, mtp, seed)
        base = os.path.join(a.out, c["name"])
        save_checkpoint(os.path.join(base, "hf"), c, cfg, model, mtp)
        save_file({k: v.contiguous() for k, v in d.items()}, os.path.join(base, "ref.safetensors"))
        print(c["name"], dict(info, seed=seed), flush=True)
    if "ops" in only:
        save_file({k: v.clone().contiguous() for k, v in ops(a.seed).items()}, os.path.join(a.out, "ops.safetensors"))


if __name__ == "__main__":
    sys.exit(main())
