"""Compares the training forward with transformers, in fp32: logits with and without picture, vision, gradients of the delta rule.

usage: python check_fast.py        prints the largest differences; leaves with 1 if one is too large
"""
import sys

import torch
from transformers.models.qwen3_5 import modeling_qwen3_5 as reference

import fast
from delta import delta_rule
from model import make_model
from tokenizer import SPECIAL_ID


def check_logits(model, fast_model):
    """Two prefixes, one padded on the left, with a picture; three suffixes each."""
    torch.manual_seed(1)
    rows, length, before = 6, 70, 90
    real = torch.ones(2, before, dtype=torch.bool)
    real[1, :20] = False
    prefix_ids, ids = torch.randint(0, 4000, (2, before)), torch.randint(0, 4000, (rows, length))
    image_mask = torch.zeros(2, before, dtype=torch.bool)
    image_mask[:, 40:49] = True
    prefix_ids[image_mask] = SPECIAL_ID["<|image_pad|>"]
    places = (real.long().cumsum(1) - 1).clamp(min=0)
    start = (places[:, -1:] + 1).repeat_interleave(3, 0)
    pixels = torch.randn(2, 36, 1536)
    image = fast_model.vision(pixels, (6, 6))
    wanted = model.model.visual(pixels.reshape(-1, 1536), grid_thw=torch.tensor([[1, 6, 6]] * 2)).pooler_output
    vision_error = ((image.reshape(-1, 256) - wanted.reshape(-1, 256)).abs().max() / wanted.abs().max()).item()
    _, suffix = fast_model.forward(dict(
        ids=ids, positions=(start + torch.arange(length)).expand(3, -1, -1), prefix_ids=prefix_ids, prefix_mask=real,
        prefix_positions=places.expand(3, -1, -1), image_mask=image_mask), image)
    logits, worst = fast_model.logits(suffix.x), 0.0
    for row in range(rows):
        whole = torch.cat([prefix_ids[row // 3][real[row // 3]], ids[row]])[None]
        positions = torch.arange(whole.shape[1]).view(1, 1, -1).expand(3, 1, -1)
        out = model(input_ids=whole, pixel_values=pixels[row // 3], image_grid_thw=torch.tensor([[1, 6, 6]]), position_ids=positions)
        worst = max(worst, (out.logits[0, -length:] - logits[row]).abs().max().item())
    return vision_error, worst / (logits.max() - logits.min()).item()


def check_delta():
    """Outputs and gradients against the reference's chunked rule; 100 positions are two chunks, the second not full."""
    rule = reference.torch_chunk_gated_delta_rule
    rule = getattr(rule, "__wrapped__", rule)
    q, k, v = (torch.randn(3, 100, 4, 64, requires_grad=True) for _ in range(3))
    decay, beta = (-torch.rand(3, 100, 4)).requires_grad_(), torch.rand(3, 100, 4, requires_grad=True)
    inputs = (q, k, v, decay, beta)
    wanted, _ = rule(q, k, v, g=decay, beta=beta, use_qk_l2norm_in_kernel=True)
    weight = torch.randn_like(wanted)
    wanted_grads = torch.autograd.grad((wanted * weight).sum(), inputs)
    turn = lambda t: t.transpose(1, 2)
    got, _ = delta_rule(turn(fast.unit(q)) * 64 ** -0.5, turn(fast.unit(k)), turn(v), turn(decay), turn(beta))
    got = turn(got)
    grads = torch.autograd.grad((got * weight).sum(), inputs)
    error = (got - wanted).abs().max().item() / wanted.abs().max().item()
    return error, max((a - b).abs().max().item() / a.abs().max().item() for a, b in zip(wanted_grads, grads))


def main():
    fast.MATMUL = torch.float32
    model, mtp = make_model()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(2.0)              # larger weights make differences visible
        vision, logits = check_logits(model, fast.FastModel(model, mtp))
    outputs, gradients = check_delta()
    print("relative differences: vision %.1e  logits %.1e  delta rule %.1e, its gradients %.1e" % (vision, logits, outputs, gradients))
    sys.exit(max(vision, logits, outputs, gradients) > 1e-4)


if __name__ == "__main__":
    main()
