"""The network: a small llama (RMS norm, rotary positions, grouped-query attention, SwiGLU).

Rotary positions turn adjacent pairs, which is how GGUF's llama architecture stores Q and K, so the
weights are exported as they are, without a permutation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocabulary: int = 2048
    width: int = 256
    feed_forward: int = 512
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        width, head = shape.width, shape.head_width
        self.attn_norm = nn.Parameter(torch.ones(width))
        self.attn_q = nn.Parameter(torch.empty(shape.heads * head, width))
        self.attn_k = nn.Parameter(torch.empty(shape.kv_heads * head, width))
        self.attn_v = nn.Parameter(torch.empty(shape.kv_heads * head, width))
        self.attn_output = nn.Parameter(torch.empty(width, shape.heads * head))
        self.ffn_norm = nn.Parameter(torch.ones(width))
        self.ffn_gate = nn.Parameter(torch.empty(shape.feed_forward, width))
        self.ffn_up = nn.Parameter(torch.empty(shape.feed_forward, width))
        self.ffn_down = nn.Parameter(torch.empty(width, shape.feed_forward))
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                last = name in ("attn_output", "ffn_down")
                nn.init.normal_(weight, std=0.03 / (2 * shape.layers) ** 0.5 if last else 0.03)

    def forward(self, x, cos, sin):
        shape, (rows, length, _) = self.shape, x.shape
        h = F.rms_norm(x, (shape.width,), self.attn_norm, shape.epsilon)
        q = F.linear(h, self.attn_q).view(rows, length, shape.heads, shape.head_width).transpose(1, 2)
        k = F.linear(h, self.attn_k).view(rows, length, shape.kv_heads, shape.head_width).transpose(1, 2)
        v = F.linear(h, self.attn_v).view(rows, length, shape.kv_heads, shape.head_width).transpose(1, 2)
        q, k = turn(q, cos, sin).to(v.dtype), turn(k, cos, sin).to(v.dtype)
        groups = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).reshape(rows, length, -1), self.attn_output)
        h = F.rms_norm(x, (shape.width,), self.ffn_norm, shape.epsilon)
        return x + F.linear(F.silu(F.linear(h, self.ffn_gate)) * F.linear(h, self.ffn_up), self.ffn_down)


def turn(x, cos, sin):
    """Rotate each adjacent pair of x by its position's angle."""
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Network(nn.Module):
    """Ids [rows, length] to hidden states; logits() turns chosen states into logits."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Parameter(torch.empty(shape.vocabulary, shape.width).normal_(std=0.03))
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.width))
        steps = shape.rope_base ** (-torch.arange(0, shape.head_width, 2) / shape.head_width)
        angles = torch.outer(torch.arange(shape.context).float(), steps)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids):
        length = ids.shape[1]
        x = self.token_embd[ids]
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return F.rms_norm(x, (self.shape.width,), self.output_norm, self.shape.epsilon)

    def logits(self, states):
        return F.linear(states, self.token_embd)

    def tensors(self):
        """GGUF tensor names and their weights, as numpy arrays of 32-bit floats."""
        named = {"token_embd.weight": self.token_embd, "output_norm.weight": self.output_norm}
        for at, layer in enumerate(self.layers):
            named.update({f"blk.{at}.{name}.weight": weight for name, weight in layer.named_parameters()})
        return {name: weight.detach().float().numpy() for name, weight in named.items()}
