"""The model class on text: it learns to read English, a character a step, and to write Chinese; then it translates."""

import argparse
import re
import sys
import zlib
from pathlib import Path

import torch

from streamrec import StreamrecError, Translator

LONGEST, BATCH = 25, 32  # characters of an English sentence; sentences
TABLE = Path(__file__).with_name("sentences.tsv")


def split(lines):
    """(English, Chinese) to learn from, and those of a tenth of the sentences, the same whatever their punctuation."""
    learned, held_out = [], []
    for english, chinese, *_ in (line.split("\t") for line in lines if "\t" in line):
        words = " ".join(re.findall(r"\w+", english.lower()))
        if 0 < len(english) <= LONGEST:
            (learned if zlib.crc32(words.encode()) % 10 else held_out).append((english.lower(), chinese))
    return learned, held_out


def train(model, pairs, steps, seed=0):
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for step, batch in enumerate(model.batches(pairs, BATCH, steps, seed), 1):
        loss = model.train().loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            print(f"step {step}: loss {loss.item():.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="?", type=Path, default=TABLE, help="lines of English, tab, Chinese")
    parser.add_argument("--steps", type=int, default=700, help="training steps")
    parser.add_argument("--size", type=int, default=96, help="of both LSTMs")
    given = parser.parse_args()
    torch.manual_seed(0)
    try:
        learned, held_out = split(given.table.read_text(encoding="utf-8").splitlines())
        model = Translator(learned, given.size)
        train(model, learned, given.steps)
        for english, chinese in held_out[:10]:
            print(f"{english}  {model.eval().translate(english)[0]}  ({chinese})")
    except (OSError, ValueError, StreamrecError) as error:
        sys.exit(f"translation: {error}")


if __name__ == "__main__":
    main()
