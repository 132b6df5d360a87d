"""The training loop, top to bottom: windows of endless streams, state carried between them, late steps weigh most."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core import process_end as ending
from streamrec.core.state import State
from streamrec.data.clips import BACKGROUND, NO_LABEL, Clip
from streamrec.data.decode_cache import Recording
from streamrec.data.splits import held_out
from streamrec.errors import DataError, ModelError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.heads import Standardized
from streamrec.nn.model import ActionModel, phase_loss
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import read_checkpoint
from streamrec.train.augment import Augmentation
from streamrec.train.backbone_graph import graph_of_backbone
from streamrec.train.ctc import accuracy_of, blank_of, ctc_loss, right_of
from streamrec.train.distributed import Ranks, choose_device, keep_freed_memory
from streamrec.train.ensemble_fit import fit_ensemble, without_background
from streamrec.train.frozen_features import FeatureCache
from streamrec.train.linear_check import Judged, judged
from streamrec.train.linear_fit import LinearSettings, encoded, fit_linear
from streamrec.train.quick_eval import play
from streamrec.train.resume import KEPT_EVERY, Keeper, Run, identity, restore
from streamrec.train.signal_windows import SignalAugmentation
from streamrec.train.sound_windows import SoundAugmentation
from streamrec.train.speech_streams import SpeechAugmentation
from streamrec.train.speech_windows import SpeechWindows, streams_of
from streamrec.train.stream_windows import Batch, StreamWindows, WindowSettings

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.modules.batchnorm import _BatchNorm  # noqa: E402

STAGES = ("whole", "staged", "head")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# "frames": the label of each frame; "ctc": the order of the labels alone, each one moment (``train/ctc.py``)
LOSSES = ("frames", "ctc")
STANDARDIZED_ON = 150  # recordings
RANK_SEEDS = 1_000_003  # from one process's seed to the next one's


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model learns; a resumed run must be given the same. docs/training.md gives the reason for each setting."""

    steps: int = 1500
    streams: int = 16  # in a batch, split among the processes
    window: int = 24  # frames through which gradients flow; the state is carried on after them
    carry: float = 0.25  # part of the recordings that follow the one before as a hard cut, with the old state
    pause: float = 0.5  # with background: probability of some seconds of it between two recordings
    ramp_seconds: float = 1.0  # over which the weight of a recording's frames in the loss rises to 1
    late: float = 0.0  # a frame's weight is multiplied by its action's progress to this power; 0: not at all
    balance: float = 1.0  # 1: each label is played equally often; 0: each recording is
    quiet: float = 1.0  # how often a background label is played, for once each other label
    augmentation: Augmentation | SignalAugmentation | SoundAugmentation | SpeechAugmentation | None = (
        Augmentation()  # noqa: RUF009
    )
    seed: int = 0
    soup: int = 1  # models that are trained one after the other from the same weights, and averaged
    # -- the step
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.05  # of the steps
    gradient_clip: float = 1.0
    average: float = 0.995  # decay of the moving average (EMA) of the weights, which is returned
    # -- the loss
    loss: str = "frames"  # one of LOSSES
    # With ctc: part of the steps, the first ones, in which the labels of frames are learned: CTC alone begins slowly,
    # for it has to find out where each label is (Sak et al., Interspeech 2015).
    aligned: float = 0.0
    label_smoothing: float = 0.05
    class_balance: float = (
        0.0  # 1: each label weighs the same, however many frames it has; 0: each frame does
    )
    phase_weight: float = 0.5  # of the loss of the repetition phase, for recordings that have one
    # -- what learns
    # "whole": all layers from the first step; "staged": those above the backbone, then all; "head": the head alone
    stages: str = "whole"
    unfreeze: float = 0.5  # staged: part of the steps after which the backbone learns too; 1 is never
    trunk_rate: float = 0.1  # staged: learning rate of the backbone, as a part of learning_rate
    looks: int = 4  # frozen backbone: views of each recording, each of which it encodes once (FeatureCache)
    freeze_norm: bool = False  # the backbone's batch norms stay as they are, weights and statistics
    # -- a statistics head, which is solved for and not trained in steps
    linear: LinearSettings = LinearSettings()  # noqa: RUF009 (frozen)
    # -- an ensemble head
    # Subtracted from the logit of background: a clip's label is an action sooner, and events keep their threshold.
    background_penalty: float = 0.0
    # -- when to stop
    evaluate_every: int = 100  # steps from one evaluation on the watched recordings to the next
    patience: int | None = None  # evaluations without a better one that end the run; the best is returned
    watch: float = 0.15  # with patience: part of the groups that are watched instead of learned from
    # -- where
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("stages", self.stages, STAGES),
            ("precision", self.precision, PRECISIONS),
            ("loss", self.loss, LOSSES),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if min(self.steps, self.streams, self.window, self.evaluate_every, self.soup) < 1:
            raise ValueError("steps, streams, window, evaluate_every and soup are at least 1")
        if self.patience is not None and self.patience < 1:
            raise ValueError("patience is at least 1 evaluation, or None")
        if not 0.0 < self.quiet < math.inf:
            raise ValueError("quiet is how often background is played, to once each other label: more than 0")
        if self.looks < 1:
            raise ValueError("looks is at least 1: the recording as it is")

    @property
    def of_pictures(self) -> Augmentation | None:
        """The augmentation of pictures; raises ``ModelError`` where it is of another sense."""
        if isinstance(self.augmentation, SignalAugmentation | SoundAugmentation | SpeechAugmentation):
            raise ModelError(
                "these settings vary readings or sound, and a frozen backbone is of pictures: take another recipe"
            )
        return self.augmentation

    @property
    def backbone_frozen(self) -> bool:
        """Whether the backbone never learns."""
        return self.stages == "staged" and self.unfreeze >= 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run after a step."""

    step: int
    steps: int
    loss: float  # smoothed
    accuracy: float  # smoothed, per frame, on training recordings
    learning_rate: float
    watched: float | None = None  # accuracy per frame on watched recordings; None: not evaluated at this step
    best_at: int | None = None  # with patience: the best step so far


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What surrounds a run: where it is kept, who gets its progress, and its place among others."""

    member: int = 0  # index within a soup: all members start from the same weights, and draw differently
    # File to which the run is written every 100 steps and when it is stopped, and from which it goes on, bit for
    # bit, if it is there. It stays at the end too: remove it once the model is saved.
    resume: Path | None = None
    on_progress: Callable[[Progress], None] = lambda progress: None  # called after each step
    log: Callable[[str], object] = lambda message: None  # called where the file cannot be written
    ranks: Ranks | None = None  # the processes that learn together, as ``joined`` gives them


