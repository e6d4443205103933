"""A faster training forward over the parameters of transformers' own module.

The weights stay in Qwen3_5ForConditionalGeneration, so the reference runs the very same ones; check_fast.py compares the
results. What is faster: the beginning that several questions share (a picture, a tool list, a text) is computed once and its states are
handed on; matrix products are bf16, while residual, norms and the delta rule stay fp32; logits exist only where there is a loss.
"""
import torch
import torch.nn.functional as F

from delta import delta_rule

MATMUL = torch.bfloat16          # check_fast.py sets float32
BEGIN_WEIGHT = 3.0               # of a copy's first token: it has to be found; the others follow the one before


def linear(x, weight, bias=None):
    return F.linear(x.to(MATMUL), weight.to(MATMUL), None if bias is None else bias.to(MATMUL))


def weighted_mean(values, weights):
    return (values * weights).sum() / weights.sum()


def rms(x, weight, eps=1e-6):
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (1.0 + weight)


def unit(x):
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def rotate(x, cos, sin):
    """x [B, H, T, d]; the first r of d values turn; cos, sin [B, 1, T, r]."""
    r = cos.shape[-1]
    turning, still = x[..., :r], x[..., r:]
    half = torch.cat([-turning[..., r // 2:], turning[..., :r // 2]], -1)
    return torch.cat([turning * cos + half * sin, still], -1)


def additive(mask):
    return torch.zeros(mask.shape, dtype=MATMUL).masked_fill(~mask, float("-inf"))


class Side:
    """The prefix or the suffix rows of a batch on their way through the layers."""

    def __init__(self, x, rotary, mask=None, keep=None):
        self.x = self.embedding = x          # [B, T, hidden]
        self.rotary = rotary                 # (cos, sin) [B, 1, T, r]
        self.mask = mask                     # additive attention mask, or None: causal
        self.keep = keep                     # [B, T, 1] where padding is False, or None: no padding
        self.copies, self.search_loss = None, None      # see FastModel._search


class FastModel:
    def __init__(self, model, mtp):
        self.text, self.visual, self.mtp = model.model.language_model, model.model.visual, mtp
        self.config = model.config.text_config
        self._grids = {}

    # ---- pictures

    def _grid_constants(self, grid):
        from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids
        if grid not in self._grids:
            v, thw = self.visual, torch.tensor([[1, *grid]])
            merge = v.config.spatial_merge_size
            indices, weights = get_vision_interpolation_indices_and_weights(
                thw, num_grid_per_side=v.num_grid_per_side, mode=v.interpolation_mode,
                align_corners=v.interpolation_align_corners, spatial_merge_size=merge, kwargs={})
            cos, sin = v.rotary_pos_emb(torch.zeros(1), get_vision_position_ids(thw, merge, kwargs={}))
            self._grids[grid] = (indices, weights, cos, sin)
        return self._grids[grid]

    def vision(self, pixels, grid):
        """pixels [N, patches, 1536] of one grid (rows, columns) -> [N, patches / 4, hidden]"""
        v = self.visual
        indices, weights, cos, sin = self._grid_constants(grid)
        places = (v.pos_embed(indices) * weights[:, :, None]).sum(1)
        kernel = v.patch_embed.proj
        x = linear(pixels, kernel.weight.reshape(kernel.weight.shape[0], -1), kernel.bias).float() + places
        for block in v.blocks:
            x = self._vision_block(block, x, cos, sin)
        norm, merger = v.merger.norm, v.merger
        x = F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, 1e-6)
        x = x.reshape(x.shape[0], x.shape[1] // 4, -1)
        x = F.gelu(linear(x, merger.linear_fc1.weight, merger.linear_fc1.bias))
        return linear(x, merger.linear_fc2.weight, merger.linear_fc2.bias).float()

    def _vision_block(self, block, x, cos, sin):
        n, patches, size = x.shape
        heads = self.visual.config.num_heads
        y = F.layer_norm(x, (size,), block.norm1.weight, block.norm1.bias, 1e-6)
        qkv = linear(y, block.attn.qkv.weight, block.attn.qkv.bias)
        q, k, v = qkv.reshape(n, patches, 3, heads, size // heads).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = rotate(q.float(), cos, sin).to(MATMUL), rotate(k.float(), cos, sin).to(MATMUL)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, patches, size)
        x = x + linear(y, block.attn.proj.weight, block.attn.proj.bias)
        y = F.layer_norm(x, (size,), block.norm2.weight, block.norm2.bias, 1e-6)
        y = F.gelu(linear(y, block.mlp.linear_fc1.weight, block.mlp.linear_fc1.bias), approximate="tanh")
        return x + linear(y, block.mlp.linear_fc2.weight, block.mlp.linear_fc2.bias)

    # ---- layers

    def _delta(self, layer, x, before=None, keep=False):
        """before: (last three rows of the convolution's input, state) -> (output, the same for what follows)"""
        batch, length, _ = x.shape
        conv, head = layer.conv_dim, layer.head_k_dim
        weight = torch.cat([layer.in_proj_qkv.weight, layer.in_proj_z.weight, layer.in_proj_b.weight, layer.in_proj_a.weight])
        mixed, z, b, a = linear(x, weight).split([conv, layer.value_dim, layer.num_v_heads, layer.num_v_heads], -1)
        rows, state = before or (mixed.new_zeros(batch, 3, conv), None)
        mixed = torch.cat([rows, mixed], 1)
        taps, wide = layer.conv1d.weight.squeeze(1), mixed.float()
        y = F.silu(sum(wide[:, i:i + length] * taps[:, i] for i in range(4)))
        q, k, v = y.split([layer.key_dim, layer.key_dim, layer.value_dim], -1)
        repeat = layer.num_v_heads // layer.num_k_heads
        heads = lambda t: t.reshape(batch, length, -1, head).transpose(1, 2)
        q, k = (unit(heads(t)).repeat_interleave(repeat, 1) for t in (q, k))
        decay = -layer.A_log.exp() * F.softplus(a.float() + layer.dt_bias)
        out, state = delta_rule(q * head ** -0.5, k, heads(v), decay.transpose(1, 2), b.float().sigmoid().transpose(1, 2), state, keep)
        out = out.transpose(1, 2)
        out = out * torch.rsqrt(out.pow(2).mean(-1, keepdim=True) + 1e-6) * layer.norm.weight
        out = out.reshape(batch, length, -1) * F.silu(z.float())
        return linear(out, layer.out_proj.weight), (mixed[:, -3:], state)

    def _attention(self, layer, x, side, before=None):
        """before: (keys, values) of the prefix -> (output, this side's keys and values)"""
        batch, length, _ = x.shape
        heads, kv_heads, d = self.config.num_attention_heads, self.config.num_key_value_heads, layer.head_dim
        weight = torch.cat([layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight])
        qg, k, v = linear(x, weight).split([2 * heads * d, kv_heads * d, kv_heads * d], -1)
        q, gate = qg.reshape(batch, length, heads, 2 * d).chunk(2, -1)
        q = rotate(rms(q, layer.q_norm.weight).transpose(1, 2), *side.rotary).to(MATMUL)
        k = rotate(rms(k.reshape(batch, length, kv_heads, d), layer.k_norm.weight).transpose(1, 2), *side.rotary).to(MATMUL)
        v = v.reshape(batch, length, kv_heads, d).transpose(1, 2)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        own = (k, v)
        if before is not None:
            questions = batch // before[0].shape[0]
            k, v = (torch.cat([old.repeat_interleave(questions, 0), new], 2) for old, new in zip(before, own))
        if side.copies is not None:
            side.search_loss = self._search(q, k, side)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=side.mask, is_causal=side.mask is None)
        out = out.transpose(1, 2).reshape(batch, length, -1).float() * torch.sigmoid(gate.reshape(batch, length, -1).float())
        return linear(out, layer.o_proj.weight), own

    @staticmethod
    def _search(q, k, side):
        """How far the first heads are from looking at what is to be copied (side.copies, see data.batches): a loss that teaches it to find
        things hundreds of steps sooner than the answers alone."""
        losses, weights = [], []
        for head in range(2):
            row, at, original, begins, _ = side.copies[side.copies[:, 4] == head].unbind(1)
            if len(row):
                scores = (q[:, head] @ k[:, head].transpose(-1, -2) * q.shape[-1] ** -0.5 + side.mask[:, 0])[row, at].float()
                losses.append(F.cross_entropy(scores, original, reduction="none"))
                weights.append(1 + (BEGIN_WEIGHT - 1) * begins)
        return weighted_mean(torch.cat(losses), torch.cat(weights))

    @staticmethod
    def _mlp(mlp, x):
        gate, up = linear(x, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])).float().chunk(2, -1)
        return linear(F.silu(gate) * up, mlp.down_proj.weight)

    def _layer(self, layer, side, before=None, keep=False):
        x = rms(side.x, layer.input_layernorm.weight)
        if layer.block_type == "linear_attention":
            if side.keep is not None:
                x = x * side.keep
            y, after = self._delta(layer.linear_attn, x, before, keep)
        else:
            y, after = self._attention(layer.self_attn, x, side, before)
        side.x = side.x + y
        side.x = side.x + self._mlp(layer.mlp, rms(side.x, layer.post_attention_layernorm.weight))
        return after

    # ---- the whole

    def _rotary(self, positions):
        cos, sin = self.text.rotary_emb(torch.zeros(1), positions)
        return cos.unsqueeze(1), sin.unsqueeze(1)

    def _sides(self, batch, image):
        embed = self.text.embed_tokens.weight
        suffix = Side(F.embedding(batch["ids"], embed), self._rotary(batch["positions"]))
        if "prefix_ids" not in batch:
            return None, suffix
        x = F.embedding(batch["prefix_ids"], embed)
        if image is not None:
            x = x.masked_scatter(batch["image_mask"].unsqueeze(-1), image)
        prefix = Side(x, self._rotary(batch["prefix_positions"]))
        real = batch["prefix_mask"]
        rows, length = batch["ids"].shape
        groups, before = real.shape
        if not real.all():
            causal = torch.ones(before, before).tril().bool()
            prefix.mask = additive(real[:, None, None, :] & causal | torch.eye(before).bool())
            prefix.keep = real.unsqueeze(-1)
        seen = real.repeat_interleave(rows // groups, 0)[:, None, None, :].expand(rows, 1, length, before)
        own = torch.ones(length, length).tril().bool().expand(rows, 1, length, length)
        suffix.mask = additive(torch.cat([seen, own], -1))
        suffix.copies = batch.get("copies")
        return prefix, suffix

    def forward(self, batch, image=None):
        """batch: arrays of data.batches as tensors; image: rows for image_mask. -> (prefix or None, suffix), .x after the last norm"""
        prefix, suffix = self._sides(batch, image)
        for layer in self.text.layers:
            before = None
            if prefix is not None:
                before = self._layer(layer, prefix, keep=True)
                if layer.block_type == "linear_attention":
                    questions = suffix.x.shape[0] // prefix.x.shape[0]
                    before = tuple(t.repeat_interleave(questions, 0) for t in before)
            self._layer(layer, suffix, before)
        for side in (prefix, suffix):
            if side is not None:
                side.x = rms(side.x, self.text.norm.weight)
        return prefix, suffix

    def logits(self, x, train_embedding=True):
        weight = self.text.embed_tokens.weight
        return linear(x, weight if train_embedding else weight.detach()).float()

    # ---- multi-token prediction

    def _mtp_input(self, embedding, hidden):
        m = self.mtp
        both = [rms(embedding, m.pre_fc_norm_embedding.weight), rms(hidden, m.pre_fc_norm_hidden.weight)]
        return linear(torch.cat(both, -1), m.fc.weight).float()

    def mtp_forward(self, prefix, suffix):
        """The head's output at suffix position t, from the embedding of token t and the trunk's (detached) state before it: it predicts
        token t + 1. Its first position without a state before it sees nothing and is not to be used."""
        layer, before = self.mtp.layers[0], None
        hidden, embedding = suffix.x.detach(), suffix.embedding.detach()
        rows, length, _ = hidden.shape
        shifted = Side(None, suffix.rotary)
        if prefix is not None:
            before, first, shifted = self._mtp_prefix(prefix, suffix, rows)
        else:
            first = torch.zeros_like(hidden[:, :1])
            visible = torch.ones(length, length).tril().bool()
            visible[1:, 0] = False
            shifted.mask = additive(visible).expand(rows, 1, length, length)
            shifted.rotary = tuple(torch.cat([t[:, :, :1], t[:, :, :-1]], 2) for t in suffix.rotary)
        shifted.x = self._mtp_input(embedding, torch.cat([first, hidden[:, :-1]], 1))
        self._layer(layer, shifted, before)
        return rms(shifted.x, self.mtp.norm.weight)

    def _mtp_prefix(self, prefix, suffix, rows):
        """Keys and values of the prefix, the state before the first suffix token, and the suffix with positions one earlier."""
        layer = self.mtp.layers[0]
        hidden, embedding = prefix.x.detach(), prefix.embedding.detach()
        pairs = Side(self._mtp_input(embedding[:, 1:], hidden[:, :-1]), tuple(t[:, :, :-1] for t in prefix.rotary))
        if prefix.mask is not None:
            pairs.mask = prefix.mask[..., 1:, 1:]
        _, before = self._attention(layer.self_attn, rms(pairs.x, layer.input_layernorm.weight), pairs)
        questions = rows // hidden.shape[0]
        rotary = tuple(torch.cat([old[:, :, -1:].repeat_interleave(questions, 0), new[:, :, :-1]], 2)
                       for old, new in zip(prefix.rotary, suffix.rotary))
        return before, hidden[:, -1:].repeat_interleave(questions, 0), Side(None, rotary, suffix.mask[..., 1:])
