"""Runs a GGUF file of the demo model in numpy, 32-bit floats, one sequence.

Written from the GGUF conventions alone: it shares nothing with the network that was trained, so it
tells whether the file means what the training meant.
"""

import numpy as np

from . import gguf_file
from .vocabulary import Vocabulary


def _norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight


class Runner:
    def __init__(self, path):
        meta, self.tensors = gguf_file.read(path)
        self.vocabulary = Vocabulary(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.merges"])
        self.template = meta["tokenizer.chat_template"]
        self.end = meta["tokenizer.ggml.eos_token_id"]
        self.context = meta["llama.context_length"]
        self.layers = meta["llama.block_count"]
        self.heads = meta["llama.attention.head_count"]
        self.kv_heads = meta["llama.attention.head_count_kv"]
        self.width = meta["llama.rope.dimension_count"]
        self.epsilon = meta["llama.attention.layer_norm_rms_epsilon"]
        self.steps = meta["llama.rope.freq_base"] ** (-np.arange(0, self.width, 2) / self.width)
        self.reset()

    def reset(self):
        self.cache = [(np.zeros((0, self.kv_heads, self.width), np.float32),) * 2 for _ in range(self.layers)]

    def _turn(self, x, first):
        angles = np.outer(np.arange(first, first + len(x)), self.steps)[:, None, :]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        out = np.empty_like(x)
        out[..., ::2] = x[..., ::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., ::2] * sin + x[..., 1::2] * cos
        return out

    def _attention(self, at, x, first):
        get = self.tensors
        h = _norm(x, get[f"blk.{at}.attn_norm.weight"], self.epsilon)
        q = (h @ get[f"blk.{at}.attn_q.weight"].T).reshape(len(x), self.heads, self.width)
        k = (h @ get[f"blk.{at}.attn_k.weight"].T).reshape(len(x), self.kv_heads, self.width)
        v = (h @ get[f"blk.{at}.attn_v.weight"].T).reshape(len(x), self.kv_heads, self.width)
        old_k, old_v = self.cache[at]
        k, v = np.concatenate([old_k, self._turn(k, first)]), np.concatenate([old_v, v])
        self.cache[at] = (k, v)
        group = self.heads // self.kv_heads
        k, v = k.repeat(group, axis=1), v.repeat(group, axis=1)
        scores = np.einsum("qhd,khd->hqk", self._turn(q, first), k) / np.sqrt(self.width)
        later = np.arange(len(k))[None, :] > np.arange(first, first + len(x))[:, None]
        scores = np.where(later, -np.inf, scores)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", scores, v).reshape(len(x), -1)
        return x + mixed @ get[f"blk.{at}.attn_output.weight"].T

    def logits(self, ids):
        """Logits of every position of these ids, which go behind those that were given before."""
        get, first = self.tensors, len(self.cache[0][0])
        x = get["token_embd.weight"][ids]
        for at in range(self.layers):
            x = self._attention(at, x, first)
            h = _norm(x, get[f"blk.{at}.ffn_norm.weight"], self.epsilon)
            gate, up = h @ get[f"blk.{at}.ffn_gate.weight"].T, h @ get[f"blk.{at}.ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ get[f"blk.{at}.ffn_down.weight"].T
        x = _norm(x, get["output_norm.weight"], self.epsilon)
        return x @ get.get("output.weight", get["token_embd.weight"]).T

    def generate(self, ids, most=200, temperature=0.0, top_p=1.0, rng=None):
        """The new ids, without the end token; greedy at temperature 0."""
        self.reset()
        logits, out = self.logits(ids)[-1], []
        most = min(most, self.context - len(ids))
        while len(out) < most:
            if temperature == 0:
                chosen = int(logits.argmax())
            else:
                order = np.argsort(-logits)
                share = np.exp((logits[order] - logits[order[0]]) / temperature)
                share /= share.sum()
                keep = np.cumsum(share) - share < top_p
                chosen = int(rng.choice(order[keep], p=share[keep] / share[keep].sum()))
            if chosen == self.end:
                break
            out.append(chosen)
            logits = self.logits([chosen])[-1]
        return out
