"""Small seeded models of the families that differ more from llama: mixtures of experts, BitNet,
Granite, and those with LayerNorm and a plain feed-forward. See tiny_llama.py.
"""
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType

from tiny_families import TinyQwen2, TinyQwen3
from tiny_llama import TinyLlama

F32 = GGMLQuantizationType.F32


class TinyMixture(TinyLlama):
    """Mixtral: llama's files with experts."""
    causal_lm, config_class = transformers.MixtralForCausalLM, transformers.MixtralConfig
    router = "mlp.gate.weight"
    prefix = "mlp.experts"

    def __init__(self, name, experts=8, used=2, ff_expert=None, **args):
        super().__init__(name, **args)
        self.experts, self.used, self.ff_expert = experts, used, ff_expert or self.ff

    def matrices(self):
        return [m for m in super().matrices() if not m[0].startswith("ffn")]

    def build(self):
        super().build()
        for i in range(self.layers):
            b = f"blk.{i}."
            w = self.rng.normal(0, 2 / np.sqrt(self.embd), (self.experts, self.embd))
            self.tensors[b + "ffn_gate_inp.weight"] = (w.astype(np.float32), F32,
                                                       w.astype(np.float32))
            for what, rows, cols in (("gate", self.ff_expert, self.embd),
                                     ("up", self.ff_expert, self.embd),
                                     ("down", self.embd, self.ff_expert)):
                self.matrix(f"{b}ffn_{what}_exps.weight", self.experts * rows, cols)
                data, kind, values = self.tensors[f"{b}ffn_{what}_exps.weight"]
                self.tensors[f"{b}ffn_{what}_exps.weight"] = (
                    data.reshape(self.experts, rows, -1), kind,
                    values.reshape(self.experts, rows, cols))
        return self

    def more_keys(self, writer):
        writer.add_expert_count(self.experts)
        writer.add_expert_used_count(self.used)
        if self.ff_expert != self.ff:
            writer.add_expert_feed_forward_length(self.ff_expert)

    def more_config(self):
        return {"num_local_experts": self.experts, "num_experts_per_tok": self.used,
                "sliding_window": None}

    def convert(self, part, values):
        prefix = f"model.layers.{part[1]}."
        if part[2] == "ffn_gate_inp":
            return prefix + self.router, values
        if part[2] == "ffn_gate_exps":
            up = self.tensors[f"blk.{part[1]}.ffn_up_exps.weight"][2]
            return f"{prefix}{self.prefix}.gate_up_proj", np.concatenate([values, up], axis=1)
        if part[2] == "ffn_up_exps":
            return None, None
        if part[2] == "ffn_down_exps":
            return f"{prefix}{self.prefix}.down_proj", values
        return super().convert(part, values)


class TinyQwen3Moe(TinyMixture, TinyQwen3):
    arch = "qwen3moe"
    causal_lm, config_class = transformers.Qwen3MoeForCausalLM, transformers.Qwen3MoeConfig
    permuted, modules, norms = False, TinyQwen3.modules, TinyQwen3.norms

    def more_config(self):
        return {"num_experts": self.experts, "num_experts_per_tok": self.used,
                "moe_intermediate_size": self.ff_expert, "norm_topk_prob": True,
                "decoder_sparse_step": 1, "mlp_only_layers": []}


