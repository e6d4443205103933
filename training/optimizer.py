"""Muon for the matrices inside blocks, Adam for embeddings, norms, convolutions and small vectors.

All gradients lie in one flat buffer, so that summing them over the processes is one call; the orthogonalisation of the matrices is
divided among the processes. Muon: K. Jordan and others, 2024 (momentum, then five Newton-Schulz steps).
"""
import torch
import torch.distributed as dist

MOMENTUM, MUON_DECAY, BETAS, CLIP = 0.95, 0.02, (0.9, 0.97), 5.0


def orthogonal(gradient, steps=5):
    """About the nearest orthogonal matrix, by a quintic Newton-Schulz iteration in bf16."""
    x = gradient.to(torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.T if tall else x).float()


def is_muon(name, parameter):
    return parameter.ndim == 2 and min(parameter.shape) >= 64 and "embed" not in name and not name.startswith("aux.")


class MuonAdam:
    def __init__(self, named, rank, world, muon_rate, adam_rate):
        self.parameters, self.rank, self.world = [p for _, p in named], rank, world
        self.muon_rate, self.adam_rate, self.steps = muon_rate, adam_rate, 0
        total = sum(p.numel() for p in self.parameters)
        self.gradients, self.updates, self.momentum = (torch.zeros(total) for _ in range(3))
        self.spans, at = [], 0
        for parameter in self.parameters:
            self.spans.append(slice(at, at + parameter.numel()))
            at += parameter.numel()
            parameter.grad = self.gradients[self.spans[-1]].view_as(parameter)
        self.muon = [i for i, (name, p) in enumerate(named) if is_muon(name, p)]
        self.adam = [i for i in range(len(named)) if i not in set(self.muon)]
        self.squares = {i: torch.zeros_like(self.parameters[i]) for i in self.adam}

    def zero(self):
        self.gradients.zero_()

    @torch.no_grad()
    def step(self, factor):
        """factor: where the schedule stands, 0 to 1. Sums the processes' gradients first; returns their norm."""
        if self.world > 1:
            dist.all_reduce(self.gradients)
        self.steps += 1
        norm = self.gradients.norm()
        if norm > CLIP:
            self.gradients.mul_(CLIP / norm)
        self._muon_step(factor)
        self._adam_step(factor)
        return norm.item()

    def _muon_step(self, factor):
        self.updates.zero_()
        for turn, i in enumerate(self.muon):
            span, shape = self.spans[i], self.parameters[i].shape
            gradient, momentum = self.gradients[span], self.momentum[span]
            momentum.mul_(MOMENTUM).add_(gradient)
            if turn % self.world == self.rank:
                update = orthogonal((gradient + MOMENTUM * momentum).view(shape))
                self.updates[span] = (update * max(1, shape[0] / shape[1]) ** 0.5).reshape(-1)
        if self.world > 1:
            dist.all_reduce(self.updates)
        for i in self.muon:
            parameter = self.parameters[i]
            parameter.mul_(1 - MUON_DECAY * self.muon_rate * factor)
            parameter.add_(self.updates[self.spans[i]].view_as(parameter), alpha=-self.muon_rate * factor)

    def _adam_step(self, factor):
        b1, b2 = BETAS
        for i in self.adam:
            parameter, square = self.parameters[i], self.squares[i]
            gradient, mean = (t[self.spans[i]].view_as(parameter) for t in (self.gradients, self.momentum))
            mean.mul_(b1).add_(gradient, alpha=1 - b1)
            square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
            scale = (square / (1 - b2 ** self.steps)).sqrt().add_(1e-10)
            parameter.addcdiv_(mean / (1 - b1 ** self.steps), scale, value=-self.adam_rate * factor)

    def state(self):
        return {"momentum": self.momentum, "squares": self.squares, "steps": self.steps}

    def load(self, state):
        self.momentum.copy_(state["momentum"])
        self.steps = state["steps"]
        for i, square in state["squares"].items():
            self.squares[i].copy_(square)
