"""The shape of qwren-nano: a Qwen3.5 with every organ of the real ones and rows that are multiples of 256."""
import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5DecoderLayer, Qwen3_5RMSNorm

from tokenizer import PADDED_VOCAB, SPECIAL_ID

TEXT = dict(
    vocab_size=PADDED_VOCAB, hidden_size=256, intermediate_size=512, num_hidden_layers=4, full_attention_interval=4,
    num_attention_heads=4, num_key_value_heads=2, head_dim=64, attn_output_gate=True,
    linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=64, linear_value_head_dim=64,
    linear_conv_kernel_dim=4, mamba_ssm_dtype="float32", tie_word_embeddings=True, max_position_embeddings=4096,
    eos_token_id=SPECIAL_ID["<|im_end|>"], pad_token_id=None, bos_token_id=None,
    mtp_num_hidden_layers=1, mtp_use_dedicated_embeddings=False,
    rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5,
                         mrope_section=[6, 5, 5], mrope_interleaved=True))
VISION = dict(
    depth=2, hidden_size=256, intermediate_size=256, num_heads=4, out_hidden_size=256, num_position_embeddings=64,
    patch_size=16, spatial_merge_size=2, temporal_patch_size=2, deepstack_visual_indexes=[])


def make_config():
    return Qwen3_5Config(text_config=dict(TEXT), vision_config=dict(VISION), tie_word_embeddings=True,
                         image_token_id=SPECIAL_ID["<|image_pad|>"], video_token_id=SPECIAL_ID["<|video_pad|>"],
                         vision_start_token_id=SPECIAL_ID["<|vision_start|>"],
                         vision_end_token_id=SPECIAL_ID["<|vision_end|>"])


class Mtp(nn.Module):
    """The multi-token prediction head, named as in the published checkpoints (mtp.*); transformers has no module for it."""

    def __init__(self, config):
        super().__init__()
        size = config.hidden_size
        self.fc = nn.Linear(2 * size, size, bias=False)
        self.pre_fc_norm_embedding = Qwen3_5RMSNorm(size)
        self.pre_fc_norm_hidden = Qwen3_5RMSNorm(size)
        self.norm = Qwen3_5RMSNorm(size)
        self.layers = nn.ModuleList([Qwen3_5DecoderLayer(config, config.layer_types.index("full_attention"))])


def make_model(seed=0):
    """(the transformers model, its MTP head), freshly initialised."""
    torch.manual_seed(seed)
    model = Qwen3_5ForConditionalGeneration(make_config())
    mtp = Mtp(model.config.text_config)
    for parameter in mtp.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
    for layer in model.model.language_model.layers:
        if hasattr(layer, "linear_attn"):
            spread_decays(layer.linear_attn)
    return model, mtp


@torch.no_grad()
def spread_decays(delta):
    """Memories of useful lengths from the start: each value head forgets at a speed of its own."""
    heads = delta.num_v_heads
    delta.A_log.copy_(torch.linspace(0.5, 8, heads).log())
    rate = torch.exp(torch.linspace(-5.5, -2.5, heads))
    delta.dt_bias.copy_(rate + torch.log(-torch.expm1(-rate)))      # softplus(dt_bias) = rate


def named_parameters(model, mtp, auxiliary=None):
    """Every trained parameter once: the model's names, mtp.*, aux.*."""
    seen, named = set(), []
    for prefix, module in (("", model), ("mtp.", mtp), ("aux.", auxiliary)):
        for name, parameter in module.named_parameters() if module is not None else ():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                named.append((prefix + name, parameter))
    return named


@torch.no_grad()
def load_exported(directory, named):
    """Fills the parameters from an exported checkpoint (bf16 safetensors). The heads that export drops (aux.*) keep what they have."""
    weights = load_file(pathlib.Path(directory) / "model.safetensors")
    wanted = {name: parameter for name, parameter in named if not name.startswith("aux.")}
    if set(weights) != set(wanted):
        raise SystemExit("%s: its tensors differ from the model's: %s" % (directory, ", ".join(sorted(set(weights) ^ set(wanted)))))
    for name, parameter in wanted.items():
        if weights[name].shape != parameter.shape:
            raise SystemExit("%s: %s has shape %s, not %s" % (directory, name, tuple(weights[name].shape), tuple(parameter.shape)))
        parameter.copy_(weights[name])
