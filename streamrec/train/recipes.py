"""Recipes: named settings, so that a model card's command is short: ``streamrec train clips/ --recipe fight``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from streamrec.data.clips import Clip
from streamrec.errors import DataError, ModelError
from streamrec.evaluation.sets import EXERCISES
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders import JOINTS, ON_PEOPLE, OTHER_SENSES, PERSONS
from streamrec.nn.encoders.keypoints import NAME as KEYPOINTS
from streamrec.nn.encoders.person_box import MAPS as PERSON_BOX
from streamrec.nn.encoders.person_box import NAME as PERSON_BOX_JOINTS
from streamrec.nn.encoders.signal import NAME as SIGNAL_CNN
from streamrec.nn.encoders.sound import NAME as SOUND_CNN
from streamrec.nn.encoders.sound import SPEECH as SPEECH_CNN
from streamrec.nn.sound import SoundTransform
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import find_model, read_checkpoint
from streamrec.sources.sound_files import is_sound_file
from streamrec.sources.tables import is_table
from streamrec.train.augment import Augmentation
from streamrec.train.fit import TrainSettings
from streamrec.train.linear_fit import LinearSettings
from streamrec.train.signal_windows import SignalAugmentation
from streamrec.train.sound_windows import SoundAugmentation
from streamrec.train.speech_streams import SpeechAugmentation

SMALL = Transform(
    width=80, height=64
)  # input of the motion encoder: it trains in seconds for each minute of video on a CPU
PLAIN = MappingProxyType({"transform": SMALL, "dropout": 0.4})  # defaults of ModelConfig


# Chosen on drawn scenes and on false events of people who exercise or live at home; docs/model-cards/webcam.md.
_WEBCAM_STARTS: Mapping[str, Mapping[str, float]] = {
    "wave": {"enter": 0.75, "shortest": 0.4},
    "raise_one_hand": {"enter": 0.85, "shortest": 0.2},
    "raise_both_hands": {"enter": 0.65, "shortest": 0.2},
    "arms_out": {"enter": 0.65, "shortest": 0.6},
    "clap": {"enter": 0.65, "shortest": 0.2},
    "point": {"enter": 0.93, "shortest": 0.4},
    "drink": {"enter": 0.93, "shortest": 0.4},
    "phone": {"enter": 0.85, "shortest": 0.2},
    "sit_down": {"enter": 0.45, "shortest": 0.2},
    "stand_up": {"enter": 0.65, "shortest": 0.2},
    "walk_in": {"enter": 0.75, "shortest": 0.2},
    "walk_out": {"enter": 0.93, "shortest": 0.2},
    "jump": {"enter": 0.45, "shortest": 0.9},
    "squat": {"enter": 0.45, "shortest": 0.2},
}
WEBCAM_EVENTS = {label: {**numbers, "leave": 0.35} for label, numbers in _WEBCAM_STARTS.items()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Named settings of a training; options of the command override them."""

    about: str  # one sentence, for `--recipe` without a known name
    settings: TrainSettings = TrainSettings()  # noqa: RUF009 (frozen)
    config: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # fields of ModelConfig
    weights: str | None = None  # what the encoder starts from
    world: str | None = None  # a kind of synthetic world that is learned from too
    scenes: int = 240  # of it
    relabel: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # pattern -> new name
    score: str = "pictures"  # what the out-of-distribution score judges, as ``TrainJob`` has it
    otherwise: str | None = None  # the recipe to take where its frozen backbone does not separate the labels


FEW = TrainSettings(steps=160, window=16, average=0.98, label_smoothing=0.1, weight_decay=0.05)

