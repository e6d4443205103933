"""The gated delta rule in chunks of 64, for training on a CPU.

Same results as transformers' torch_chunk_gated_delta_rule (check_fast.py), but the triangular system of a chunk is solved by a
blocked inverse, which is batched matrix products only, and the gradient of that solution is written by hand.
"""
import torch
import torch.nn.functional as F

BLOCK = 8


def inverse_of_unit_lower(low):
    """(I + low)^-1 for strictly lower triangular low [..., n, n], n = 8 * 2^k."""
    n, lead = low.shape[-1], low.shape[:-2]
    blocks = n // BLOCK
    diagonal = low.reshape(*lead, blocks, BLOCK, blocks, BLOCK).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
    eye = torch.eye(BLOCK, dtype=low.dtype)
    m1 = -diagonal
    m2 = m1 @ m1
    inverse = (eye + m1) @ (eye + m2) @ (eye + m2 @ m2)              # the series ends: low^8 = 0 within a block of 8
    size = BLOCK
    while size < n:                                                  # join pairs of blocks: [[A, 0], [-B C A, B]]
        pairs = n // (2 * size)
        corner = low.reshape(*lead, pairs, 2 * size, pairs, 2 * size).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
        corner = corner[..., size:, :size]
        inverse = inverse.reshape(*lead, pairs, 2, size, size)
        a, b = inverse[..., 0, :, :], inverse[..., 1, :, :]
        joined = torch.zeros(*lead, pairs, 2 * size, 2 * size, dtype=low.dtype)
        joined[..., :size, :size], joined[..., size:, size:] = a, b
        joined[..., size:, :size] = -(b @ (corner @ a))
        inverse, size = joined, 2 * size
    return inverse.reshape(low.shape)


class SolveUnitLower(torch.autograd.Function):
    """X = (I + low)^-1 right"""

    @staticmethod
    def forward(ctx, low, right):
        inverse = inverse_of_unit_lower(low)
        x = inverse @ right
        ctx.save_for_backward(inverse, x)
        return x

    @staticmethod
    def backward(ctx, grad):
        inverse, x = ctx.saved_tensors
        right_grad = inverse.transpose(-1, -2) @ grad
        return -(right_grad @ x.transpose(-1, -2)).tril(-1), right_grad


_triangles = {}


def triangles(n):
    if n not in _triangles:
        ones = torch.ones(n, n)
        _triangles[n] = (ones.tril().bool(), ones.tril(-1).bool())
    return _triangles[n]


def delta_chunk(q, k, v, log_decay, beta, state):
    """One chunk: outputs [B, H, C, d_v], and the sums and the solution that the next state needs."""
    low, strict = triangles(q.shape[2])
    total = log_decay.cumsum(-1)
    decay = (total.unsqueeze(-1) - total.unsqueeze(-2)).masked_fill(~low, float("-inf")).exp()
    k_t = k.transpose(-1, -2)
    system = ((k @ k_t) * (decay * beta.unsqueeze(-1))).masked_fill(~strict, 0)
    since_start = total.exp().unsqueeze(-1)
    right = v if state is None else v - (k * since_start) @ state
    update = SolveUnitLower.apply(system, right * beta.unsqueeze(-1))
    out = ((q @ k_t) * decay) @ update
    if state is not None:
        out = out + (q * since_start) @ state
    return out, total, update


def next_state(k, total, update, state):
    last = total[..., -1:]
    added = (k * (last - total).exp().unsqueeze(-1)).transpose(-1, -2) @ update
    return added if state is None else state * last.exp().unsqueeze(-1) + added


def delta_rule(q, k, v, log_decay, beta, state=None, keep_state=False):
    """q, k, v [B, H, T, d] fp32, normalised, q scaled; log_decay, beta [B, H, T]; state [B, H, d_k, d_v] or None."""
    length, outs, at = q.shape[2], [], 0
    while at < length:
        n = min(64, length - at)
        chunk = 16 if n <= 16 else 32 if n <= 32 else 64
        qc, kc, vc = (F.pad(x[:, :, at:at + n], (0, 0, 0, chunk - n)) for x in (q, k, v))
        gc, bc = (F.pad(x[:, :, at:at + n], (0, chunk - n)) for x in (log_decay, beta))
        out, total, update = delta_chunk(qc, kc, vc, gc, bc, state)
        outs.append(out[:, :, :n])
        at += n
        if keep_state or at < length:
            state = next_state(kc, total, update, state)
    return torch.cat(outs, 2), (state if keep_state else None)
