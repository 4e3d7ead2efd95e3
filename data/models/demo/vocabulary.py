"""The byte-level BPE vocabulary: learned from the corpus, kept as one JSON file.

Text is cut as GPT-2 cuts it (tokenizer.ggml.pre = gpt-2). While learning, each digit stands alone,
so that no token holds two digits and numbers are copied and counted digit by digit.
"""

import json
import random

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from .corpus import END, IM_END, IM_START, document, render

SPECIAL = [END, IM_START, IM_END]  # ids 0, 1, 2; all control tokens
_LEARN = Regex(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def learn(size, seed, documents, path):
    """Learn the merges from so many documents and write {"tokens": [...], "merges": [...]}."""
    rng = random.Random(seed)
    texts = []
    for _ in range(documents):
        kind, content = document(rng)
        texts += [content] if kind == "text" else [text for _, text in content]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(_LEARN, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"tokens": tokens, "merges": merges}, file, ensure_ascii=False)


class Vocabulary:
    """Text to ids and back, from a list of tokens and merges (the JSON file's or a GGUF's)."""

    def __init__(self, tokens, merges):
        self.tokens, self.merges = tokens, merges
        ids = {token: at for at, token in enumerate(tokens)}
        self.tokenizer = Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in merges]))
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        self.special = {token: ids[token] for token in SPECIAL}
        alphabet = _byte_alphabet()
        self.bytes = [token.encode() if token in SPECIAL else bytes(alphabet[sign] for sign in token)
                      for token in tokens]

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return cls(content["tokens"], content["merges"])

    def encode(self, text):
        """Ids of plain text: special tokens in it are read as ordinary signs."""
        return self.tokenizer.encode(text).ids

    def encode_marked(self, text):
        """Ids of a rendered chat: special tokens in it are themselves."""
        ids, rest = [], text
        while rest:
            found = [(rest.find(token), token) for token in SPECIAL if token in rest]
            if not found:
                return ids + self.encode(rest)
            at, token = min(found)
            ids += self.encode(rest[:at]) + [self.special[token]]
            rest = rest[at + len(token) :]
        return ids

    def decode(self, ids):
        return b"".join(self.bytes[at] for at in ids).decode("utf-8", errors="replace")

    def document(self, rng, held_out=False):
        """One document as (ids, learned flags)."""
        kind, content = document(rng, held_out)
        ids, learned = [], []
        # A third of the documents begin with a begin-of-text token: servers differ in adding one.
        if rng.random() < 0.33:
            ids, learned = [self.special[END]], [False]
        for text, flag in render(kind, content):
            part = self.encode_marked(text)
            ids += part
            learned += [flag] * len(part)
        return ids, learned


    def drill(self, rng):
        """Tokens drawn blindly, and then again: nothing but copying can foretell the second row."""
        row = [rng.randrange(len(SPECIAL), len(self.tokens)) for _ in range(rng.randint(3, rng.choice([8, 20, 50])))]
        end = self.special[IM_END]
        if rng.random() < 0.5:
            times = rng.randint(1, 2)
            return row + (row * times) + [end], [False] * len(row) + [True] * (len(row) * times) + [False]
        order = rng.choice(["Repeat: ", "Say: ", "Respond with: ", "Repeat after me: ", "Copy this: "])
        before = self.encode_marked(f"{IM_START}user\n{order}") + row
        before += self.encode_marked(f"{IM_END}\n{IM_START}assistant\n")
        return before + row + [end], [False] * len(before) + [True] * (len(row) + 1)


def _byte_alphabet():
    """GPT-2's signs for bytes: printable ones stand for themselves, the others for 256 onwards."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table.update({chr(256 + at): byte for at, byte in enumerate(other)})
    return table