# Frozen ImageNet features of postures beside motion; the backbone encodes each view once.
JOINT = MappingProxyType({"encoder": "joint", "transform": Transform(width=160, height=128)})
# Frozen features of a CNN that knows people, at the size that all such models share.
PERSON = MappingProxyType(
    {"encoder": "person", "transform": Transform(width=256, height=192, fit="pad"), "head": "statistics"}
)
PERSON_WEIGHTS = "fight"  # a shipped model that holds that network, and whose graph computes its features
KEYPOINT = MappingProxyType({"encoder": KEYPOINTS, "transform": PERSON["transform"]})
# Maps and keypoints of one pass, and a head on each: what one misses, or takes for another action, the other may not.
ENSEMBLE = MappingProxyType(
    {
        "encoder": PERSON_BOX_JOINTS,
        "statistics_changes": False,
        "transform": PERSON["transform"],
        "head": "ensemble",
        "hidden_size": 96,
        "dropout": 0.4,
    }
)
# Encoder -> fields of ModelConfig that a recipe need not name; those of the other encoders are PLAIN's.
USUAL: Mapping[str | None, Mapping[str, Any]] = MappingProxyType(
    {
        **{name: {**PLAIN, **JOINT} for name in JOINTS},
        # Their transform follows from the data.
        **{name: MappingProxyType({}) for known in OTHER_SENSES.values() for name in known},
        **dict.fromkeys((*PERSONS, PERSON_BOX), PERSON),
        KEYPOINTS: {**PLAIN, **KEYPOINT},
        PERSON_BOX_JOINTS: ENSEMBLE,
    }
)
# Staged training in which the backbone never learns.
FROZEN_BACKBONE: Mapping[str, Any] = MappingProxyType(
    {"stages": "staged", "unfreeze": 1.0, "evaluate_every": 1000}
)

# The LSTM of an ensemble head: recordings and drawn scenes, each as often.
ENSEMBLE_STEPS = TrainSettings(
    **FROZEN_BACKBONE,
    steps=500,
    streams=24,
    window=80,
    balance=0.0,
    carry=0.4,
    learning_rate=3e-3,
    weight_decay=0.05,
    average=0.99,
    precision="float32",
    looks=2,
)

# Readings of sensors: a causal CNN over the last second, and an LSTM.
SIGNAL = MappingProxyType(
    {
        "encoder": SIGNAL_CNN,
        "hidden_size": 48,
        "dropout": 0.4,
        "fps": 25.0,
        "max_gap": 1.0,
        "recall": False,
        "events": EventSettings(enter=0.5, leave=0.4, smoothing=0.1, shortest=0.2),
    }
)
SIGNAL_RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        "settings": TrainSettings(
            steps=600,
            streams=16,
            window=96,
            balance=0.0,
            carry=0.25,
            ramp_seconds=0.5,
            class_balance=0.5,
            learning_rate=3e-3,
            weight_decay=0.05,
            average=0.99,
            precision="float32",
            augmentation=SignalAugmentation(),
        ),
        "config": SIGNAL,
        "score": "none",
    }
)

# Sounds: a CNN over the log-mel spectrum, and an LSTM.
SOUND = MappingProxyType(
    {
        "encoder": SOUND_CNN,
        "transform": SoundTransform(window=512, stride=320, mels=48),
        "fps": 12.5,
        "hidden_size": 96,
        "dropout": 0.3,
        "max_gap": 1.0,
        "events": EventSettings(enter=0.5, leave=0.35, smoothing=0.3, shortest=0.2),
    }
)

