"""Small seeded encoders, twice: as a GGUF file and as transformers' model. See tiny_llama.py."""
import math

import gguf
import numpy as np
import torch
import transformers
from gguf import quants

F32 = gguf.GGMLQuantizationType.F32
MEAN, CLS, LAST, RANK = 1, 2, 3, 4


class TinyBert:
    """post-norm, learned positions, token types, GELU by erf, biases everywhere."""
    arch = "bert"
    layer_names = {"attn_q": "attention.self.query", "attn_k": "attention.self.key",
                   "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
                   "attn_output_norm": "attention.output.LayerNorm",
                   "ffn_up": "intermediate.dense", "ffn_down": "output.dense",
                   "layer_output_norm": "output.LayerNorm"}
    names = {"token_embd.weight": "embeddings.word_embeddings.weight",
             "token_types.weight": "embeddings.token_type_embeddings.weight",
             "position_embd.weight": "embeddings.position_embeddings.weight",
             "token_embd_norm.weight": "embeddings.LayerNorm.weight",
             "token_embd_norm.bias": "embeddings.LayerNorm.bias"}
    layer_prefix = "encoder.layer."

    def __init__(self, name, kind="F32", layers=3, embd=96, heads=4, ff=160, vocab=300, context=80,
                 pooling=MEAN, types=2, seed=3):
        self.name, self.kind = name, gguf.GGMLQuantizationType[kind]
        self.layers, self.embd, self.heads, self.ff = layers, embd, heads, ff
        self.vocab, self.context, self.pooling, self.types = vocab, context, pooling, types
        self.eps, self.sep = 1e-12, 2
        self.rng = np.random.default_rng(seed)
        self.tensors = {}

    def matrix(self, name, rows, cols, std=None):
        w = self.rng.normal(0, std or 1 / math.sqrt(cols), (rows, cols)).astype(np.float32)
        data = w if self.kind == F32 else quants.quantize(w, self.kind)
        values = data if self.kind == F32 else quants.dequantize(data, self.kind)
        self.tensors[name] = (data, self.kind, np.ascontiguousarray(values, dtype=np.float32))

    def table(self, name, rows, std):
        w = self.rng.normal(0, std, (rows, self.embd)).astype(np.float32)
        self.tensors[name] = (w, F32, w)

    def vector(self, name, n, mean, std):
        w = self.rng.normal(mean, std, n).astype(np.float32)
        self.tensors[name] = (w, F32, w)

    def norm(self, name):
        self.vector(name + ".weight", self.embd, 1, 0.2)
        self.vector(name + ".bias", self.embd, 0, 0.2)

    def matrices(self):
        e, f = self.embd, self.ff
        return [("attn_q", e, e), ("attn_k", e, e), ("attn_v", e, e), ("attn_output", e, e),
                ("ffn_up", f, e), ("ffn_down", e, f)]

    def biased(self):
        return True

    def build(self):
        self.table("token_embd.weight", self.vocab, 1)
        self.table("token_types.weight", self.types, 0.5)
        self.positions()
        self.norm("token_embd_norm")
        for i in range(self.layers):
            for name, rows, cols in self.matrices():
                self.matrix(f"blk.{i}.{name}.weight", rows, cols)
                if self.biased():
                    self.vector(f"blk.{i}.{name}.bias", rows, 0, 0.2)
            self.norm(f"blk.{i}.attn_output_norm")
            self.norm(f"blk.{i}.layer_output_norm")
        if self.pooling == RANK:
            self.matrix("cls.weight", self.embd, self.embd)
            self.vector("cls.bias", self.embd, 0, 0.2)
            w = self.rng.normal(0, 1, (1, self.embd)).astype(np.float32)
            self.tensors["cls.output.weight"] = (w, F32, w)
            self.vector("cls.output.bias", 1, 0, 1)
        return self

    def positions(self):
        self.table("position_embd.weight", self.context, 0.5)

    def write(self, path):
        w = gguf.GGUFWriter(path, self.arch)
        w.add_block_count(self.layers)
        w.add_context_length(self.context)
        w.add_embedding_length(self.embd)
        w.add_feed_forward_length(self.ff)
        w.add_head_count(self.heads)
        w.add_layer_norm_eps(self.eps)
        w.add_causal_attention(False)
        w.add_pooling_type(gguf.PoolingType(self.pooling))
        self.more_keys(w)
        # A vocabulary, so that the separator of pairs is known.
        w.add_tokenizer_model("bert")
        w.add_token_list(["[UNK]", "[CLS]", "[SEP]"] +
                         [f"\u2581w{i}" for i in range(self.vocab - 3)])
        w.add_token_types([2, 3, 3] + [1] * (self.vocab - 3))
        w.add_unk_token_id(0)
        w.add_bos_token_id(1)
        w.add_sep_token_id(2)
        for name, (data, kind, _) in self.tensors.items():
            w.add_tensor(name, data, raw_dtype=None if kind == F32 else kind)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def more_keys(self, writer):
        pass

    def config(self):
        return dict(vocab_size=self.vocab, hidden_size=self.embd, intermediate_size=self.ff,
                    num_hidden_layers=self.layers, num_attention_heads=self.heads,
                    max_position_embeddings=self.context, type_vocab_size=self.types,
                    layer_norm_eps=self.eps, hidden_act="gelu", attn_implementation="eager")

    def make(self):
        config = transformers.BertConfig(**self.config(), num_labels=1)
        if self.pooling == RANK:
            return transformers.BertForSequenceClassification(config), "bert."
        return transformers.BertModel(config, add_pooling_layer=False), ""

    def rename(self, name):
        part = name.split(".")
        if part[0] == "blk":
            return f"{self.layer_prefix}{part[1]}.{self.layer_names[part[2]]}.{part[3]}"
        if part[0] == "cls":
            return None
        return self.names[name]

    def reference(self):
        model, prefix = self.make()
        model = model.float().eval()
        state = {prefix + self.rename(name): torch.from_numpy(values)
                 for name, (_, _, values) in self.tensors.items() if self.rename(name)}
        if self.pooling == RANK:
            for theirs, ours in (("bert.pooler.dense", "cls"), ("classifier", "cls.output")):
                for what in ("weight", "bias"):
                    state[f"{theirs}.{what}"] = torch.from_numpy(self.tensors[f"{ours}.{what}"][2])
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and all("position_ids" in m or "token_type_ids" in m for m in missing), \
            (missing, unexpected)
        return model

    def vector_of(self, model, text):
        """The vector of one text, in double precision from transformers' single one."""
        ids = torch.tensor([text])
        types = torch.zeros_like(ids)
        if self.pooling == RANK:
            if self.types > 1 and self.sep in text:
                types[0, text.index(self.sep) + 1:] = 1
            with torch.no_grad():
                return model(input_ids=ids, token_type_ids=types).logits[0].double()
        with torch.no_grad():
            hidden = model(input_ids=ids, token_type_ids=types).last_hidden_state[0].double()
        row = {MEAN: hidden.mean(0), CLS: hidden[0], LAST: hidden[-1]}[self.pooling]
        return row / row.norm()


