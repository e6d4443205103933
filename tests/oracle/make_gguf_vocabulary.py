#!/usr/bin/env python3
"""A small GGUF model for tests of the text side and of the program, written by gguf-py: a vocabulary of 604 tokens (the first of the bundled model's,
with their merges), the tokens that the converter of llama.cpp calls control, unused rows, a chat template, and random weights of the smallest sizes.

    make_gguf_vocabulary.py models/qwren-nano tests/golden/data/gguf tests/fuzz/seeds/gguf_text

writes OUT/small/model.gguf, OUT/small/mmproj-model.gguf and OUT/small-json/tokenizer.json, the same vocabulary as Hugging Face writes it; and a file
with nothing but a still smaller vocabulary as a seed for the fuzzer.
"""
import json
import pathlib
import sys

import gguf
import numpy as np

N_BASE, N_ROWS = 571, 640
H, I, HEADS, HD, HK, HV, DK, LAYERS = 32, 64, 2, 16, 1, 2, 16, 2
D, P = 8, 16  # the tower: width, patch


def vocabulary(nano, n_base):
    """The bundled tokenizer.json cut down to n_base tokens; its first 256 are the bytes, then each merge makes the next."""
    root = json.loads((nano / 'tokenizer.json').read_text(encoding='utf-8'))
    model = root['model']
    model['vocab'] = {token: i for token, i in model['vocab'].items() if i < n_base}
    model['merges'] = [m for m in model['merges'] if all(t in model['vocab'] for t in (*m.split(' '), m.replace(' ', '')))]
    for i, token in enumerate(root['added_tokens']):
        token['id'] = n_base + i
    return root


def write_tokenizer(out, root, n_rows, template):
    tokens = sorted(root['model']['vocab'], key=root['model']['vocab'].get)
    types = [gguf.TokenType.NORMAL] * len(tokens)
    for token in root['added_tokens']:
        text = token['content']
        control = token['special'] or (text.startswith('<|') and text.endswith('|>'))
        tokens.append(text)
        types.append(gguf.TokenType.CONTROL if control else gguf.TokenType.USER_DEFINED)
    ids = {token: i for i, token in enumerate(tokens)}
    for i in range(len(tokens), n_rows):
        tokens.append(f'[PAD{i}]')
        types.append(gguf.TokenType.UNUSED)
    out.add_tokenizer_model('gpt2')
    out.add_tokenizer_pre('qwen35')
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(root['model']['merges'])
    out.add_eos_token_id(ids['<|im_end|>'])
    out.add_pad_token_id(ids['<|endoftext|>'])
    out.add_add_bos_token(False)
    out.add_chat_template(template)


def write_sizes(out):
    out.add_block_count(LAYERS)
    out.add_context_length(512)
    out.add_embedding_length(H)
    out.add_feed_forward_length(I)
    out.add_head_count(HEADS)
    out.add_head_count_kv(1)
    out.add_key_length(HD)
    out.add_value_length(HD)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(1e7)
    out.add_rope_dimension_count(8)
    out.add_rope_dimension_sections([2, 1, 1, 0])
    out.add_ssm_conv_kernel(4)
    out.add_ssm_state_size(DK)
    out.add_ssm_group_count(HK)
    out.add_ssm_time_step_rank(HV)
    out.add_ssm_inner_size(HV * DK)
    out.add_uint32('qwen35.full_attention_interval', 2)


def add(out, rng, name, *shape, one=False):
    """Norms are F32 around 1, the rest BF16 around 0."""
    values = (rng.standard_normal(shape) * 0.05 + one).astype(np.float32)
    if len(shape) < 2 or 'conv1d' in name or name.startswith(('v.', 'mm.')):
        out.add_tensor(name, values)
    else:
        out.add_tensor(name, gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16), raw_dtype=gguf.GGMLQuantizationType.BF16)


