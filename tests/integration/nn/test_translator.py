"""A translator learns."""

from __future__ import annotations

import torch

from streamrec import Translator

PAIRS = [
    ("we ran.", "我们跑了。"),
    ("he ran.", "他跑了。"),
    ("we won.", "我们赢了。"),
    ("he won.", "他赢了。"),
]


def test_a_translator_learns_a_few_sentences_by_heart():
    torch.manual_seed(0)
    model = Translator(PAIRS, size=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in Translator.batches(PAIRS, 4, count=150):
        loss = model.train().loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    for sentence, translation in PAIRS:
        written, weights = model.translate(sentence)
        assert written == translation
        assert weights.shape == (len(translation), len(sentence))
