"""How well the translation demo does: BLEU, chrF and exact matches on sentences held out by their English.

    python benchmarks/translation.py eng-cmn.tsv.gz --out runs/translation     # lines of English, tab, Chinese

Each seed is trained by the demo's own functions (a file of weights each, so that a stopped run goes on) and measured on
the demo's own split: a tenth of the English sentences, none of which was learned in any punctuation. Beside it stand
two baselines: the English sentence as it is (copy), and the translation of the most similar English sentence of those
learned (nearest: cosine over character trigrams, weighted by rarity). All translations of a sentence are its
references. BLEU and chrF are sacrebleu's, BLEU with its zh tokenizer, which takes each Chinese character as a token;
chrF is the mean over sentences. Intervals are of 95 %, by bootstrap over sentences. Needs `pip install
'streamrec[demos,train]'`.
"""

from __future__ import annotations

import argparse
import gzip
import html
import runpy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sacrebleu.metrics import BLEU, CHRF
from safetensors.torch import load_file, save_file

from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.nn.translator import Pair, Translator

DEMO = runpy.run_path(str(Path(__file__).parents[1] / "demos/translation/translation.py"))
ROUNDS = 1000
ORDER = 4  # of BLEU
SAMPLES = 10


@dataclass(frozen=True)
class HeldOut:
    """English sentences, and all translations of each."""

    sentences: list[str]
    references: list[list[str]]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> HeldOut:
        """In the order of the table."""
        found: dict[str, list[str]] = {}
        for english, chinese in pairs:
            found.setdefault(english, []).append(chinese)
        return cls(list(found), list(found.values()))


def trained(learned: Sequence[Pair], path: Path, arguments: argparse.Namespace, seed: int) -> Translator:
    """The translator of a seed, trained where its file is not there."""
    torch.manual_seed(seed)
    model = Translator(learned, arguments.size)
    if path.exists():
        model.load_state_dict(load_file(path))
    else:
        DEMO["train"](model, learned, arguments.steps, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), path)
    return model.eval()


@torch.inference_mode()
def translations(model: Translator, sentences: Sequence[str]) -> list[str]:
    """As ``model.translate``, sentences of one length at a time."""
    found: dict[str, str] = {}
    for length in sorted({len(sentence) for sentence in sentences}):
        alike = [sentence for sentence in sentences if len(sentence) == length]
        written, _ = model.write(model.reader(model.frames(alike))[0])
        found.update(zip(alike, written, strict=True))
    return [found[sentence] for sentence in sentences]


def trigrams(sentence: str) -> Counter[str]:
    """How often each is in a sentence, its edges marked."""
    marked = f"  {sentence} "
    return Counter(marked[n : n + 3] for n in range(len(marked) - 2))


def nearest(learned: Sequence[Pair], sentences: Sequence[str]) -> list[str]:
    """The translation of the learned sentence that is most like each."""
    counts = [trigrams(english) for english, _ in learned]
    documents = Counter(gram for one in counts for gram in one)
    rarity = {gram: np.log(len(learned) / number) for gram, number in documents.items()}
    holders: dict[str, list[tuple[int, float]]] = {}
    for number, one in enumerate(counts):
        weights = {gram: times * rarity[gram] for gram, times in one.items()}
        norm = np.sqrt(sum(weight**2 for weight in weights.values()))
        for gram, weight in weights.items():
            holders.setdefault(gram, []).append((number, weight / norm))
    arrays = {gram: tuple(map(np.array, zip(*found, strict=True))) for gram, found in holders.items()}
    chosen = []
    for sentence in sentences:
        scores = np.zeros(len(learned))
        for gram, times in trigrams(sentence).items():
            if gram in arrays:
                numbers, weights = arrays[gram]
                scores[numbers] += times * rarity[gram] * weights
        chosen.append(learned[int(scores.argmax())][1])
    return chosen