class TinyQwen2Moe(TinyMixture, TinyQwen2):
    arch = "qwen2moe"
    causal_lm, config_class = transformers.Qwen2MoeForCausalLM, transformers.Qwen2MoeConfig
    permuted = False

    def __init__(self, name, ff_shared=128, **args):
        super().__init__(name, **args)
        self.ff_shared = ff_shared

    def matrices(self):
        qkv = [m for m in TinyQwen2.matrices(self) if not m[0].startswith("ffn")]
        return qkv + [("ffn_gate_shexp", self.ff_shared, self.embd, False),
                      ("ffn_up_shexp", self.ff_shared, self.embd, False),
                      ("ffn_down_shexp", self.embd, self.ff_shared, False)]

    modules = {**TinyLlama.modules, "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
               "ffn_up_shexp": "mlp.shared_expert.up_proj",
               "ffn_down_shexp": "mlp.shared_expert.down_proj"}

    def build(self):
        super().build()
        for i in range(self.layers):
            self.vector(f"blk.{i}.ffn_gate_inp_shexp.weight", self.embd, 0, 0.1)
        return self

    def convert(self, part, values):
        if part[2] == "ffn_gate_inp_shexp":
            return f"model.layers.{part[1]}.mlp.shared_expert_gate.weight", values.reshape(1, -1)
        return super().convert(part, values)

    def more_keys(self, writer):
        super().more_keys(writer)
        writer.add_expert_shared_feed_forward_length(self.ff_shared)

    def more_config(self):
        return {"num_experts": self.experts, "num_experts_per_tok": self.used,
                "moe_intermediate_size": self.ff_expert, "norm_topk_prob": False,
                "shared_expert_intermediate_size": self.ff_shared, "decoder_sparse_step": 1,
                "mlp_only_layers": [], "qkv_bias": True}


FACTORS = {"embedding_multiplier": 6.0, "residual_multiplier": 0.3, "logits_scaling": 4.0,
           "attention_multiplier": 0.09}


def granite_keys(writer):
    writer.add_embedding_scale(FACTORS["embedding_multiplier"])
    writer.add_residual_scale(FACTORS["residual_multiplier"])
    writer.add_logit_scale(FACTORS["logits_scaling"])
    writer.add_attention_scale(FACTORS["attention_multiplier"])


class TinyGranite(TinyLlama):
    arch = "granite"
    causal_lm, config_class = transformers.GraniteForCausalLM, transformers.GraniteConfig

    def more_keys(self, writer):
        granite_keys(writer)

    def more_config(self):
        return {**super().more_config(), **FACTORS}


class TinyGraniteMoe(TinyMixture):
    arch = "granitemoe"
    causal_lm, config_class = transformers.GraniteMoeForCausalLM, transformers.GraniteMoeConfig

    def more_keys(self, writer):
        super().more_keys(writer)
        granite_keys(writer)

    def more_config(self):
        return {**super().more_config(), **FACTORS}

    router, prefix = "block_sparse_moe.router.weight", "block_sparse_moe.experts"


class TinySmolLM3(TinyLlama):
    arch = "smollm3"
    causal_lm, config_class = transformers.SmolLM3ForCausalLM, transformers.SmolLM3Config

    def more_config(self):
        return {"hidden_act": "silu", "use_sliding_window": False, "pad_token_id": 0}


class TinyBitnet(TinyLlama):
    """scales: each matrix has a factor in a tensor of its own, as the ternary types' files do."""
    arch = "bitnet-b1.58"
    causal_lm, config_class = transformers.BitNetForCausalLM, transformers.BitNetConfig
    permuted = False
    modules = {**TinyLlama.modules, "attn_sub_norm": "self_attn.attn_sub_norm",
               "ffn_sub_norm": "mlp.ffn_sub_norm"}

    def __init__(self, name, scales=True, silu=False, **args):
        super().__init__(name, **args)
        self.scales, self.silu = scales, silu
        if silu:
            self.arch = "bitnet"

    def norms(self):
        return super().norms() + [("attn_sub_norm", self.heads * self.head_dim),
                                  ("ffn_sub_norm", self.ff)]

    def build(self):
        super().build()
        for i in range(self.layers if self.scales else 0):
            for what, *_ in self.matrices():
                self.vector(f"blk.{i}.{what}.scale", 1, 0.8, 0.2)
        return self

    def convert(self, part, values):
        if part[3] == "scale":
            return None, None
        scale = self.tensors.get(".".join(part[:3]) + ".scale")
        name, values = super().convert(part, values)
        return name, values * scale[2] if scale else values

    def more_config(self):
        return {"hidden_act": "silu" if self.silu else "relu2", "pad_token_id": 0}


