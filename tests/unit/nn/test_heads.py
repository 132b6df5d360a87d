from __future__ import annotations

import math

import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.heads import (
    AttentionHead,
    EMAPooling,
    EnsembleHead,
    GRUHead,
    LSTMHead,
    PoolingSettings,
    StatisticsHead,
)
from tests.helpers.checks import assert_close


def _shaken(head: StatisticsHead) -> StatisticsHead:
    """With weights that are not zero, as a fit leaves them."""
    torch.nn.init.normal_(head.classifier.weight)
    return head


HEADS = {
    "lstm": lambda: LSTMHead(6, 16, 3, layers=2),
    "lstm that recalls features": lambda: LSTMHead(
        6, 16, 3, pooling=PoolingSettings(features=True, frames=400.0)
    ),
    "lstm whose recall alone is heard, and lets go": lambda: LSTMHead(
        6, 16, 3, pooling=PoolingSettings(features=True, only=True, gate=True)
    ),
    "gru": lambda: GRUHead(6, 16, 3, layers=2, feature_norm=True),
    "attention": lambda: AttentionHead(6, 16, 3, layers=2, context=4),
    "statistics": lambda: _shaken(StatisticsHead(6, 3, frames=8.0)),
    "attention that keeps much": lambda: AttentionHead(6, 16, 3, context=40),
    "ensemble": lambda: EnsembleHead(
        _shaken(StatisticsHead(4, 3, frames=8.0)), LSTMHead(2, 16, 5), labels=3, share=0.4
    ),
}


def clip(steps: int = 50, streams: int = 3):
    """Features, an uneven rhythm, and beginnings in the middle."""
    features = torch.randn(streams, steps, 6)
    fresh = torch.rand(streams, steps) < 0.05
    fresh[0] = False  # one stream goes on all the time
    rhythm = torch.log(torch.rand(streams, steps) * 3.0 + 0.1).masked_fill(fresh, 0.0)
    return features, rhythm, fresh


def stepped(head, features, rhythm, fresh, memory):
    outputs = []
    for t in range(features.shape[1]):
        output, memory = head.step(features[:, t], rhythm[:, t], fresh[:, t], memory)
        outputs.append(output)
    return torch.stack(outputs, dim=1), memory


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_frames_and_clips_agree_from_any_memory(make):
    torch.manual_seed(0)
    head = make().eval()
    with torch.inference_mode():
        memory = head.initial_memory(3)
        for _ in range(2):  # the second time the memory is full
            features, rhythm, fresh = clip()
            whole, after = head(features, rhythm, fresh, memory)
            outputs, memory = stepped(head, features, rhythm, fresh, memory)
            assert_close(outputs, whole, 1e-5)
            for one, other in zip(memory, after, strict=True):
                assert one.dtype == other.dtype == torch.float32
                assert_close(one, other, 1e-4)  # ages of a hundred frames among them


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_a_stream_that_begins_anew_remembers_nothing(make):
    torch.manual_seed(0)
    head = make().eval()
    features, rhythm, fresh = clip(12)
    fresh[:] = False
    fresh[:, 5] = True
    with torch.inference_mode():
        whole, after = head(features, rhythm, fresh, head.initial_memory(3))
        anew, after_anew = head(features[:, 5:], rhythm[:, 5:], fresh[:, 5:], head.initial_memory(3))
    assert_close(whole[:, 5:], anew, 1e-6)
    for one, other in zip(after, after_anew, strict=True):
        assert_close(one, other, 1e-5)


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_every_weight_learns(make):
    torch.manual_seed(0)
    head = make()
    features, rhythm, fresh = clip(8)
    head(features, rhythm, fresh, head.initial_memory(3))[0].square().sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []


def test_initial_memory_is_zeros_of_one_shape_a_stream():
    shapes = {name: [tuple(m.shape[1:]) for m in make().initial_memory(2)] for name, make in HEADS.items()}
    assert shapes == {
        "lstm": [(2, 16), (2, 16), (16,), (16,)],
        "lstm that recalls features": [(1, 16), (1, 16), (22,), (22,)],
        "lstm whose recall alone is heard, and lets go": [(1, 16), (1, 16), (22,), (22,)],
        "gru": [(2, 16), (16,), (16,)],
        "attention": [(2, 4, 16), (2, 4, 16), (4,)],
        "statistics": [(6,), (6,), (6,), (6,), (3,)],
        "attention that keeps much": [(1, 40, 16), (1, 40, 16), (40,)],
        "ensemble": [(4,), (4,), (4,), (4,), (3,), (1, 16), (1, 16), (16,), (16,)],
    }


def test_an_ensemble_is_the_mean_of_logits_and_the_phase_is_that_of_the_lstm():
    torch.manual_seed(0)
    head = HEADS["ensemble"]().eval()
    features, rhythm, fresh = clip(9)
    seen, joints = features[..., :4], features[..., 4:]
    with torch.inference_mode():
        found, _ = head(features, rhythm, fresh, head.initial_memory(3))
        one, _ = head.statistics(seen, rhythm, fresh, head.statistics.initial_memory(3))
        other, _ = head.recurrent(joints, rhythm, fresh, head.recurrent.initial_memory(3))
    assert_close(found[..., :3], 0.6 * one + 0.4 * other[..., :3], 1e-5)
    assert torch.equal(found[..., 3:], other[..., 3:])