def fit(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    *,
    background: list[Recording] | None = None,
    weights: str | None = None,
    watched: list[Recording] | None = None,
    options: RunOptions = RunOptions(),
) -> ActionModel:
    """Train a model on recordings; returns it in eval mode, on the CPU.

    - ``background``: recordings in which nothing happens, played between the others.
    - ``weights``: what the encoder starts from, as ``make_encoder`` takes it.
    - ``watched``: recordings whose accuracy is reported at each evaluation and decides nothing; with ``patience``
      whole groups of ``recordings`` are held back and watched instead.
    """
    if not recordings:
        raise DataError("there is nothing to learn from: no clip could be read")
    keep_freed_memory()
    if config.head == "statistics":
        return _fit_statistics(recordings, config, settings, background or [], weights)
    if config.head == "ensemble":
        return _fit_ensemble(recordings, config, settings, background or [], weights, options)
    ranks = options.ranks or Ranks(device=choose_device(settings.device))
    learned, watched = recordings, watched or []
    if settings.patience is not None:
        learned, watched = _held_back(recordings, settings)
        if isinstance(settings.augmentation, SpeechAugmentation):
            watched = streams_of(watched, config.sound, blank_of(config.labels))
    quiet = background or []
    run = _begin(learned, config, settings, weights, ranks, quiet, options.member)
    facts = {"settings": asdict(settings), "config": run.model.config.to_dict(), "member": options.member}
    which = identity(facts, [*recordings, *quiet], ranks)
    resume = options.resume
    if resume is not None and ranks.any(resume.exists()):
        if not resume.exists():
            raise DataError(f"{resume} is not seen by every machine: let the model's folder be a shared one")
        restore(run, resume, which, ranks)
    keeper = Keeper(resume, which, ranks, options.log)
    try:
        with _stop_requests() as stops:
            # A stop may have come before the evaluation of the last step.
            if _evaluate(run, watched, settings, ranks, stops) and ranks.first:
                options.on_progress(_progress(run, settings))
            for batch in _prefetched(run.windows):
                if _finished(run, settings):
                    break
                _learn(run, batch, settings, ranks)
                _evaluate(run, watched, settings, ranks, stops)
                if ranks.first:
                    options.on_progress(_progress(run, settings))
                if ranks.any(bool(stops)):
                    raise KeyboardInterrupt
                if run.now.step % KEPT_EVERY == 0 or _finished(run, settings):
                    keeper.keep(run)
    except KeyboardInterrupt:
        keeper.keep_last(run)
        raise
    if run.best:
        run.averaged.load_state_dict(run.best)
    return run.averaged.cpu()