def scored(written: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 2 ORDER + 4): the counts of BLEU, chrF and exact match of each sentence."""
    bleu, chrf = BLEU(tokenize="zh", effective_order=True), CHRF()
    rows = []
    for one, true in zip(written, references, strict=True):
        counted = bleu.sentence_score(one, true)
        rest = [chrf.sentence_score(one, true).score, 100.0 * (one in true)]
        rows.append([*counted.counts, *counted.totals, counted.sys_len, counted.ref_len, *rest])
    return np.array(rows, float)


def corpus_bleu(rows: np.ndarray) -> float:
    """Of the counts of sentences, as sacrebleu has it of a corpus."""
    sums = rows.sum(0).astype(int).tolist()
    counts, totals, (system, true) = sums[:ORDER], sums[ORDER : 2 * ORDER], sums[2 * ORDER : 2 * ORDER + 2]
    return BLEU.compute_bleu(counts, totals, system, true, smooth_method="exp").score


MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    "BLEU": corpus_bleu,
    "chrF": lambda rows: float(rows[:, -2].mean()),
    "exact": lambda rows: float(rows[:, -1].mean()),
}


def line(name: str, by_seed: Sequence[np.ndarray], sentences: Sequence[str]) -> str:
    """A row of the table: each measure, averaged over seeds, with its interval over sentences."""
    cells = []
    stacked = np.stack(by_seed, axis=1)
    for measure in MEASURES.values():

        def statistic(rows: np.ndarray, measure: Callable[[np.ndarray], float] = measure) -> float:
            return float(np.mean([measure(rows[:, seed]) for seed in range(rows.shape[1])]))

        low, high = bootstrap_interval(stacked, sentences, statistic, rounds=ROUNDS)
        cells.append(f"{statistic(stacked):.1f} ({low:.1f} to {high:.1f})")
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Train what is missing, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/translation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--picture", type=Path, help="an SVG of the attention of one sentence")
    parser.add_argument("--sentence", default="i want a new car.", help="that sentence")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with (gzip.open if arguments.table.suffix == ".gz" else open)(
        arguments.table, "rt", encoding="utf-8"
    ) as lines:
        learned, others = DEMO["split"](lines)
    held_out = HeldOut.of(others)
    known = {chinese for _, chinese in learned}
    print(f"{len(learned)} pairs of {len({e for e, _ in learned})} sentences learned; ", end="")
    print(f"{len(others)} pairs of {len(held_out.sentences)} held out, ", end="")
    print(
        f"{sum(bool(known & set(r)) for r in held_out.references)} with a translation that some other sentence has"
    )
    models = [trained(learned, arguments.out / f"seed{s}.safetensors", arguments, s) for s in arguments.seeds]
    written = {
        "model": [translations(model, held_out.sentences) for model in models],
        "nearest": [nearest(learned, held_out.sentences)],
        "copy": [held_out.sentences],
    }
    print(f"| | {' | '.join(MEASURES)} |")
    for name, by_seed in written.items():
        rows = [scored(one, held_out.references) for one in by_seed]
        print(line(name, rows, held_out.sentences))
        if len(rows) > 1:
            for seed, one in zip(arguments.seeds, rows, strict=True):
                print(line(f"{name}, seed {seed}", [one], held_out.sentences))
    for number in range(SAMPLES):
        cells = [held_out.sentences[number], written["model"][0][number], written["nearest"][0][number]]
        print(f"| {' | '.join([*cells, held_out.references[number][0]])} |")
    if arguments.picture:
        translation, weights = models[0].translate(arguments.sentence)
        arguments.picture.write_text(
            drawn(arguments.sentence, translation, weights.numpy()), encoding="utf-8"
        )


def drawn(sentence: str, translation: str, weights: np.ndarray, cell: int = 18) -> str:
    """An SVG: a row for each symbol written, a column for each character read, dark where it attends."""
    parts = []
    for row, symbol in enumerate(translation):
        parts.append(f'<text x="{cell / 2}" y="{(row + 1.75) * cell}">{html.escape(symbol)}</text>')
        for column, weight in enumerate(weights[row]):
            place = f'x="{(column + 1) * cell}" y="{(row + 1) * cell}" width="{cell}" height="{cell}"'
            parts.append(f'<rect {place} fill="#1f5fa8" fill-opacity="{weight:.2f}"/>')
    for column, character in enumerate(sentence):
        parts.append(f'<text x="{(column + 1.5) * cell}" y="{0.75 * cell}">{html.escape(character)}</text>')
    width, height = (len(sentence) + 2) * cell, (len(translation) + 2) * cell
    style = f'font-family="sans-serif" font-size="{0.75 * cell}" text-anchor="middle"'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    back = f'<rect width="{width}" height="{height}" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{back}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
