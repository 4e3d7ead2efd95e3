#!/usr/bin/env python3
"""Weir's tokenizers against the `tokenizers` package and SentencePiece, over vocabularies trained here and
thousands of random texts: WordPiece with and without case, unigram with and without a normaliser, byte-level
BPE with the regular expressions of each family of pre-tokenizers.

Where bytes are no UTF-8 there is no reference: byte-level BPE must give them back all the same.

Environment: WEIR_BUILD_ROOT; WEIR_TEST_PYTHON, an interpreter with tokenizers, gguf and sentencepiece;
WEIR_TEST_ROUNDS, texts of each case. Exit: 0 all right, 1 wrong, 77 skipped with a reason.
"""
import io
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

if os.environ.get("WEIR_TEST_PYTHON") and not os.environ.get("WEIR_ORACLE_CHILD"):
    os.environ["WEIR_ORACLE_CHILD"] = "1"
    os.execvp(os.environ["WEIR_TEST_PYTHON"], [os.environ["WEIR_TEST_PYTHON"]] + sys.argv)

try:
    import gguf
    import sentencepiece
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
except ImportError as missing:
    print(f"skipped: {missing}; set WEIR_TEST_PYTHON to a Python with tokenizers, gguf, sentencepiece")
    sys.exit(77)

BUILD = os.environ.get("WEIR_BUILD_ROOT", "build")
TOOL = os.path.join(BUILD, "tests/numeric/tokenize-tool")
ROUNDS = int(os.environ.get("WEIR_TEST_ROUNDS", "1500"))

WORDS = ("the sea is blue and a cat sat on the mat it's we'll they've I'M HELLO World camelCase don't naïve café "
         "Straße garçon über Ελλάδα κόσμος привет мир 日本語 東京 中国 한국어 漢字 ひらがな カタカナ नमस्ते ไทย עברית مرحبا "
         "12 345 6789 1234567 3.14 ½ Ⅷ ٣٤ , . ! ? -- ... (x) [y] {z} $5 = + ` ~ | _a_ \"q\" ’s “w” — 🚀 👩‍👩‍👧 é ñ ǅ ſ "
         "http://a.b/c?d=e#f x86_64 C++ #include").split()
BLANKS = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "    ", "\u00a0", "\u3000", ""]
# What the references' own tables, some of them old, agree on with everybody's.
OLD = unicodedata.ucd_3_2_0
RUNES = [c for c in map(chr, range(0x20, 0x2fa20)) if OLD.category(c) not in ("Cn", "Cs", "Co")
         and OLD.category(c) == unicodedata.category(c)]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.65:
            parts.append(rng.choice(WORDS))
        elif kind < 0.8:
            parts.append("".join(rng.choice(WORDS)[:rng.randrange(1, 4)] for _ in range(3)))
        elif kind < 0.9:
            parts.append("".join(rng.choice(RUNES) for _ in range(rng.randrange(1, 4))))
        else:
            parts.append("".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 9))))
        parts.append(rng.choice(BLANKS))
    return "".join(parts)


def texts_of(seed, n=None):
    rng = random.Random(seed)
    return ["", " ", "\n"] + [random_text(rng) for _ in range(n or ROUNDS)]