class TinyPlain(TinyLlama):
    """LayerNorm with bias, biases everywhere, no gate; Starcoder 2 as it stands."""
    arch = "starcoder2"
    causal_lm, config_class = transformers.Starcoder2ForCausalLM, transformers.Starcoder2Config
    permuted = False
    modules = {**TinyLlama.modules, "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
    globals = TinyLlama.globals
    norm_bias = True

    def matrices(self):
        return [(what, rows, cols, True) for what, rows, cols, _ in super().matrices()
                if what != "ffn_gate"]

    def build(self):
        super().build()
        for i in range(self.layers):
            for what, n in self.norms():
                self.vector(f"blk.{i}.{what}.bias", n, 0, 0.3)
        self.vector("output_norm.bias", self.embd, 0, 0.3)
        return self

    def more_keys(self, writer):
        writer.add_layer_norm_eps(self.eps)

    def more_config(self):
        return {"hidden_act": "gelu_pytorch_tanh", "use_bias": True, "norm_epsilon": self.eps,
                "sliding_window": None}


class TinyFused(TinyPlain):
    """q, k and v in one matrix, their rows one after the other."""
    def matrices(self):
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        plain = [m for m in super().matrices() if m[0] not in ("attn_q", "attn_k", "attn_v")]
        return [("attn_qkv", q + 2 * kv, self.embd, True)] + plain

    def interleave(self, values):
        """transformers' order: for each KV head its queries, its key, its value."""
        d, n, kv = self.head_dim, self.heads // self.kv_heads, self.kv_heads
        rest = values.shape[1:]
        q = values[:self.heads * d].reshape(kv, n, d, *rest)
        k = values[self.heads * d:(self.heads + kv) * d].reshape(kv, 1, d, *rest)
        v = values[(self.heads + kv) * d:].reshape(kv, 1, d, *rest)
        return np.concatenate([q, k, v], axis=1).reshape(values.shape)


class TinyNeoX(TinyFused):
    arch = "gptneox"
    causal_lm, config_class = transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig
    layer_prefix = "gpt_neox.layers"
    modules = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
               "attn_qkv": "attention.query_key_value", "attn_output": "attention.dense",
               "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"}
    globals = {"token_embd.weight": "gpt_neox.embed_in.weight", "output.weight": "lm_head.weight",
               "output_norm.weight": "gpt_neox.final_layer_norm.weight",
               "output_norm.bias": "gpt_neox.final_layer_norm.bias"}

    def __init__(self, name, partial=0.25, parallel=True, **args):
        super().__init__(name, **args)
        self.partial, self.parallel = partial, parallel

    def convert(self, part, values):
        name, values = super().convert(part, values)
        return name, self.interleave(values) if part[2] == "attn_qkv" else values

    def more_keys(self, writer):
        super().more_keys(writer)
        writer.add_parallel_residual(self.parallel)

    def rope_config(self):
        return {"rope_parameters": {"rope_type": "default", "rope_theta": self.base,
                                    "partial_rotary_factor": self.partial}}

    def more_config(self):
        return {"hidden_act": "gelu", "layer_norm_eps": self.eps,
                "use_parallel_residual": self.parallel, "rotary_pct": self.partial}


class TinyFalcon(TinyFused):
    """norms: 1 as the 7B, 2 as the 40B."""
    arch = "falcon"
    no_config = ("head_dim",)
    causal_lm, config_class = transformers.FalconForCausalLM, transformers.FalconConfig
    layer_prefix = "transformer.h"
    globals = {"token_embd.weight": "transformer.word_embeddings.weight",
               "output.weight": "lm_head.weight", "output_norm.weight": "transformer.ln_f.weight",
               "output_norm.bias": "transformer.ln_f.bias"}

    def __init__(self, name, two=False, **args):
        super().__init__(name, **args)
        self.two = two
        self.modules = {"attn_qkv": "self_attention.query_key_value",
                        "attn_output": "self_attention.dense", "ffn_up": "mlp.dense_h_to_4h",
                        "ffn_down": "mlp.dense_4h_to_h",
                        "attn_norm": "ln_mlp" if two else "input_layernorm",
                        "attn_norm_2": "ln_attn"}

    def matrices(self):
        return [(what, rows, cols, False) for what, rows, cols, _ in super().matrices()]

    def norms(self):
        return [("attn_norm", self.embd)] + ([("attn_norm_2", self.embd)] if self.two else [])

    def convert(self, part, values):
        name, values = super().convert(part, values)
        if part[2] == "attn_qkv":
            values = self.interleave(values)
        return name, values

    def more_config(self):
        return {"layer_norm_epsilon": self.eps, "new_decoder_architecture": self.two,
                "num_kv_heads": self.kv_heads, "multi_query": self.kv_heads == 1,
                "parallel_attn": True, "bias": False, "alibi": False, "activation": "gelu",
                "ffn_hidden_size": self.ff, "num_ln_in_parallel_attn": 2 if self.two else None}