class TinyNomic(TinyBert):
    """rope, a gate, no biases; q, k and v in one matrix."""
    arch = "nomic-bert"
    layer_names = {"attn_output": "self_attn.o_proj", "attn_output_norm": "post_attention_layernorm",
                   "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
                   "ffn_down": "mlp.down_proj", "layer_output_norm": "post_mlp_layernorm"}
    layer_prefix = "layers."

    def matrices(self):
        e, f = self.embd, self.ff
        return [("attn_qkv", 3 * e, e), ("attn_output", e, e), ("ffn_gate", f, e), ("ffn_up", f, e),
                ("ffn_down", e, f)]

    def biased(self):
        return False

    def positions(self):
        pass

    def more_keys(self, writer):
        writer.add_rope_freq_base(1000.0)

    def make(self):
        config = self.config()
        config["hidden_act"] = "silu"
        return transformers.NomicBertModel(transformers.NomicBertConfig(
            **config, rope_parameters={"rope_type": "default", "rope_theta": 1000.0})), ""

    def reference(self):
        for i in range(self.layers):
            qkv = self.tensors[f"blk.{i}.attn_qkv.weight"][2]
            for k, part in enumerate("qkv"):
                self.layer_names = {**self.layer_names, f"{part}": f"self_attn.{part}_proj"}
                self.tensors[f"blk.{i}.{part}.weight"] = (
                    None, None, np.ascontiguousarray(qkv[k * self.embd:(k + 1) * self.embd]))
        return super().reference()

    def rename(self, name):
        return None if "attn_qkv" in name else super().rename(name)
