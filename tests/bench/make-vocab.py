#!/usr/bin/env python3
"""Makes a large byte-level BPE vocabulary as a GGUF file, for bench-grammar where no model of that
size is at hand:

    make-vocab.py OUT.gguf SIZE FOLDER...

trains on the text files (.py .md .rst .txt .json .js .c .h .html) in the folders, in sorted order,
so the same folders give the same vocabulary. Needs the packages tokenizers and gguf.
"""
import json
import pathlib
import sys

import gguf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

KINDS = {".py", ".md", ".rst", ".txt", ".json", ".js", ".c", ".h", ".html"}
MOST_BYTES = 120_000_000


def files(folders):
    left = MOST_BYTES
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix in KINDS and path.is_file() and 200 < path.stat().st_size < 2_000_000:
                left -= path.stat().st_size
                if left < 0:
                    return
                yield path.read_text(errors="replace")


def main():
    out, size, folders = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    tokenizer = Tokenizer(models.BPE())
    # The usual split of large vocabularies: digits by three, words with the space before them.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(files(folders), trainers.BpeTrainer(
        vocab_size=size - 2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        max_token_length=64))
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get) + ["<|begin|>", "<|end|>"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - 2) + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    print(f"{out}: {len(tokens)} tokens, {len(merges)} merges")


if __name__ == "__main__":
    main()