# Spoken words: a CNN over the log-mel spectrum and an LSTM that spells the stream (``ctc.py``), 25 steps a second.
# The settings of events are the decoder: a word is over ``enter``, and the same word again needs the blank between.
SPEECH = MappingProxyType(
    {
        "encoder": SPEECH_CNN,
        "transform": SoundTransform(
            rate=8_000,
            hop=320,
            window=160,  # so short that the tones of a voice are one: its pitch is no part of a word
            stride=80,
            mels=24,
            low=60.0,
            high=3_800.0,
            mean=(-12.0,) * 24,
            std=(4.0,) * 24,
        ),
        "fps": 25.0,
        "max_gap": 1.0,
        "hidden_size": 80,
        "dropout": 0.3,
        "recall": False,
        "events": EventSettings(enter=0.35, leave=0.3, smoothing=0.12, shortest=0.0, merge_gap=0.0),
    }
)
SPEECH_RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        "settings": TrainSettings(
            loss="ctc",
            aligned=1.0,  # a composed stream knows where each word ends; what is measured is the order alone
            steps=1600,
            streams=8,
            window=88,
            carry=0.5,
            learning_rate=4e-3,
            weight_decay=0.05,
            average=0.99,
            precision="float32",
            augmentation=SpeechAugmentation(),
            evaluate_every=100_000,
        ),
        "config": SPEECH,
        "score": "none",
    }
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "people": Recipe(
            about="what people do, from a few clips: features of a network that knows people",
            settings=TrainSettings(
                looks=3,
                # Actions begin alike, and recorded ones in a neutral posture.
                linear=LinearSettings(late=1.0, statistics="all"),
            ),
            config=PERSON,
            score="features",
            otherwise="gesture",
        ),
        "handful": Recipe(
            about="a few dozen short clips: a minute or two on a CPU",
            settings=replace(FEW, steps=120, streams=8),
            config=MappingProxyType({"hidden_size": 96}),
        ),
        "few": Recipe(
            about="a few hundred short clips: minutes on a CPU",
            settings=FEW,
            config=MappingProxyType({"hidden_size": 96}),
        ),
        "many": Recipe(about="thousands of clips, or hours of labelled video"),
        "gesture": Recipe(
            about="gestures that only their motion tells, where left is not right",
            settings=replace(
                FEW,
                steps=400,
                streams=4,
                window=96,  # a whole gesture and what came before: its first frames must get a gradient
                late=1.0,  # a star begins like a caret, so that frames weigh more toward the end
                augmentation=Augmentation(flip=False).scaled(0.5),
            ),
            config=MappingProxyType({"hidden_size": 96}),
        ),
        "pose": Recipe(
            about="postures, with the ways into them and out, one after the other",
            settings=replace(
                FEW,
                **FROZEN_BACKBONE,
                steps=250,
                streams=4,
                window=96,
                carry=0.5,  # poses follow each other: the model must forget the one before
                ramp_seconds=15.0,
                late=3.0,  # the pose at the end counts, not the way into it
            ),
            weights="imagenet",
            config=MappingProxyType(
                {
                    **JOINT,
                    "hidden_size": 48,
                    "dropout": 0.6,
                    "fps": 5.0,
                    "recall_features": True,
                    "recall_only": True,  # classify on the long-term average, not on the last posture
                    "recall_gate": True,
                    "recall_frames": 1000.0,
                }
            ),
        ),
        "fight": Recipe(
            about="the shipped model fight",
            settings=TrainSettings(looks=2, linear=LinearSettings(background_share=0.3)),
            config=MappingProxyType(
                {
                    **PERSON,
                    "encoder": "person-scene",  # who moves, and how much all do: it carries to other places
                    "events": EventSettings(enter=0.57, smoothing=0.4, shortest=0.6, merge_gap=1.0),
                    "about": "Fight or normal in CCTV footage; trained on 238 clips of 2 s, with exercises and daily "
                    "life as background.",
                }
            ),
            relabel=MappingProxyType({"fight": "fight", "*": "normal"}),
        ),
        "fall": Recipe(
            about="the shipped model fall",
            settings=replace(
                ENSEMBLE_STEPS,
                # Before, a fall resembles sitting down; afterwards, lying down on purpose.
                # Few people and rooms: a high penalty carries to others.
                linear=LinearSettings(onset=0.5, longest=2.5, penalty=20.0),
            ),
            config=MappingProxyType(
                {
                    **ENSEMBLE,
                    "keypoint_share": 0.35,
                    "events": EventSettings(enter=0.5, leave=0.4, smoothing=0.2, shortest=0.2, merge_gap=1.0),
                    "about": "Fall or normal, one person in a room; learned from 19 videos of 3 people, drawn people "
                    "and motion capture, with exercises as background.",
                }
            ),
            world="room",
            scenes=400,
            score="none",
            relabel=MappingProxyType({"[Ff]all*": "fall", "*": "normal"}),
        ),
        "workout": Recipe(
            about="the shipped model workout",
            settings=replace(
                ENSEMBLE_STEPS,
                steps=1200,
                balance=1.0,
                quiet=1.7,
                phase_weight=2.0,
                background_penalty=2.0,
                linear=LinearSettings(penalty=0.3),
            ),
            config=MappingProxyType(
                {
                    **ENSEMBLE,
                    "standardize": True,
                    "keypoint_share": 0.6,
                    "counted": EXERCISES,
                    "events": EventSettings(enter=0.9, leave=0.5, smoothing=1.0, shortest=1.0, merge_gap=1.0),
                    "about": "Push-ups, pull-ups, squats and dips, counted; learned from 62 clips, drawn people and "
                    "motion capture, with falls and fights as background.",
                }
            ),
            world="gym",
            scenes=1000,
            score="none",
            relabel=MappingProxyType({**{label: label for label in EXERCISES}, "*": "background"}),
        ),
        "webcam": Recipe(
            about="the shipped model webcam",
            settings=replace(
                TrainSettings(),
                **FROZEN_BACKBONE,
                steps=1400,
                streams=48,
                window=64,
                balance=0.8,  # a jump is rare among drawn scenes
                class_balance=0.4,
                carry=0.3,
                ramp_seconds=0.5,
                learning_rate=4e-3,
                precision="float32",  # places of keypoints need more digits than bfloat16 has
            ),
            config=MappingProxyType(
                {
                    **KEYPOINT,
                    "hidden_size": 96,
                    "dropout": 0.4,
                    "events": EventSettings(enter=0.75, leave=0.35, shortest=0.4, by_label=WEBCAM_EVENTS),
                    "about": "One person before a webcam: wave, hands up, arms out, clap, point, drink, phone, "
                    "sit down, stand up, come, go, jump, squat; learned from drawn keypoints and motion capture.",
                }
            ),
            world="webcam",
            scenes=1800,
        ),
        "signal": Recipe(about="readings of sensors: tables with a column label", **SIGNAL_RECIPE),
        "sound": Recipe(
            about="sounds: sound files, or the sound tracks of videos",
            settings=TrainSettings(
                steps=600,
                streams=16,
                window=40,
                carry=0.4,
                pause=0.5,
                ramp_seconds=0.5,
                learning_rate=3e-3,
                weight_decay=0.05,
                average=0.98,
                precision="float32",
                augmentation=SoundAugmentation(),
            ),
            config=SOUND,
            score="none",
        ),
        "motion": Recipe(
            about="the shipped model motion",
            **{
                **SIGNAL_RECIPE,
                "config": MappingProxyType(
                    {
                        **SIGNAL,
                        "about": "A phone in the pocket: seated, standing_up, walking, turning, sitting_down; learned "
                        "from 175 streams of 18 people.",
                    }
                ),
            },
        ),
        "speech": Recipe(
            about="spoken words in an endless stream: recordings of one word each", **SPEECH_RECIPE
        ),
        "digits": Recipe(
            about="the shipped model digits",
            **{
                **SPEECH_RECIPE,
                "config": MappingProxyType(
                    {
                        **SPEECH,
                        "about": "Spoken digits, English, zero to nine, as they are spoken; learned from 2,500 "
                        "recordings of 5 speakers.",
                    }
                ),
            },
        ),
        "synthetic": Recipe(
            about="the shipped model synthetic",
            settings=TrainSettings(steps=2400),
            config=MappingProxyType(
                {
                    "encoder": "difference",
                    "recall": False,
                    "transform": Transform(width=96, height=72),
                    "fps": 15.0,
                    "dropout": 0.2,
                    "about": "Jointed figures of the synthetic world; trained on 1 hour of it, 180 bodies and "
                    "cameras.",
                }
            ),
        ),
    }
)


