"""Small seeded models of the architectures beside llama; see tiny_llama.py. Each class is what the
family's files and transformers' model have of their own.
"""
import math

import transformers
from gguf import GGMLQuantizationType

import numpy as np

from tiny_llama import TinyLlama


class TinyQwen2(TinyLlama):
    arch = "qwen2"
    causal_lm, config_class = transformers.Qwen2ForCausalLM, transformers.Qwen2Config
    permuted = False

    def matrices(self):
        return [(what, rows, cols, what in ("attn_q", "attn_k", "attn_v"))
                for what, rows, cols, _ in super().matrices()]

    def more_config(self):
        return {"hidden_act": "silu"}


class TinyQwen3(TinyQwen2):
    arch = "qwen3"
    causal_lm, config_class = transformers.Qwen3ForCausalLM, transformers.Qwen3Config
    modules = {**TinyLlama.modules, "attn_q_norm": "self_attn.q_norm",
               "attn_k_norm": "self_attn.k_norm"}

    def matrices(self):
        return TinyLlama.matrices(self)

    def norms(self):
        return super().norms() + [("attn_q_norm", self.head_dim), ("attn_k_norm", self.head_dim)]


class TinyPhi3(TinyLlama):
    """q, k, v in one matrix, gate and up in another; rope: LongRoPE's dictionary or none."""
    arch = "phi3"
    causal_lm, config_class = transformers.Phi3ForCausalLM, transformers.Phi3Config
    permuted = writes_head_size = False
    modules = {**TinyLlama.modules, "attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}

    def __init__(self, name, window=0, partial=1.0, **args):
        super().__init__(name, **args)
        self.window, self.partial = window, partial
        self.original = self.rope.get("original_max_position_embeddings", self.context)
        if self.server_context > self.original:
            self.least_length = self.original + 1

    def matrices(self):
        fused = (self.heads + 2 * self.kv_heads) * self.head_dim
        return [("attn_qkv", fused, self.embd, False),
                ("attn_output", self.embd, self.heads * self.head_dim, False),
                ("ffn_up", 2 * self.ff, self.embd, False), ("ffn_down", self.embd, self.ff, False)]

    def build(self):
        super().build()
        for which in ("long", "short") if self.rope else ():
            factors = np.array(self.rope[which + "_factor"], dtype=np.float32)
            self.tensors[f"rope_factors_{which}.weight"] = (factors, GGMLQuantizationType.F32, None)
        return self

    def more_keys(self, writer):
        writer.add_sliding_window(self.window)
        writer.add_rope_scaling_orig_ctx_len(self.original)
        if self.rope:
            scale = self.context / self.original
            writer.add_rope_scaling_attn_factors(
                math.sqrt(1 + math.log(scale) / math.log(self.original)))

    def rope_config(self):
        rope = super().rope_config()
        if "rope_parameters" in rope:
            rope["rope_parameters"]["partial_rotary_factor"] = self.partial
        return {**rope, "partial_rotary_factor": self.partial,
                "original_max_position_embeddings": self.original}

    def more_config(self):
        return {"hidden_act": "silu", "sliding_window": self.window or None, "pad_token_id": 0,
                "eos_token_id": 0}


class TinyGemma2(TinyLlama):
    """sharp: multiplies embeddings, queries and keys, so that large softcaps count."""
    arch = "gemma2"
    causal_lm, config_class = transformers.Gemma2ForCausalLM, transformers.Gemma2Config
    permuted, norm_offset = False, 1
    modules = {**TinyLlama.modules, "post_attention_norm": "post_attention_layernorm",
               "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}

    def __init__(self, name, window, scalar=None, writes_scalar=True, attn_cap=None,
                 output_cap=None, sharp=1.0, **args):
        super().__init__(name, tied=True, **args)
        self.window, self.scalar, self.writes_scalar = window, scalar, writes_scalar
        self.attn_cap, self.output_cap, self.sharp = attn_cap, output_cap, sharp

    def matrix(self, name, rows, cols, std=None):
        sharp = self.sharp if any(s in name for s in ("token_embd", "attn_q", "attn_k")) else 1.0
        super().matrix(name, rows, cols, sharp * (std or 1.0 / math.sqrt(cols)))

    def norms(self):
        return super().norms() + [("post_attention_norm", self.embd), ("post_ffw_norm", self.embd)]

    def more_keys(self, writer):
        writer.add_sliding_window(self.window)
        if self.scalar and self.writes_scalar:
            writer.add_attention_scale(self.scalar ** -0.5)
        if self.attn_cap:
            writer.add_attn_logit_softcapping(self.attn_cap)
        if self.output_cap:
            writer.add_final_logit_softcapping(self.output_cap)

    def more_config(self):
        caps = {}
        if self.attn_cap:
            caps["attn_logit_softcapping"] = self.attn_cap
        if self.output_cap:
            caps["final_logit_softcapping"] = self.output_cap
        return {"hidden_activation": "gelu_pytorch_tanh", "sliding_window": self.window,
                "query_pre_attn_scalar": self.scalar or self.head_dim, **caps}


class TinyGemma3(TinyGemma2):
    """pattern: None, the period of 6 that files do not write, or another that this one does."""
    arch = "gemma3"
    causal_lm, config_class = transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig
    modules = {**TinyGemma2.modules, "attn_q_norm": "self_attn.q_norm",
               "attn_k_norm": "self_attn.k_norm"}

    def __init__(self, name, pattern=None, **args):
        super().__init__(name, base=1e6, **args)
        self.pattern = pattern

    def norms(self):
        return super().norms() + [("attn_q_norm", self.head_dim), ("attn_k_norm", self.head_dim)]

    def more_keys(self, writer):
        super().more_keys(writer)
        if self.pattern:
            writer.add_sliding_window_pattern(self.pattern)

    def rope_config(self):
        if int(transformers.__version__.split(".", maxsplit=1)[0]) >= 5:
            whole = {"rope_type": "default", **self.rope, "rope_theta": self.base}
            local = {"rope_type": "default", "rope_theta": 10000.0}
            return {"rope_parameters": {"full_attention": whole, "sliding_attention": local}}
        return {**super().rope_config(), "rope_local_base_freq": 10000.0}

    def more_config(self):
        period = self.pattern or 6
        kinds = ["sliding_attention" if (i + 1) % period else "full_attention"
                 for i in range(self.layers)]
        return {**super().more_config(), "layer_types": kinds}


FAMILIES = {c.arch: c for c in (TinyLlama, TinyQwen2, TinyQwen3, TinyPhi3, TinyGemma2, TinyGemma3)}