class TinyPhi2(TinyPlain):
    """q, k and v by themselves; the rows of one matrix in files of the first converters."""
    arch = "phi2"
    causal_lm, config_class = transformers.PhiForCausalLM, transformers.PhiConfig
    modules = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
               "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
               "attn_output": "self_attn.dense", "ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2"}
    globals = {**TinyLlama.globals, "output_norm.weight": "model.final_layernorm.weight",
               "output_norm.bias": "model.final_layernorm.bias", "output.bias": "lm_head.bias"}
    partial = 0.5

    def norms(self):
        return [("attn_norm", self.embd)]

    def build(self):
        super().build()
        self.vector("output.bias", self.vocab, 0, 0.3)
        return self

    def write(self, path):
        tensors = self.tensors
        if self.fused:
            self.tensors = dict(tensors)
            for i in range(self.layers):
                for end in ("weight", "bias"):
                    parts = [self.tensors.pop(f"blk.{i}.attn_{c}.{end}") for c in "qkv"]
                    self.tensors[f"blk.{i}.attn_qkv.{end}"] = (
                        np.concatenate([p[0] for p in parts]), parts[0][1], None)
        super().write(path)
        self.tensors = tensors

    def __init__(self, name, fused=False, **args):
        super().__init__(name, **args)
        self.fused = fused

    def rope_config(self):
        return {"rope_parameters": {"rope_type": "default", "rope_theta": self.base,
                                    "partial_rotary_factor": self.partial}}

    def more_config(self):
        return {"hidden_act": "gelu_new", "layer_norm_eps": self.eps,
                "partial_rotary_factor": self.partial}


class TinyGPT2(TinyFused):
    arch = "gpt2"
    causal_lm, config_class = transformers.GPT2LMHeadModel, transformers.GPT2Config
    layer_prefix = "transformer.h"
    modules = {"attn_norm": "ln_1", "ffn_norm": "ln_2", "attn_qkv": "attn.c_attn",
               "attn_output": "attn.c_proj", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
    globals = {"token_embd.weight": "transformer.wte.weight", "output.weight": "lm_head.weight",
               "position_embd.weight": "transformer.wpe.weight",
               "output_norm.weight": "transformer.ln_f.weight",
               "output_norm.bias": "transformer.ln_f.bias"}
    transposed = True  # GPT-2's Conv1D keeps matrices the other way round

    def build(self):
        super().build()
        self.matrix("position_embd.weight", self.context, self.embd, 0.5)
        return self

    def convert(self, part, values):
        name, values = super().convert(part, values)
        if self.transposed and part[2] in self.modules and values.ndim == 2:
            values = values.T
        return name, values

    def rope_config(self):
        return {}

    def more_config(self):
        return {"activation_function": "gelu_new", "layer_norm_epsilon": self.eps,
                "n_inner": self.ff, "n_positions": self.context}


class TinyStarcoder(TinyGPT2):
    arch = "starcoder"
    causal_lm, config_class = transformers.GPTBigCodeForCausalLM, transformers.GPTBigCodeConfig
    transposed = False

    def more_config(self):
        return {**super().more_config(), "activation_function": "gelu_pytorch_tanh",
                "multi_query": self.kv_heads == 1}

    def convert(self, part, values):
        name, values = super().convert(part, values)
        if part[2] == "attn_qkv" and self.kv_heads > 1:
            values = self.interleave(values)
        return name, values


MORE = {"mixtral": TinyMixture, **{c.arch: c for c in (
    TinyQwen3Moe, TinyQwen2Moe, TinyGranite, TinyGraniteMoe, TinySmolLM3, TinyBitnet, TinyPlain,
    TinyNeoX, TinyFalcon, TinyPhi2, TinyGPT2, TinyStarcoder)}}