def write_weights(out):
    rng = np.random.default_rng(4)
    channels = 2 * HK * DK + HV * DK
    add(out, rng, 'token_embd.weight', N_ROWS, H)
    add(out, rng, 'output_norm.weight', H, one=True)
    for i in range(LAYERS):
        block = f'blk.{i}.'
        add(out, rng, block + 'attn_norm.weight', H, one=True)
        add(out, rng, block + 'post_attention_norm.weight', H, one=True)
        if i % 2 == 0:
            add(out, rng, block + 'attn_qkv.weight', channels, H)
            add(out, rng, block + 'attn_gate.weight', HV * DK, H)
            add(out, rng, block + 'ssm_alpha.weight', HV, H)
            add(out, rng, block + 'ssm_beta.weight', HV, H)
            add(out, rng, block + 'ssm_conv1d.weight', channels, 4)
            out.add_tensor(block + 'ssm_a', -np.exp(rng.standard_normal(HV)).astype(np.float32))
            add(out, rng, block + 'ssm_dt.bias', HV)
            add(out, rng, block + 'ssm_norm.weight', DK, one=True)
            add(out, rng, block + 'ssm_out.weight', H, HV * DK)
        else:
            add(out, rng, block + 'attn_q.weight', 2 * HEADS * HD, H)
            add(out, rng, block + 'attn_k.weight', HD, H)
            add(out, rng, block + 'attn_v.weight', HD, H)
            add(out, rng, block + 'attn_output.weight', H, HEADS * HD)
            add(out, rng, block + 'attn_q_norm.weight', HD, one=True)
            add(out, rng, block + 'attn_k_norm.weight', HD, one=True)
        add(out, rng, block + 'ffn_gate.weight', I, H)
        add(out, rng, block + 'ffn_up.weight', I, H)
        add(out, rng, block + 'ffn_down.weight', H, I)


def write_tower(out):
    rng = np.random.default_rng(5)
    out.add_clip_has_vision_encoder(True)
    out.add_clip_projector_type('qwen3vl_merger')
    out.add_vision_use_gelu(True)
    out.add_vision_block_count(1)
    out.add_vision_embedding_length(D)
    out.add_vision_feed_forward_length(16)
    out.add_vision_head_count(1)
    out.add_vision_attention_layernorm_eps(1e-6)
    out.add_vision_projection_dim(H)
    out.add_vision_patch_size(P)
    out.add_vision_image_size(4 * P)
    out.add_vision_spatial_merge_size(2)
    out.add_vision_image_mean([0.5] * 3)
    out.add_vision_image_std([0.5] * 3)
    out.add_vision_is_deepstack_layers([False])
    for name in ('v.patch_embd.weight', 'v.patch_embd.weight.1'):
        add(out, rng, name, D, 3, P, P)
    add(out, rng, 'v.patch_embd.bias', D)
    add(out, rng, 'v.position_embd.weight', 16, D)
    for name, rows, cols in (('v.blk.0.attn_qkv', 3 * D, D), ('v.blk.0.attn_out', D, D), ('v.blk.0.ffn_up', 16, D), ('v.blk.0.ffn_down', D, 16),
                             ('mm.0', 4 * D, 4 * D), ('mm.2', H, 4 * D)):
        add(out, rng, name + '.weight', rows, cols)
        add(out, rng, name + '.bias', rows)
    for name in ('v.blk.0.ln1', 'v.blk.0.ln2', 'v.post_ln'):
        add(out, rng, name + '.weight', D, one=True)
        add(out, rng, name + '.bias', D)


def finish(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    nano, folder, seeds = map(pathlib.Path, sys.argv[1:4])
    for name in ('small', 'small-json'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    root = vocabulary(nano, N_BASE)
    (folder / 'small-json/tokenizer.json').write_text(json.dumps(root, ensure_ascii=False), encoding='utf-8')
    out = gguf.GGUFWriter(folder / 'small/model.gguf', 'qwen35')
    write_sizes(out)
    write_tokenizer(out, root, N_ROWS, (nano / 'chat_template.jinja').read_text(encoding='utf-8'))
    write_weights(out)
    finish(out)
    out = gguf.GGUFWriter(folder / 'small/mmproj-model.gguf', 'clip')
    write_tower(out)
    finish(out)
    seeds.mkdir(parents=True, exist_ok=True)
    out = gguf.GGUFWriter(seeds / 'vocabulary', 'qwen35')
    write_tokenizer(out, vocabulary(nano, 264), 299, '{%- if add_generation_prompt %}{%- if enable_thinking is false %}')
    finish(out)


main()