def _fit_statistics(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    background: list[Recording],
    weights: str | None,
) -> ActionModel:
    """The model of a statistics head: features of a frozen backbone, and the one optimum of a linear classifier."""
    if config.counted:
        raise ModelError(
            "a statistics head counts nothing: leave out the labels to count, or take another head"
        )
    model = _fresh(config, weights)
    if not model.encoder.has_backbone:
        raise ModelError(
            f"the encoder {config.encoder} has no backbone, over which a statistics head is fitted"
        )
    encode = graph_of_backbone(model, weights)
    features = FeatureCache(model, settings.of_pictures, views=settings.looks, encode=encode)
    return fit_linear(model, recordings, background, features, settings.linear)


def _fit_ensemble(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    background: list[Recording],
    weights: str | None,
    options: RunOptions,
) -> ActionModel:
    """The model of an ensemble head: what it reads of pictures is solved for, and its LSTM trained in steps."""
    model = _fresh(config, weights)
    encode = graph_of_backbone(model, weights)
    features = FeatureCache(model, settings.of_pictures, views=settings.looks, encode=encode)
    in_steps = replace(settings, stages="staged", unfreeze=1.0, precision="float32")

    def fit_in_steps(people: list[Recording], own: ModelConfig) -> ActionModel:
        return fit(people, own, in_steps, options=options)

    model = fit_ensemble(model, recordings, background, features, settings.linear, fit_in_steps=fit_in_steps)
    return without_background(model, settings.background_penalty)


def judged_linear(
    recordings: list[Recording], config: ModelConfig, settings: TrainSettings, weights: str | None
) -> Judged | None:
    """Whether a statistics head on the frozen backbone separates the labels; None: that cannot be judged."""
    model = _fresh(config, weights)
    encode = graph_of_backbone(model, weights)
    features = FeatureCache(model, settings.of_pictures, views=settings.looks, encode=encode)
    return judged(model.eval().requires_grad_(False), recordings, features, settings.linear)


def _begin(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    weights: str | None,
    ranks: Ranks,
    background: list[Recording] | None = None,
    member: int = 0,
) -> Run:
    """The run before its first step."""
    streams = settings.streams // ranks.count
    if streams * ranks.count != settings.streams:
        raise DataError(
            f"{settings.streams} streams cannot be shared out evenly among {ranks.count} processes"
        )
    _check_precision(settings.precision, ranks.device)
    torch.manual_seed(settings.seed)
    model = _fresh(config, weights).to(ranks.device).to(memory_format=torch.channels_last)
    if config.standardize:
        _standardize(model, recordings)
    averaged = ActionModel(config).requires_grad_(False).eval().to(ranks.device)
    averaged.load_state_dict(model.state_dict())
    seed = settings.soup * settings.seed + member + RANK_SEEDS * ranks.rank
    if (
        seed != settings.seed
    ):  # the weights are the same; from here on each member and process draws differently
        torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(model, settings), lr=settings.learning_rate)
    scaler = torch.amp.GradScaler(
        ranks.device.type, enabled=_precision(settings.precision, ranks.device) is torch.float16
    )
    how = WindowSettings(
        streams=streams,
        window=settings.window,
        fps=config.fps,
        augmentation=settings.augmentation,
        transform=None if isinstance(config.transform, Transform) else config.transform,
        max_gap=config.max_gap,
        labels=config.labels,
        balance=settings.balance,
        shares={n: settings.quiet for n, label in enumerate(config.labels) if label in BACKGROUND},
        carry=settings.carry,
        pause=settings.pause,
        ramp_seconds=settings.ramp_seconds,
        late=settings.late,
        seed=seed,
    )
    windows: StreamWindows | SpeechWindows
    if isinstance(settings.augmentation, SpeechAugmentation):
        windows = SpeechWindows(recordings, how, config.sound, blank_of(config.labels))
    else:
        features = None if recordings[0].backbone is not None else _feature_cache(model, settings)
        windows = StreamWindows(recordings, how, background=background or (), features=features)
    balance = None
    if settings.class_balance:
        balance = label_weights(recordings, len(config.labels), settings.class_balance).to(ranks.device)
    state = model.initial_state(streams)
    return Run(
        model, averaged, optimizer, scaler, windows, windows.position.copy(), state, balance, learner=model
    )


