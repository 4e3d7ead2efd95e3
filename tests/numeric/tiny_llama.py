"""Small seeded llama models, twice: as a GGUF file and as transformers' LlamaForCausalLM.

Used by logits-oracle.py; tiny_families.py has the other architectures. Both get the same weights: those that the GGUF file's blocks stand for.
"""
import math

import gguf
import numpy as np
import torch
import transformers
from gguf import quants

F32, F16, BF16 = (gguf.GGMLQuantizationType[n] for n in ("F32", "F16", "BF16"))


def permute(w, n_heads):
    """transformers' half-split rotary order to GGUF's adjacent pairs, along the rows."""
    half = w.shape[0] // n_heads // 2
    return w.reshape(n_heads, 2, half, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, n_heads):
    half = w.shape[0] // n_heads // 2
    return w.reshape(n_heads, half, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def random_q4_k(rng, rows, cols, std):
    """Q4_K blocks of random bits; scale and minimum agree, so that weights are centred."""
    n = rows * cols // 256
    s = rng.integers(20, 64, (n, 8), dtype=np.uint8)
    lo, hi = s[:, :4], s[:, 4:]
    scales = np.concatenate([lo | (hi >> 4 << 6), lo | (hi >> 4 << 6), (hi & 15) | (hi & 15) << 4],
                            axis=1)
    d = np.full((n, 1), std / (4.6 * 42), dtype=np.float16)
    dmin = (d.astype(np.float32) * 7.5).astype(np.float16)
    qs = rng.integers(0, 256, (n, 128), dtype=np.uint8)
    blocks = np.concatenate([d.view(np.uint8), dmin.view(np.uint8), scales, qs], axis=1)
    return blocks.reshape(rows, -1)


def random_q6_k(rng, rows, cols, std):
    n = rows * cols // 256
    bits = rng.integers(0, 256, (n, 192), dtype=np.uint8)
    scales = rng.integers(-127, 128, (n, 16), dtype=np.int8).view(np.uint8)
    d = np.full((n, 1), std / (18.5 * 73), dtype=np.float16).view(np.uint8)
    return np.concatenate([bits, scales, d], axis=1).reshape(rows, -1)


def random_iquant(rng, kind, rows, cols, std):
    """Blocks of random bits of IQ1_S, IQ2 or IQ3, which begin with their scale."""
    data = rng.integers(0, 256, (rows * cols // 256, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for d in (1.0, None):
        data[:, :2] = np.array([d or std / quants.dequantize(data, kind).std()], dtype=np.float16).view(np.uint8)
    return data.reshape(rows, -1)


def random_nvfp4(rng, rows, cols, std):
    """Random codes; scales over two powers of two around what `std` asks for."""
    data = rng.integers(0, 256, (rows * cols // 64, 36), dtype=np.uint8)
    top = 8 * int(np.floor(np.log2(std / 2.9)) + 8)  # the values' standard deviation is about 2.9
    data[:, :4] = rng.integers(max(top - 12, 0), top + 4, (len(data), 4), dtype=np.uint8)
    return data.reshape(rows, -1)


class TinyLlama:
    arch = "llama"
    causal_lm, config_class = transformers.LlamaForCausalLM, transformers.LlamaConfig
    permuted = True   # q and k have their rotary pairs side by side in the file
    norm_offset = 0   # what the file's norms have more than transformers'
    writes_head_size = True
    partial = 1.0     # how much of a head turns
    modules = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
               "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
               "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
               "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}

    layer_prefix = "model.layers"
    no_config = ()    # what the configuration has no place for
    globals = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight",
               "output_norm.weight": "model.norm.weight", "output_norm.bias": "model.norm.bias"}

    def __init__(self, name, kind="F32", layers=2, embd=256, heads=4, kv_heads=4, ff=512, vocab=320,
                 head_dim=None, tied=False, bias=False, rope=None, base=10000.0, context=256, seed=1,
                 server_context=256, factors=False):
        self.name, self.heads, self.kv_heads, self.vocab = name, heads, kv_heads, vocab
        self.kind = gguf.GGMLQuantizationType[kind]
        self.layers, self.embd, self.ff, self.context = layers, embd, ff, context
        self.head_dim = head_dim or embd // heads
        self.tied, self.bias, self.rope, self.base = tied, bias, rope or {}, base
        self.eps = 1e-5
        self.server_context = server_context  # the longest sequence that Weir is asked for
        self.least_length = 0                 # of a sequence, for transformers to compute alike
        self.rng = np.random.default_rng(seed)
        self.factors = {} if factors else None  # of matrices, as the files of NVFP4 have them: by name
        self.tensors = {}  # GGUF name: (bytes or f32 array, type, f32 values)

    def matrix(self, name, rows, cols, std=None):
        std = std or 1.0 / math.sqrt(cols)
        if self.kind.name == "Q4_K":
            data = random_q4_k(self.rng, rows, cols, std)
        elif self.kind.name == "Q6_K":
            data = random_q6_k(self.rng, rows, cols, std)
        elif self.kind.name[:3] in ("IQ1", "IQ2", "IQ3"):
            data = random_iquant(self.rng, self.kind, rows, cols, std)
        elif self.kind.name == "NVFP4":
            data = random_nvfp4(self.rng, rows, cols, std)
        else:
            w = self.rng.normal(0, std, (rows, cols)).astype(np.float32)
            data = w if self.kind == F32 else quants.quantize(w, self.kind)
        values = data if self.kind == F32 else quants.dequantize(data, self.kind)
        self.tensors[name] = (data, self.kind, np.ascontiguousarray(values, dtype=np.float32))

    def vector(self, name, n, mean, std):
        w = self.rng.normal(mean, std, n).astype(np.float32)
        self.tensors[name] = (w, F32, w)

    def matrices(self):
        """Of a layer: name, rows, columns, with a bias?"""
        q, kv, bias = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.bias
        return [("attn_q", q, self.embd, bias), ("attn_k", kv, self.embd, bias),
                ("attn_v", kv, self.embd, bias), ("attn_output", self.embd, q, bias),
                ("ffn_gate", self.ff, self.embd, bias), ("ffn_up", self.ff, self.embd, bias),
                ("ffn_down", self.embd, self.ff, bias)]

    def norms(self):
        return [("attn_norm", self.embd), ("ffn_norm", self.embd)]

    def build(self):
        # As large as what the layers add; when it serves as output too, logits stay of size 1.
        self.matrix("token_embd.weight", self.vocab, self.embd, None if self.tied else 1.0)
        for i in range(self.layers):
            b = f"blk.{i}."
            for what, n in self.norms():
                self.vector(f"{b}{what}.weight", n, 1, 0.2)
            for what, rows, cols, bias in self.matrices():
                self.matrix(f"{b}{what}.weight", rows, cols)
                if bias:
                    self.vector(f"{b}{what}.bias", rows, 0, 0.3)
        self.vector("output_norm.weight", self.embd, 1, 0.2)
        if not self.tied:
            self.matrix("output.weight", self.vocab, self.embd)
        if self.rope.get("rope_type") == "llama3":
            self.tensors["rope_freqs.weight"] = (self.llama3_factors(), F32, None)
        return self

    @classmethod
    def read(cls, name, path):
        """The model of a file, of plain rope."""
        reader = gguf.GGUFReader(path)

        def key(name):
            return reader.get_field("llama." + name).contents()
        model = cls(name, layers=key("block_count"), embd=key("embedding_length"),
                    heads=key("attention.head_count"), kv_heads=key("attention.head_count_kv"),
                    ff=key("feed_forward_length"), base=key("rope.freq_base"),
                    context=key("context_length"))
        model.eps = key("attention.layer_norm_rms_epsilon")
        for t in reader.tensors:
            values = quants.dequantize(t.data, t.tensor_type).astype(np.float32)
            model.tensors[t.name] = (t.data, t.tensor_type, values)
        model.vocab = model.tensors["token_embd.weight"][2].shape[0]
        model.tied = "output.weight" not in model.tensors
        return model

    def llama3_factors(self):
        """What divides each frequency (Llama 3.1): long waves by factor, short ones not at all."""
        r = self.rope
        freq = 1.0 / self.base ** (np.arange(0, self.head_dim, 2) / self.head_dim)
        wave = 2 * math.pi / freq
        original = r["original_max_position_embeddings"]
        smooth = (original / wave - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
        smooth = np.clip(smooth, 0, 1)
        return (1 / ((1 - smooth) / r["factor"] + smooth)).astype(np.float32)

    def write(self, path):
        w = gguf.GGUFWriter(path, self.arch)
        w.add_block_count(self.layers)
        w.add_context_length(self.context)
        w.add_embedding_length(self.embd)
        w.add_feed_forward_length(self.ff)
        w.add_head_count(self.heads)
        w.add_head_count_kv(self.kv_heads)
        if self.writes_head_size:
            w.add_key_length(self.head_dim)
            w.add_value_length(self.head_dim)
        w.add_layer_norm_rms_eps(self.eps)
        w.add_rope_dimension_count(int(self.head_dim * self.partial))
        w.add_rope_freq_base(self.base)
        if self.rope.get("rope_type") in ("linear", "yarn"):
            w.add_string(self.arch + ".rope.scaling.type", self.rope["rope_type"])
            w.add_rope_scaling_factor(self.rope["factor"])
            if "original_max_position_embeddings" in self.rope:
                w.add_rope_scaling_orig_ctx_len(self.rope["original_max_position_embeddings"])
        self.more_keys(w)
        matrices = {f"blk.{i}.{what}" for i in range(self.layers) for what, *_ in self.matrices()} | {"output"}
        for name in sorted(matrices) if self.factors is not None else []:
            if f"{name}.weight" in self.tensors:
                self.factors[f"{name}.weight"] = factor = np.float32(self.rng.uniform(0.6, 1.4))
                w.add_tensor(f"{name}.scale", np.array([factor]))
                w.add_tensor(f"{name}.input_scale", np.array([0.01], dtype=np.float32))
        for name, (data, kind, _) in self.tensors.items():
            w.add_tensor(name, data, raw_dtype=None if kind == F32 else kind)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def more_keys(self, writer):
        """What an architecture has of its own."""

    def more_config(self):
        return dict(attention_bias=self.bias, mlp_bias=self.bias, hidden_act="silu")

    def rope_config(self):
        if int(transformers.__version__.split(".")[0]) >= 5:
            return {"rope_parameters": {"rope_type": "default", **self.rope, "rope_theta": self.base}}
        return {"rope_theta": self.base, "rope_scaling": self.rope or None}

    def config(self):
        args = dict(vocab_size=self.vocab, hidden_size=self.embd, intermediate_size=self.ff,
                    num_hidden_layers=self.layers, num_attention_heads=self.heads,
                    num_key_value_heads=self.kv_heads, head_dim=self.head_dim, rms_norm_eps=self.eps,
                    max_position_embeddings=self.context, tie_word_embeddings=self.tied,
                    attn_implementation="eager")
        for name in self.no_config:
            del args[name]
        return self.config_class(**args, **self.rope_config(), **self.more_config())

    def convert(self, part, values):
        """The name that transformers gives to blk.N.<what>.<end>, and its values; None: none."""
        if self.permuted and part[2] in ("attn_q", "attn_k"):
            values = unpermute(values, self.heads if part[2] == "attn_q" else self.kv_heads)
        return f"{self.layer_prefix}.{part[1]}.{self.modules[part[2]]}.{part[3]}", values

    def reference(self):
        """transformers' model with these weights."""
        model = self.causal_lm(self.config()).float().eval()
        state = {}
        for name, (_, _, values) in self.tensors.items():
            if values is None:
                continue
            values = values * (self.factors or {}).get(name, np.float32(1))
            part = name.split(".")
            if "norm" in name and name.endswith(".weight"):
                values = values - np.float32(self.norm_offset)
            if part[0] == "blk":
                name, values = self.convert(part, values)
            else:
                name = self.globals[name]
            if name:
                state[name] = torch.from_numpy(np.ascontiguousarray(values))
        if self.tied:
            state[self.globals["output.weight"]] = state[self.globals["token_embd.weight"]]
        model.load_state_dict(state, strict=True)
        return model


def round_activations(model):
    """What 8-bit activations cost at least: every matrix gets blocks of 32 on 255 levels."""
    def rounded(module, args):
        blocks = args[0].unflatten(-1, (-1, 32))
        d = blocks.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
        return ((blocks / d).round() * d).flatten(-2)

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(rounded)
