"""Text in, text out: a model of the class reads characters as frames, and a decoder with attention writes."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.translator import AttentionDecoder, Translator
from tests.helpers.checks import assert_close, check_streaming

PAIRS = [("i ran.", "我跑了。"), ("i won!", "我赢了。"), ("hello.", "你好。"), ("who am i?", "我是谁？")]


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.manual_seed(0)
    return Translator(PAIRS, size=16).eval()


def test_characters_one_by_one_and_whole_sentences_are_read_alike(translator):
    check_streaming(translator.reader, steps=9)
    sentence = PAIRS[3][0]
    whole, _ = translator.write(translator.reader(translator.frames([sentence]))[0])
    assert [translator.translate(sentence)[0]] == whole


def test_a_character_is_a_row_with_a_one_and_an_unknown_one_has_none(translator):
    rows = translator.frames(["ha§"])[0]
    assert rows.sum(-1).tolist() == [1.0, 1.0, 0.0]
    assert [translator.characters[row.argmax()] for row in rows[:2]] == ["h", "a"]


def test_symbols_one_by_one_and_whole_sequences_are_written_alike():
    torch.manual_seed(0)
    decoder = AttentionDecoder(9, 6, 8).eval()
    read, symbols = torch.randn(3, 5, 6), torch.randint(9, (3, 7))
    with torch.inference_mode():
        whole, attended, after = decoder(symbols, read, decoder.initial_memory(read))
        for cut in ([0, 3, 7], range(8)):
            memory, parts = decoder.initial_memory(read), []
            for start, end in pairwise(cut):
                logits, weights, memory = decoder(symbols[:, start:end], read, memory)
                parts.append(logits)
                assert_close(weights, attended[:, start:end], 1e-6)
            assert_close(torch.cat(parts, dim=1), whole, 1e-5)
            for one, other in zip(memory, after, strict=True):
                assert_close(one, other, 1e-5)
    assert_close(attended.sum(-1), torch.ones(3, 7), 1e-6)


def test_what_is_written_ends_at_the_edge_and_the_weights_have_a_row_for_each_symbol():
    torch.manual_seed(0)
    decoder = AttentionDecoder(4, 6, 8).eval()
    read = torch.randn(2, 5, 6)
    decoder.bias.data[:] = torch.tensor([-100.0, 0.0, 0.0, 0.0])  # never the edge
    rows, weights = decoder.write(read, 6)
    assert [len(row) for row in rows] == [6, 6]
    assert weights.shape == (2, 6, 5)
    decoder.bias.data[0] = 100.0  # at once
    rows, weights = decoder.write(read, 6)
    assert rows == [[], []]
    assert weights.shape == (2, 0, 5)


def test_how_a_sentence_is_read_in_training_does_not_depend_on_its_batch(translator):
    reader = copy.deepcopy(translator.reader).train()
    for module in reader.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        alone, _ = translator.reader(translator.frames(["i ran."]))
        together, _ = reader(translator.frames(["i ran.", "hello."]))
    assert_close(together[:1], alone, 1e-5)


def test_padding_behind_a_translation_changes_no_loss(translator):
    one, other = ([pair] for pair in PAIRS[:2])
    longer = [("i ran.", PAIRS[0][1] + "我好")]
    with torch.no_grad():
        alone = translator.loss(one)
        both = translator.loss(one + longer)
        (short, long) = (len(pair[0][1]) + 1 for pair in (one, longer))
        assert_close(both * (short + long), alone * short + translator.loss(longer) * long, 1e-4)
        assert float(translator.loss(other)) > 0.0


def test_a_batch_has_sentences_of_one_length_and_a_pass_has_each_pair_once():
    batches = list(Translator.batches(PAIRS, 2, count=6))
    assert all(len({len(sentence) for sentence, _ in batch}) == 1 for batch in batches)
    for third in (batches[:3], batches[3:]):
        assert sorted(pair for batch in third for pair in batch) == sorted(PAIRS)
    assert list(Translator.batches(PAIRS, 2, count=6)) == batches
    assert list(Translator.batches([], 2, count=6)) == []


def test_what_cannot_be_read_is_refused_in_a_sentence(translator):
    for sentences in (["a", "ab"], [""], []):
        with pytest.raises(ModelError, match="of one length, and none is empty"):
            translator.frames(sentences)
    with pytest.raises(ModelError, match="there is nothing to translate"):
        Translator([])
