#!/usr/bin/env python3
"""Trains Weir's demo model from nothing and writes it as GGUF.

    python3 train.py --work build/weir-demo                 # training and export
    python3 train.py --work build/weir-demo --export-only   # the last checkpoint as GGUF
    python3 train.py --learn-vocabulary                    # demo/vocabulary.json anew

The text comes from the grammars in demo/; there is no other data. A seed gives one stream of
documents; a run that is stopped goes on from its last checkpoint. The rate of learning is constant
until three quarters of --steps and falls from there to zero, so a run may be given another --steps
as long as it has not begun to fall. The vocabulary is kept when the corpus changes, so that token
ids stay what they are; learning it anew is a step of its own.
"""

import argparse
import math
import os
import pathlib
import random
import time

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

from demo import blocks, gguf_file
from demo.network import Network, Shape
from demo.vocabulary import Vocabulary, learn

HERE = pathlib.Path(__file__).resolve().parent
VOCABULARY = HERE / "demo" / "vocabulary.json"
HELD_OUT_SEED = 987654321


def batches(vocabulary, seed, drill, start, tokens, context):
    """An endless row of (ids, weights) from documents of like length; `start` skips batches.

    `drill` is the share of blind copying among the documents: the circuit for copying forms from it
    much sooner than from the corpus, where few tokens need it.
    """
    # Each pool has its own generator, so that a run that goes on after a stop draws new text.
    pool_number = 0
    count = 0
    while True:
        rng = random.Random(f"{seed}/{pool_number}")
        pool_number += 1
        pool = [vocabulary.drill(rng) if rng.random() < drill else vocabulary.document(rng) for _ in range(3000)]
        pool = sorted(((ids[:context], flags[:context]) for ids, flags in pool), key=lambda d: len(d[0]))
        groups, group = [], []
        for document in pool:
            if group and len(document[0]) * (len(group) + 1) > tokens:
                groups.append(group)
                group = []
            group.append(document)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            count += 1
            if count > start:
                yield stack(group)


def stack(group):
    """Documents as one padded matrix of ids and one of weights; long answers weigh less a token."""
    length = max(len(ids) for ids, _ in group)
    ids = torch.zeros(len(group), length, dtype=torch.long)
    weights = torch.zeros(len(group), length)
    for row, (document, flags) in enumerate(group):
        ids[row, : len(document)] = torch.tensor(document)
        learned = sum(flags)
        weight = min(1.0, math.sqrt(64 / max(learned, 1)))
        weights[row, : len(flags)] = torch.tensor(flags, dtype=torch.float) * weight
    return ids, weights


def loss_of(network, ids, weights):
    """The weighted sum of the losses of the learned tokens, and the sum of the weights."""
    with torch.autocast("cpu", torch.bfloat16):
        states = network(ids[:, :-1])
        chosen = weights[:, 1:] > 0
        logits = network.logits(states[chosen])
    losses = F.cross_entropy(logits.float(), ids[:, 1:][chosen], reduction="none")
    chosen_weights = weights[:, 1:][chosen]
    return (losses * chosen_weights).sum(), chosen_weights.sum()


@torch.no_grad()
def held_out_loss(network, vocabulary, context):
    """Mean loss per learned token on 100 documents with names that training never uses."""
    rng = random.Random(HELD_OUT_SEED)
    total = count = 0.0
    for _ in range(100):
        ids, flags = vocabulary.document(rng, held_out=True)
        weights = torch.tensor([flags[:context]], dtype=torch.float)
        loss, weight = loss_of(network, torch.tensor([ids[:context]]), weights)
        total, count = total + loss.item(), count + weight.item()
    return total / count


def rate(step, steps, warm_up=100):
    """The share of the full learning rate at this step."""
    fall = steps // 4
    return min((step + 1) / warm_up, 1.0, max(steps - step, 0) / max(fall, 1))