def test_the_step_of_the_gru_is_the_step_of_torch():
    torch.manual_seed(0)
    head = GRUHead(6, 16, 3, pooling=None).eval()
    features, rhythm, fresh = clip(1)
    fresh[:] = False
    h = torch.randn(3, 1, 16)
    with torch.inference_mode():
        _, (after,) = head.step(features[:, 0], rhythm[:, 0], fresh[:, 0], (h,))
        inputs = torch.cat([features, rhythm.unsqueeze(-1)], dim=-1)
        _, expected = head.gru(inputs, h.transpose(0, 1).contiguous())
    assert_close(after, expected.transpose(0, 1), 1e-6)


def test_a_recall_of_features_tells_their_mean():
    torch.manual_seed(0)
    head = LSTMHead(6, 16, 3, pooling=PoolingSettings(features=True, frames=1e6)).eval()
    head.recall.log_constant.data.fill_(math.log(1e6))  # nothing fades
    features, fresh = torch.randn(1, 30, 6), torch.zeros(1, 30, dtype=torch.bool)
    with torch.inference_mode():
        head.recall.weigh.bias.fill_(9.0)  # each frame weighs the same
        _, memory = head(features, torch.zeros(1, 30), fresh, head.initial_memory())
    assert_close((memory[2] / memory[3])[0, 16:], features.mean((0, 1)), 1e-3)


def test_a_recall_that_is_heard_alone_says_nothing_of_a_frame_that_does_not_weigh():
    torch.manual_seed(0)
    head = LSTMHead(6, 16, 3, pooling=PoolingSettings(features=True, only=True)).eval()
    features, fresh = torch.randn(1, 9, 6), torch.zeros(1, 9, dtype=torch.bool)
    with torch.inference_mode():
        before, memory = head(features, torch.zeros(1, 9), fresh, head.initial_memory())
        head.recall.weigh.bias.fill_(-30.0)
        after, _ = head(torch.randn(1, 1, 6), torch.zeros(1, 1), fresh[:, :1], memory)
    assert_close(after[:, -1], before[:, -1], 1e-2)  # a mean: what fades alike in sum and weight stays


def test_a_gate_lets_go_of_what_was_recalled_by_the_clock():
    recall = EMAPooling(4, gate=True).eval()
    full, fresh = (torch.ones(1, 4), torch.ones(1, 4)), torch.zeros(1, dtype=torch.bool)

    def weight_after(frames):
        return recall.step(torch.ones(1, 4), torch.full((1,), frames).log(), fresh, full)[1][1]

    with torch.inference_mode():
        assert (weight_after(1.0) > 1.3).all()  # shut: hardly less than 1, and half for the new frame
        recall.let_go.bias.fill_(2.0)
        rate = torch.exp(-recall.log_constant)[None] + math.log1p(math.exp(2.0))
        assert_close(weight_after(1.0), 0.5 + torch.exp(-rate), 1e-6)
        assert_close(weight_after(3.0), 0.5 + torch.exp(-3.0 * rate), 1e-6)


class TestAttention:
    def test_a_frame_sees_itself_and_the_frames_kept_and_no_more(self):
        torch.manual_seed(0)
        head = AttentionHead(6, 16, 3, context=4).eval()
        features, rhythm, fresh = clip(12, 1)
        with torch.inference_mode():
            before, _ = head(features, rhythm, fresh, head.initial_memory())
            features[:, 3] += 1.0
            after, _ = head(features, rhythm, fresh, head.initial_memory())
        changed = (before - after).abs().amax((0, 2)) > 1e-6
        assert changed.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]

    def test_ages_are_counted_in_frames_of_the_rhythm(self):
        head = AttentionHead(6, 16, 3, context=4).eval()
        elapsed = torch.tensor([[1.0, 2.0, 0.5]])
        fresh = torch.tensor([[True, False, False]])
        _, (_, _, age) = head(torch.zeros(1, 3, 6), torch.log(elapsed), fresh, head.initial_memory())
        # 1 + how long ago: the first 2.5 frames, the second half a frame; one place is empty.
        assert age.tolist() == [[0.0, pytest.approx(3.5), pytest.approx(1.5), 1.0]]

    def test_what_it_says_depends_on_when_the_frames_were(self):
        torch.manual_seed(0)
        head = AttentionHead(6, 16, 3, context=4).eval()
        features, _, _ = clip(4, 1)
        fresh = torch.zeros(1, 4, dtype=torch.bool)
        with torch.inference_mode():
            said = []
            for earlier in (1.0, 2.0):  # only the gap before the second frame differs
                rhythm = torch.log(torch.tensor([[1.0, earlier, 1.0, 1.0]]))
                keys, values, age = head(features, rhythm, fresh, head.initial_memory())[1]
                said.append(head.step(features[:, 0], torch.zeros(1), fresh[:, 0], (keys, values, age))[0])
        assert (said[0] - said[1]).abs().max() > 1e-5

    def test_sizes_that_do_not_fit_are_told_in_words(self):
        with pytest.raises(ModelError, match="hidden_size 20 is no multiple of 8"):
            AttentionHead(6, 20, 3)
        with pytest.raises(ModelError, match="keep at least 1"):
            AttentionHead(6, 16, 3, context=0)

    def test_the_frequencies_reach_from_half_a_turn_a_frame_to_the_whole_context(self):
        frequencies = AttentionHead(6, 64, 3, context=32).frequencies
        assert frequencies[0].item() == pytest.approx(math.pi)
        assert frequencies[-1].item() == pytest.approx(1 / 32)