MOST = MappingProxyType({"handful": 60, "few": 600})  # clips that a recipe is chosen for
# Options of ``train`` that ask for a network trained in steps, which the recipe people is not.
FOR_STEPS = (
    "encoder", "size", "fps", "head", "hidden", "dropout", "count", "steps", "soup", "streams", "window",
    "learning_rate", "weight_decay", "label_smoothing", "class_balance", "carry", "patience", "evaluate_every",
    "stages", "unfreeze", "trunk_rate", "freeze_norm", "precision",
)  # fmt: skip


def find_recipe(name: str) -> Recipe:
    """The recipe of a name; raises ``DataError`` that lists them."""
    if name not in RECIPES:
        known = "; ".join(f"{each} ({recipe.about})" for each, recipe in RECIPES.items())
        raise DataError(f"there is no recipe {name!r}; there are: {known}")
    return RECIPES[name]


def choose_recipe(clips: Sequence[Clip], given: Mapping[str, Any] = MappingProxyType({})) -> tuple[str, str]:
    """The recipe for so many clips, and a sentence with the reason; of an untrimmed video each segment counts.

    ``given``: options of ``train`` by their Python names. Where one asks for a network trained in steps, or the
    weights hold no network that knows people, the recipe is not ``people``.

    >>> from pathlib import Path
    >>> clips = [Clip(Path(f"{n}.mp4"), "wave", "me") for n in range(9)]
    >>> choose_recipe(clips)[0], choose_recipe(clips, {"steps": 50})[0]
    ('people', 'handful')
    """
    if clips and all(is_table(clip.path) for clip in clips):
        groups = len({clip.group for clip in clips})
        return (
            "signal",
            f"{len(clips)} tables of readings of {groups} groups: recipe signal; --recipe names another",
        )
    if clips and all(is_sound_file(clip.path) for clip in clips):
        groups = len({clip.group for clip in clips})
        return "sound", f"{len(clips)} sound files of {groups} groups: recipe sound; --recipe names another"
    pieces = sum(1 if clip.label is not None else max(1, len(clip.segments)) for clip in clips)
    name = next((name for name, most in MOST.items() if pieces <= most), "many")
    if name in MOST and not any(given.get(option) for option in FOR_STEPS) and _knows_people(given):
        name = "people"
    groups = len({clip.group for clip in clips})
    what = "clips" if all(clip.label is not None for clip in clips) else "clips and segments"
    return name, (
        f"{pieces} {what} of {groups} group{'s' if groups > 1 else ''}: recipe {name} ({RECIPES[name].about}); "
        "--recipe names another, and options go before it"
    )