@torch.no_grad()
def _standardize(model: ActionModel, recordings: list[Recording]) -> None:
    """Fit the head's ``Standardized`` to the features of recordings of keypoints, of at most so many, evenly."""
    norm = getattr(model.head, "norm", None)
    if not isinstance(norm, Standardized) or recordings[0].backbone is None:
        raise ModelError("standardize is for a recurrent head on keypoints: leave it out")
    found = []
    for recording in recordings[:: 1 + len(recordings) // STANDARDIZED_ON]:
        assert recording.backbone is not None
        features, _, _ = encoded(model, recording.timestamps, recording.backbone)
        found.append(features[0])
    norm.fit(torch.cat(found))


def _feature_cache(model: ActionModel, settings: TrainSettings) -> FeatureCache | None:
    """A cache where the backbone is frozen and encodes each frame by itself; else None."""
    if not (settings.backbone_frozen and model.encoder.has_backbone):
        return None
    dtype = _precision(settings.precision, model.mean.device)
    return FeatureCache(model, settings.of_pictures, views=settings.looks, dtype=dtype)


def _fresh(config: ModelConfig, weights: str | None) -> ActionModel:
    """A model before its first step; the head is taken over too where ``weights`` is a model of the same labels."""
    model = ActionModel(config, weights=weights)
    if weights is None or weights == "imagenet":
        return model
    with suppress(ModelError):  # the weights of a bare CNN have no head
        before = read_checkpoint(weights)
        head = {
            name.removeprefix("head."): torch.from_numpy(np.array(value))
            for name, value in before.weights.items()
            if name.startswith("head.")
        }
        shapes = {name: value.shape for name, value in model.head.state_dict().items()}
        known = {label: row for row, label in enumerate(before.config.labels)}
        if known.keys() == set(config.labels) and shapes == {n: v.shape for n, v in head.items()}:
            rows = [known[label] for label in config.labels]
            for name in ("classifier.weight", "classifier.bias"):  # rows of the phase come after the labels
                head[name][: len(rows)] = head[name][rows]
            model.head.load_state_dict(head)
    return model


def _groups(model: ActionModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """Parameter groups: weight decay is for matrices, not for biases and norms; the backbone has its own rate."""
    backbone = (
        {id(p) for p in _backbone(model, settings).parameters()} if settings.stages != "whole" else set()
    )
    groups = []
    for part in (False, True):
        for matrices in (True, False):
            mine = [
                p for p in model.parameters() if (id(p) in backbone) is part and (p.dim() > 1) is matrices
            ]
            decay = settings.weight_decay if matrices else 0.0
            if mine:
                groups.append({"params": mine, "weight_decay": decay, "backbone": part})
    return groups


def _backbone(model: ActionModel, settings: TrainSettings) -> nn.Module:
    """The part that may be frozen: the encoder's backbone or CNN; the whole encoder where the head alone learns."""
    if settings.stages == "head":
        return model.encoder
    backbone = getattr(model.encoder, "trunk", None) or getattr(model.encoder, "cnn", None)
    if not isinstance(backbone, nn.Module):
        raise ModelError(
            f"the encoder {model.config.encoder} has no backbone to freeze; let the whole model learn"
        )
    return backbone


def _prefetched(windows: StreamWindows | SpeechWindows) -> Iterator[Batch]:
    """The windows; a thread makes the next one while the model learns from this one."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, windows)
        while True:
            batch = coming.result()
            coming = pool.submit(next, windows)
            yield batch


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """The signals that were received: Ctrl-C waits until the step is done, so that the resume file is consistent."""
    before: dict[int, Any] = {}
    received: list[int] = []
    if (
        threading.current_thread() is threading.main_thread()
    ):  # only this one may set handlers, and is interrupted
        # A closed terminal too; Windows has no such signal.
        kinds = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
        before = {kind: handler for kind in kinds if callable(handler := signal.getsignal(kind))}

    def ask(number: int, frame: Any) -> None:
        ending.handler_ran()
        received.append(number)

    for kind in before:
        signal.signal(kind, ask)
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _learn(run: Run, batch: Batch, settings: TrainSettings, ranks: Ranks) -> None:
    """One step: forward, loss, backward, moving average."""
    _enter_stage(run, settings, ranks)
    pictures, elapsed, targets, weights = (
        torch.from_numpy(array).to(ranks.device)
        for array in (batch.pictures, batch.elapsed, batch.targets, batch.weights)
    )
    dtype = _precision(settings.precision, ranks.device)
    with torch.autocast(ranks.device.type, dtype, enabled=dtype is not torch.float32):
        backbone = None if batch.backbone is None else torch.from_numpy(batch.backbone).to(ranks.device)
        outputs, state = run.learner(pictures, elapsed, run.state, backbone)
    logits, phase = run.model.split(outputs.float())
    blank = _blank(run, settings)
    if blank is None or run.now.step < settings.aligned * settings.steps:
        loss = step_loss(logits, targets, weights, settings.label_smoothing, run.balance)
    else:
        loss = ctc_loss(logits, targets, blank)
    if phase is not None:
        known = torch.from_numpy(batch.phases).to(ranks.device)
        loss = loss + settings.phase_weight * phase_loss(phase, known, weights)
    for group in run.optimizer.param_groups:
        group["lr"] = _rate(run.now.step / settings.steps, settings, backbone=group["backbone"])
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.unscale_(run.optimizer)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.gradient_clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    ranks.average_buffers(run.model)
    run.now.step += 1
    run.position = batch.position
    run.state = _detached(state)
    _average(run, min(settings.average, (1.0 + run.now.step) / (10.0 + run.now.step)))
    if blank is None:
        accuracy = (logits.argmax(-1) == targets)[targets != NO_LABEL].float().mean().item()
    else:
        accuracy = accuracy_of(logits, targets, blank)
    run.now.loss = _smoothed(run.now.loss, loss.item())
    run.now.accuracy = _smoothed(run.now.accuracy, accuracy)


def _blank(run: Run, settings: TrainSettings) -> int | None:
    """The blank of the loss ctc; None: the loss is that of frames."""
    return blank_of(run.model.config.labels) if settings.loss == "ctc" else None


def _enter_stage(run: Run, settings: TrainSettings, ranks: Ranks) -> None:
    """Freeze or unfreeze the backbone: it follows from the step alone, so that a resumed run is in the same stage."""
    learned_so_far = run.now.step / settings.steps
    frozen = settings.stages == "head" or (settings.stages == "staged" and learned_so_far < settings.unfreeze)
    if frozen == run.frozen:
        return
    run.frozen = frozen
    run.model.train()
    if settings.stages != "whole":
        _backbone(run.model, settings).requires_grad_(not frozen).train(not frozen)
    if settings.freeze_norm:
        for module in _backbone(run.model, settings).modules():
            if isinstance(module, _BatchNorm):
                module.requires_grad_(False).eval()
    run.learner = run.model  # frees the wrapper before
    run.learner = ranks.wrap(run.model)


def step_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float, balance: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of logits (N, T, C) and targets (N, T), with weights (N, T) and ``balance`` (C,)."""
    losses = F.cross_entropy(
        logits.transpose(1, 2),
        targets,
        reduction="none",
        label_smoothing=label_smoothing,
        ignore_index=NO_LABEL,
    )
    weights = weights * (targets != NO_LABEL)
    if balance is not None:
        weights = weights * balance[targets.clamp(min=0)]
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)


def label_weights(recordings: list[Recording], labels: int, balance: float) -> Tensor:
    """(labels,) weight of a frame of each label, 1 on average: its rarity to the power of ``balance``.

    Rarity is counted in frames as the windows play them: recordings are drawn so that their main labels are equally
    frequent.
    """
    targets = [recording.target for recording in recordings]
    frames = np.zeros(labels)
    for recording in recordings:
        known = recording.targets[recording.targets != NO_LABEL]
        frames += np.bincount(known, minlength=labels) / targets.count(recording.target)
    seen = frames > 0
    weights = np.ones(labels)
    weights[seen] = (frames.sum() / frames[seen]) ** balance
    weights[seen] *= frames.sum() / (frames * weights).sum()
    return torch.tensor(weights, dtype=torch.float32)


def _rate(done: float, settings: TrainSettings, *, backbone: bool = False) -> float:
    """The learning rate after part ``done`` of the steps; the backbone warms up once it is unfrozen."""
    rate = settings.learning_rate * _schedule(done, settings.warmup)
    if not backbone:
        return rate
    warm = (done - settings.unfreeze + 1e-3) / (settings.warmup + 1e-3)
    return rate * settings.trunk_rate * min(max(warm, 0.0), 1.0)


def _schedule(done: float, warmup: float) -> float:
    """Part of the learning rate after part ``done`` of the steps: linear warm-up, then half a cosine to 1 %."""
    if done < warmup:
        return (done + 1e-3) / (warmup + 1e-3)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (done - warmup) / (1.0 - warmup)))