class Worker:
    """Computes the gradient of one batch a step, in a process of its own.

    The weights and the gradient lie in shared memory; a message of one number goes each way per
    step, so a slow core holds up a step and not every operation inside it.
    """

    def __init__(self, index, network, vocabulary, args, start):
        size = sum(p.numel() for p in network.parameters())
        self.gradient = torch.zeros(size).share_memory_()
        self.pipe, end = mp.Pipe()
        self.process = mp.Process(target=self._run, args=(end, index, network, vocabulary, args, start), daemon=True)
        self.process.start()
        end.close()

    def _run(self, pipe, index, network, vocabulary, args, start):
        torch.set_num_threads(1)
        source = batches(vocabulary, f"{args.seed}/{index}", args.drill, start, args.tokens // args.workers,
                         network.shape.context)
        parameters = list(network.parameters())
        while True:
            try:
                pipe.recv()
            except EOFError:
                return
            ids, weights = next(source)
            loss, weight = loss_of(network, ids, weights)
            gradients = torch.autograd.grad(loss, parameters)
            torch.cat([gradient.reshape(-1) for gradient in gradients], out=self.gradient)
            pipe.send((loss.item(), weight.item(), ids.numel()))


def save(checkpoint, step, network, optimizers):
    state = {"step": step, "network": network.state_dict(),
             "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    torch.save(state, str(checkpoint) + ".new")
    os.replace(str(checkpoint) + ".new", checkpoint)


def train(args, vocabulary, network, checkpoint):
    matrices = [p for layer in network.layers for p in layer.parameters() if p.dim() == 2]
    others = [p for p in network.parameters() if all(p is not m for m in matrices)]
    optimizers = [
        torch.optim.Muon(matrices, lr=args.rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.rate, betas=(0.9, 0.97), weight_decay=0.0),
    ]
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        network.load_state_dict(state["network"])
    network.share_memory()
    workers = [Worker(index, network, vocabulary, args, step) for index in range(args.workers)]
    started = shown = saved = time.time()
    seen, smooth = 0, None
    while step < args.steps:
        for worker in workers:
            worker.pipe.send(step)
        answers = [worker.pipe.recv() for worker in workers]
        total = sum(weight for _, weight, _ in answers)
        gradient = sum(worker.gradient for worker in workers) / total
        for p, part in zip(network.parameters(), gradient.split([p.numel() for p in network.parameters()])):
            p.grad = part.view_as(p)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.rate * rate(step, args.steps)
            optimizer.step()
        step += 1
        seen += sum(count for _, _, count in answers)
        value = sum(loss for loss, _, _ in answers) / total
        smooth = value if smooth is None else 0.98 * smooth + 0.02 * value
        now = time.time()
        if now - shown > 15 or step == args.steps:
            shown = now
            print(f"step {step}/{args.steps}  loss {smooth:.4f}  {seen / (now - started):.0f} tokens/s", flush=True)
        if now - saved > 240 or step == args.steps:
            saved = now
            save(checkpoint, step, network, optimizers)
        if step % 200 == 0 or step == args.steps:
            held_out = held_out_loss(network, vocabulary, network.shape.context)
            print(f"step {step}  held-out loss {held_out:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/weir-demo"),
                        help="folder for the checkpoint")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "weir-demo.gguf")
    parser.add_argument("--type", default="Q8_0", choices=sorted(blocks.TYPES), help="how the matrices are stored")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens per step, padding included")
    parser.add_argument("--rate", type=float, default=3e-3, help="the full learning rate")
    parser.add_argument("--drill", type=float, default=0.05, help="share of blind copying among the documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--export-only", action="store_true", help="write the last checkpoint and stop")
    parser.add_argument("--learn-vocabulary", action="store_true", help="learn demo/vocabulary.json and stop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    shape, checkpoint = Shape(), args.work / "checkpoint.pt"
    if args.learn_vocabulary:
        learn(shape.vocabulary, args.seed, 30000, VOCABULARY)
        return
    vocabulary = Vocabulary.load(VOCABULARY)
    network = Network(shape)
    if args.export_only:
        if not checkpoint.exists():
            parser.error(f"{checkpoint}: no checkpoint there; train first or name its folder with --work")
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    else:
        train(args, vocabulary, network, checkpoint)
    gguf_file.write(args.out, shape, vocabulary, network.tensors(), args.type)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