def _knows_people(given: Mapping[str, Any]) -> bool:
    """Whether the weights, given or the recipe's, are those of a model with a person backbone."""
    weights = given.get("weights") or PERSON_WEIGHTS
    with suppress(ModelError):  # what it is, or that there is none, is reported where it is read
        encoder = "" if weights == "imagenet" else read_checkpoint(find_model(weights)).config.encoder
        return encoder in ON_PEOPLE
    return False


def put_together(
    name: str | None = None,
    *,
    weights: str | None = None,
    config: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    flip: bool | None = None,
    variation: float | None = None,
) -> tuple[ModelConfig, TrainSettings, str | None]:
    """A recipe with overrides: the config (still without labels), the settings, the weights.

    ``weights`` may name a shipped model, or be any model's file: then its encoder is taken over, with its input size
    and sampling rate. ``variation`` scales how much recordings are varied. Raises
    ``DataError`` and ``ModelError``.

    >>> config, settings, _ = put_together("gesture", config={"fps": 12.0}, settings={"steps": 10})
    >>> config.hidden_size, config.fps, settings.window, settings.steps
    (96, 12.0, 96, 10)
    """
    recipe = Recipe(about="") if name is None else find_recipe(name)
    weights = weights or recipe.weights
    start: dict[str, Any] = {}
    if weights is not None and weights != "imagenet":
        weights = str(find_model(weights))
        with suppress(ModelError):  # the weights of a bare CNN have no config
            known = read_checkpoint(weights).config
            start = {"encoder": known.encoder, "transform": known.transform, "fps": known.fps}
    given = {**start, **recipe.config, **(config or {})}
    encoder = given.get("encoder")
    if weights is None and encoder in ON_PEOPLE:
        weights = str(find_model(PERSON_WEIGHTS))  # the backbone stays frozen: at random it would be useless
    fields = {**USUAL.get(encoder, PLAIN), **given}
    fields.setdefault("max_gap", max(2.0, 5.0 / fields.get("fps", ModelConfig.fps)))
    learning = replace(recipe.settings, **(settings or {}))
    how = learning.augmentation
    if how is not None:
        if flip is not None and isinstance(how, Augmentation):
            how = replace(how, flip=flip)
        how = how if variation is None else how.scaled(variation)
        learning = replace(learning, augmentation=how)
    return ModelConfig(labels=(), **fields), learning, weights