def encode(path, texts):
    frames = b"".join(b"%d\n%s" % (len(t), t) for t in texts)
    done = subprocess.run([TOOL, path], input=frames, capture_output=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return [[int(x) for x in line.split()] for line in done.stdout.decode().split("\n")[:-1]]


class File:
    """A file with a vocabulary and nothing else."""

    def __init__(self, path, model, tokens, types, **keys):
        w = gguf.GGUFWriter(path, "llama")
        w.add_tokenizer_model(model)
        w.add_token_list(tokens)
        w.add_token_types(types)
        for key, value in keys.items():
            getattr(w, "add_" + key)(value)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()


def wordpiece(path, lowercase):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tok.train_from_iterator(texts_of(1, 800), trainers.WordPieceTrainer(
        vocab_size=1200, special_tokens=special, show_progress=False, limit_alphabet=500))
    pieces = [tok.id_to_token(i) for i in range(tok.get_vocab_size())]
    File(path, "bert", [p if p in special else p[2:] if p.startswith("##") else "\u2581" + p for p in pieces],
         [3 if p in special else 1 for p in pieces], unk_token_id=1, bos_token_id=2, sep_token_id=3)
    return (lambda t: tok.encode(t, add_special_tokens=False).ids), None


def field(data, number):
    """The bytes of a protocol buffer's field, or None."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    found = None
    while at < len(data):
        key = varint()
        if key & 7 == 2:
            n = varint()
            if key >> 3 == number:
                found = data[at:at + n]
            at += n
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8
    return found


def unigram(path, normaliser, **more):
    model = io.BytesIO()
    corpus = [line for t in texts_of(2, 1500) for line in t.split("\n") if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type="unigram", vocab_size=1600,
        normalization_rule_name=normaliser, hard_vocab_limit=False, character_coverage=0.98,
        minloglevel=2, num_threads=1, **more)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    n = sp.get_piece_size()
    kinds = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in range(n)]
    keys = {"token_scores": [sp.get_score(i) for i in range(n)], "unk_token_id": sp.unk_id(),
            "remove_extra_whitespaces": more.get("remove_extra_whitespaces", True)}
    charsmap = field(field(model.getvalue(), 3), 2)
    if charsmap:
        keys["precompiled_charsmap"] = charsmap
    File(path, "t5", [sp.id_to_piece(i) for i in range(n)], kinds, **keys)


    def alike(a, b):
        """Two ways to cut a text that score the same but for rounding: which one is taken is chance."""
        def total(ids):
            return sum(sp.get_score(i) for i in ids if i != sp.unk_id())
        return sp.decode(a) == sp.decode(b) and a.count(sp.unk_id()) == b.count(sp.unk_id()) \
            and abs(total(a) - total(b)) < 1e-4

    return sp.encode, alike


TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
OTHER = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
DEEPSEEK = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
            r"""| ?[\p{P}\p{S}]+[\r\n]*|""" + TAIL)


def cased(suffix, digits, tail=r"[\r\n/]*", but=""):
    prefix = r"[^\r\n\p{L}\p{N}]?"
    return (f"{prefix}[{UPPER}{but}]*[{LOWER}{but}]+{suffix}|{prefix}[{UPPER}{but}]+[{LOWER}{but}]*{suffix}"
            rf"|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+{tail}|{TAIL}")


SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
FAMILIES = {
    "gpt-2": [GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "llama-bpe": [WORD + r"\p{N}{1,3}" + OTHER],
    "glm4": [WORD + r"\p{N}{1,3}" + OTHER],
    "qwen2": [WORD + r"\p{N}" + OTHER],
    "qwen35": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK],
    "tekken": [cased("", "")],
    "gpt-4o": [cased(SUFFIX, "{1,3}")],
    "kimi-k2": [r"\p{Han}+|" + cased(SUFFIX, "{1,3}", r"[\r\n]*", r"&&[^\p{Han}]")],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+", cased(SUFFIX, "")],
    "minicpm5": [r"\p{N}{1,3}", WORD + r"\p{N}+" + OTHER],
    "laguna": [r"[^\n]+|[\n]+", WORD + r"\p{N}" + OTHER],
    "chameleon": [r"([\t\n]|    |  )", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "superbpe": [r"\p{N}+", r"(?=(\p{N}{3})+(?!\p{N}))"],
    "viking": [" ?[^(\\s|.,!?…。，、।۔،)]+", r"\p{N}"],
}
IGNORES_MERGES = ("llama-bpe", "tekken", "youtu", "minicpm5")


def byte_level(path, name):
    ignores = name in IGNORES_MERGES
    tok = Tokenizer(models.BPE(ignore_merges=ignores))
    stages = [pre_tokenizers.Split(Regex(p), "isolated") for p in FAMILIES[name]]
    tok.pre_tokenizer = pre_tokenizers.Sequence(stages + [pre_tokenizers.ByteLevel(False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts_of(3, 800), trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    saved = os.path.dirname(path)
    tok.model.save(saved)
    with open(os.path.join(saved, "merges.txt"), encoding="utf-8") as file:
        merges = [line.rstrip("\n") for line in file if not line.startswith("#version")]
    pieces = [tok.id_to_token(i) for i in range(tok.get_vocab_size())]
    File(path, "gpt2", pieces, [1] * len(pieces), tokenizer_pre=name, token_merges=merges, add_bos_token=False)
    return (lambda t: tok.encode(t, add_special_tokens=False).ids), pieces


def gives_back(path, pieces):
    """Bytes that are no UTF-8 come back from byte-level BPE."""
    byte_of = {}
    extra = 256
    for b in range(256):
        shown = 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255
        byte_of[chr(b if shown else extra)] = b
        extra += not shown
    rng = random.Random(5)
    texts = []
    for text in texts_of(6, 300):
        data = bytearray(text.encode())
        for _ in range(rng.randrange(1, 5)):
            data.insert(rng.randrange(len(data) + 1), rng.randrange(128, 256))
        texts.append(bytes(data))
    got = encode(path, texts)
    return all(bytes(byte_of[c] for i in ids for c in pieces[i]) == t for ids, t in zip(got, texts))


CASES = {"wordpiece": lambda p: wordpiece(p, True), "wordpiece-cased": lambda p: wordpiece(p, False),
         "unigram": lambda p: unigram(p, "nmt_nfkc"), "unigram-identity": lambda p: unigram(p, "identity"),
         "unigram-bytes": lambda p: unigram(p, "nmt_nfkc", byte_fallback=True),
         "unigram-loose": lambda p: unigram(p, "nmt_nfkc", remove_extra_whitespaces=False),
         **{name: (lambda p, name=name: byte_level(p, name)) for name in FAMILIES}}


def check(name, folder):
    path = os.path.join(folder, "vocab.gguf")
    reference, more = CASES[name](path)
    texts = texts_of(4)
    got = encode(path, [t.encode() for t in texts])
    differ = [(t, a, b) for t, a, b in zip(texts, got, map(reference, texts)) if a != b]
    ties = [d for d in differ if callable(more) and more(d[1], d[2])]
    differ = [d for d in differ if d not in ties]
    bad = len(got) != len(texts) or differ or len(ties) > len(texts) // 100
    bad = bad or (isinstance(more, list) and not gives_back(path, more))
    print(f"{'not ok' if bad else 'ok'} {name}: {len(texts)} texts, {len(differ)} differ, {len(ties)} ties", flush=True)
    for text, a, b in differ[:3]:
        print(f"#   {text!r}\n#     got  {a}\n#     want {b}")
    return not bad


def main():
    right = ran = 0
    for name in CASES:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran += 1
            right += check(name, folder)
    print(f"{right} of {ran} right")
    sys.exit(0 if right == ran else 1)


main()