def _precision(wanted: str, device: torch.device) -> torch.dtype:
    """The type of the forward pass: "auto" is bfloat16 where it is fast, on an older GPU float16, else float32."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def _check_precision(wanted: str, device: torch.device) -> None:
    """Raise ``ModelError`` where the device has no LSTM for this type."""
    dtype = _precision(wanted, device)
    lstm = nn.LSTM(2, 2).to(device)
    try:
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            lstm(torch.zeros(1, 1, 2, device=device))
    except RuntimeError as error:
        raise ModelError(
            f"the {device.type} here cannot learn in {wanted}; let the precision be auto"
        ) from error


def _detached(state: State) -> State:
    return replace(
        state,
        head=tuple(a.detach().float() for a in state.head),
        cache=tuple(a.detach().float() for a in state.cache),
        clock=state.clock.detach(),
    )


@torch.no_grad()
def _average(run: Run, decay: float) -> None:
    current = run.model.state_dict()
    for name, value in run.averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1.0 - decay)
        else:
            value.copy_(current[name])


def _evaluate(
    run: Run, watched: list[Recording], settings: TrainSettings, ranks: Ranks, stops: list[int]
) -> bool:
    """Evaluate the averaged weights where it is due, each process its part; with patience keep the best."""
    now = run.now
    due = now.step % settings.evaluate_every == 0 or now.step == settings.steps
    if not (watched and due and now.step > now.watched_at):
        return False
    right = frames = 0
    for recording in watched[ranks.rank :: ranks.count]:
        if stops:
            break
        correct, count = right_of(play(run.averaged, recording), _blank(run, settings))
        right, frames = right + correct, frames + count
    right, frames = (int(total) for total in ranks.sum([right, frames]))
    if ranks.any(bool(stops)):  # not all were played: the resumed run evaluates
        return False
    now.watched_at, now.watched = now.step, right / max(frames, 1)
    if settings.patience is not None and now.watched > now.best:
        now.best_at, now.best = now.step, now.watched
        run.best = {name: value.clone() for name, value in run.averaged.state_dict().items()}
    return True


def _finished(run: Run, settings: TrainSettings) -> bool:
    waited = (run.now.watched_at - run.now.best_at) / settings.evaluate_every
    return run.now.step >= settings.steps or (settings.patience is not None and waited >= settings.patience)


def _held_back(
    recordings: list[Recording], settings: TrainSettings
) -> tuple[list[Recording], list[Recording]]:
    """Recordings to learn from, and to watch: whole groups, as ``held_out`` chooses them."""
    numbered = [Clip(Path(str(i)), str(r.target), r.group) for i, r in enumerate(recordings)]
    try:
        parts = held_out(numbered, part=settings.watch, seed=settings.seed)
    except DataError as error:
        raise DataError(
            "too few groups to watch some of them and stop early; give clips of more groups, or no patience"
        ) from error
    learned, watched = ([recordings[int(str(clip.path))] for clip in part] for part in parts)
    return learned, watched


def _progress(run: Run, settings: TrainSettings) -> Progress:
    now = run.now
    return Progress(
        now.step,
        settings.steps,
        now.loss,
        now.accuracy,
        _rate((now.step - 1) / settings.steps, settings),
        watched=now.watched if now.watched_at == now.step else None,
        best_at=now.best_at if settings.patience is not None and now.best_at else None,
    )


def _smoothed(before: float, value: float) -> float:
    return value if math.isnan(before) else 0.95 * before + 0.05 * value
