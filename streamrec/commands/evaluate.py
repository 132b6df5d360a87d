"""`streamrec eval`, `calibrate`, `familiar`, `crossval`, `bench`, `tune`: measure models."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from streamrec.commands.options import (
    Device,
    Engine,
    EngineName,
    Model,
    Threads,
    _after,
    _complete,
    _for_terminal,
    _parse_changes,
    _parse_numbers,
    _parse_size,
    _progress,
    check_numbers,
)
from streamrec.settings.tuned_file import DEFAULT_MODEL

# Options of train that do not change the model that crossval measures.
NOT_OF_THE_MODEL = ("data", "out", "run_folder", "seed", "hold_out", "threads", "device")


def evaluate(
    model: Annotated[
        str, typer.Argument(help="A shipped model's name, or a file.", autocompletion=_complete("models"))
    ],
    data: Annotated[str, typer.Argument(help="As for train: a folder, a CSV, or synthetic.")],
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Measure only on the part that train kept back; 0 is all.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The seed that train had.")] = 0,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between.")
    ] = "",
    stream: Annotated[
        bool, typer.Option("--stream", help="Also play all clips as one endless stream, the state carried.")
    ] = False,
    source_fps: Annotated[
        str | None,
        typer.Option(help="Also play the files thinned to these frame rates; synthetic: its frame rates."),
    ] = None,
    drop: Annotated[
        str | None,
        typer.Option(help="Also play with this part of the frames lost; more with commas between."),
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="For synthetic: how many streams.")] = 6,
    seconds: Annotated[float, typer.Option(min=1.0, help="For synthetic: how long each.")] = 60.0,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model by playing files, or the synthetic world, through the loop that serves cameras.

    \b
    Examples:
      streamrec eval fight clips/
      streamrec eval mine.safetensors clips.csv --hold-out 0.2
      streamrec eval mine.safetensors clips.csv --stream --source-fps 30,15,10,7.5 --drop 0.3
      streamrec eval synthetic synthetic --source-fps 30,15,10
    """
    from streamrec.errors import DataError
    from streamrec.evaluation.evaluate import (
        evaluate_carried,
        evaluate_clips,
        evaluate_robustness,
        evaluate_world,
    )
    from streamrec.evaluation.text_tables import text_of
    from streamrec.runtime.recognizer import Recognizer

    rates = (
        None if source_fps is None else _parse_numbers(source_fps, "--source-fps", "frame rates", "30,15,10")
    )
    drops = [] if drop is None else _parse_numbers(drop, "--drop", "parts", "0.1,0.3")
    if any(part >= 1.0 for part in drops):
        raise DataError(f"--drop {drop}: give parts of the frames, under 1")
    changed = _parse_changes(relabel)
    if data == "synthetic" and (stream or drops or changed):
        raise DataError("--stream, --drop and --relabel are for files; synthetic is measured without them")
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    reports: list[Any] = []
    if data == "synthetic":
        rates = rates or [30.0, 15.0, 10.0]
        with _progress("streams", len(rates) * streams) as tell:
            for n, rate in enumerate(rates):
                reports.append(
                    evaluate_world(
                        recognizer, fps=rate, streams=streams, seconds=seconds, tell=_after(tell, n * streams)
                    )
                )
    else:
        from streamrec.data.clips import find_clips
        from streamrec.data.splits import held_out

        clips = find_clips(data, relabel=changed, log=lambda text: typer.echo(text, err=True))
        if hold_out:
            clips = held_out(clips, part=hold_out, seed=seed)[1]
        conditions: dict[str, Any] = {"source_fps": [None, *(rates or [])], "drops": [0.0, *drops]}
        robust = bool(rates or drops)
        played = 1 + 2 * stream
        times = played + robust * len(conditions["source_fps"]) * len(conditions["drops"])
        with _progress("clips", times * len(clips)) as tell:
            reports += evaluate_clips(recognizer, clips, tell=tell)
            if stream:
                reports += evaluate_carried(recognizer, clips, seed=seed, tell=_after(tell, len(clips)))
            if robust:
                told = _after(tell, played * len(clips))
                reports.append(evaluate_robustness(recognizer, clips, **conditions, seed=seed, tell=told))
    if as_json:
        typer.echo(json.dumps([report.to_dict() for report in reports], indent=2))
    else:
        typer.echo(_for_terminal("\n\n".join(text_of(report) for report in reports)))


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            help="A shipped model's name, or a .safetensors file.", autocompletion=_complete("models")
        ),
    ],
    background: Annotated[
        list[str],
        typer.Option(help="Footage in which nothing happens: a video, a folder of them; may be given again."),
    ],
    max_false_alarms: Annotated[
        str, typer.Option(help="How many are allowed, all labels together: 1/day, 2/hour, 1/week.")
    ] = "1/day",
    actions: Annotated[
        str | None, typer.Option(help="True actions, as for eval: tells what is missed.")
    ] = None,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the actions, OLD=NEW with commas between.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the model with these thresholds here.")
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a model's thresholds to a place: on footage of it in which nothing happens.

    Says how many false alarms are to be expected, how many actions are missed for it, and how much footage that
    rests on. The thresholds are printed for cameras.toml, or written into a model of its own with --out.

    \b
    Examples:
      streamrec calibrate fight --background quiet_nights/ --max-false-alarms 1/day
      streamrec calibrate fight --background yard.mp4 --actions fights.csv --out yard.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.data.clips import find_clips
    from streamrec.errors import ModelError
    from streamrec.evaluation import alarm_calibration as contracts
    from streamrec.evaluation.evaluate import play_clips
    from streamrec.runtime.checkpoint import model_file, save_with
    from streamrec.runtime.recognizer import Recognizer
    from streamrec.sources.health import amiss

    if out is not None and out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    read = [model_file(model), *map(Path, background), None if actions is None else Path(actions)]
    keep_inputs({"--out": out}, read)
    per_hour = contracts.parse_rate(max_false_alarms)
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    sources = contracts.footage_of(background, recognizer)
    clips = [] if actions is None else find_clips(actions, relabel=_parse_changes(relabel))
    with _progress("recordings", len(sources)) as tell:
        footage = []
        for done, source in enumerate(sources, 1):
            footage.append(contracts.hear(recognizer, source))
            if (why := amiss(source)) is not None:
                typer.echo(f"left out: {source.name} in part: {why}", err=True)
            tell(done)
    with _progress("clips", len(clips)) as tell:
        played, unreadable = play_clips(recognizer, clips, tell=tell)
    for reason in unreadable:
        typer.echo(_for_terminal(f"left out: {reason}"), err=True)
    contract = contracts.calibrate(
        footage, recognizer.labels, recognizer.config.events, per_hour=per_hour, actions=played
    )
    typer.echo(
        json.dumps(contract.to_dict(), indent=2) if as_json else _for_terminal(contracts.text_of(contract))
    )
    lines = contracts.toml_of(contract)
    if out is not None:
        try:
            save_with(model, out, events=contract.settings)
        except ModelError:  # what was measured is not lost with it
            if lines:
                typer.echo(f"\nFor cameras.toml, below the camera that it is for:\n\n{lines}", err=True)
            raise
        if not as_json:
            typer.echo(f"\nwrote {out}")
    elif lines and not as_json:
        typer.echo(f"\nFor cameras.toml, below the camera that it is for:\n\n{lines}")


def familiar(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .safetensors file.")],
    data: Annotated[
        list[str], typer.Argument(help="What it learned from, as for train; or videos of a place.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    strangest: Annotated[
        float | None,
        typer.Option(min=0.0, help="Strangeness above which no action starts: 1 is the border, 0 is off."),
    ] = None,
) -> None:
    """Tell a model which pictures it knows, so that it can say of others that they are unknown.

    The network stays as it is, to the bit. What train writes knows already what it learned from.

    \b
    Examples:
      streamrec familiar mine.safetensors my_clips/ --out mine-again.safetensors
      streamrec familiar fight yard_by_day.mp4 yard_by_night.mp4 --strangest 1 --out yard.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.runtime.checkpoint import model_file, read_checkpoint, save_with
    from streamrec.train.ood_fit import known_of, recordings_of

    if out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    keep_inputs({"--out": out}, [model_file(model), *data])
    config = read_checkpoint(model).config
    recordings, unreadable = recordings_of(data, config)
    for reason in unreadable:
        typer.echo(_for_terminal(f"left out: {reason}"), err=True)
    known = known_of(recordings, config.fps)
    events = config.events if strangest is None else replace(config.events, strangest=strangest)
    save_with(model, out, known=known, events=events)
    groups = len({recording.group for recording in recordings})
    typer.echo(
        f"wrote {_for_terminal(out)}: it knows the pictures of {len(recordings)} recordings, {groups} groups"
    )
    if groups < 2:
        typer.echo(
            "one group alone says little of what else is to be expected; give several places or days",
            err=True,
        )


def crossval(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="As for train: folders and CSV files. They come first.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for the folds and the report.")],
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Data that each fold learns from and none is measured on; may be given again."),
    ] = None,
    folds: Annotated[str, typer.Option(help="How many, or group: each group is held out once.")] = "5",
    seeds: Annotated[str, typer.Option(help="Of the training; each trains all folds.")] = "0",
    fold_seed: Annotated[int, typer.Option(min=0, help="How groups fall into folds.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Measure the baselines beside the model.")] = True,
    frozen: Annotated[
        str | None,
        typer.Option(help="Baselines on this encoder with ImageNet weights too, like efficientnet_lite0."),
    ] = None,
    relabel: Annotated[str, typer.Option(help="As for train; by default as the recipe has it.")] = "",
) -> None:
    """Train and measure on folds that share no group; all other options are those of train.

    A run that is stopped goes on where it was when the same command is given again. What was said of each frame,
    report.json and report.md are in the folder.

    \b
    Examples:
      streamrec crossval clips.csv --out folds/
      streamrec crossval clips.csv --out folds/ --folds group --seeds 0,1,2
      streamrec crossval clips.csv more.csv --out folds/ --beside street/
    """
    from streamrec.commands.train import job_of
    from streamrec.core.files import keep_inputs
    from streamrec.data.clips import find_clips, grouped_with
    from streamrec.errors import DataError
    from streamrec.evaluation.crossval import cross_validate, files_in, write_index
    from streamrec.evaluation.crossval_report import CrossValidation, markdown_of
    from streamrec.runtime.checkpoint import load_model
    from streamrec.train.recipes import choose_recipe

    more = list(takewhile(lambda word: not word.startswith("-"), context.args))
    options = context.args[len(more) :]
    if data.startswith("-") or "synthetic" in (data, *more):
        raise DataError(f"crossval {data}: first give a folder of clips or a CSV, then the options")
    if any(option.partition("=")[0] in ("--seed", "--hold-out") for option in options):
        raise DataError("crossval takes --seeds and --folds in place of --seed and --hold-out")
    if folds != "group" and not folds.isdecimal():
        raise DataError(f"--folds {folds}: give a number, or group")
    if not all(part.strip().isdecimal() for part in seeds.split(",")):
        raise DataError(f"--seeds {seeds}: give whole numbers with commas between, like 0,1,2")
    given = _options_of_train(context, [data, *more, "--out", "model.safetensors", *options])
    notes = []  # printed when the first fold begins: all that is asked for is possible then
    if given["recipe"] is None and given["world"] is None:  # one for all folds
        given["recipe"], why = choose_recipe(find_clips([data, *more], relabel=_parse_changes(relabel)))
        notes.append(why)
    job = job_of(given)
    changed = _parse_changes(relabel) or job.relabel

    def train_fold(learned: list[Any], measured: list[Any], number: int, folder: Path) -> Any:
        while notes:
            typer.echo(notes.pop(), err=True)
        model = folder / "model.safetensors"
        if not model.exists():  # it does when the run was stopped while it was measured
            write_index(learned, folder / "learned.csv")
            run = job.folder or model.with_suffix(".run")
            # Nothing is measured while it learns: that is done once, by the loop that serves cameras.
            job.train_fold(learned, [], number, folder, run_folder=run)
        return load_model(str(model))

    clips = find_clips([data, *more], relabel=changed, log=lambda text: typer.echo(text, err=True))
    aside = find_clips(beside, relabel=changed, least=1) if beside else []
    aside = grouped_with(clips, aside, log=lambda text: typer.echo(text, err=True))
    read = [data, *more, *(beside or ()), *(clip.path for clip in (*clips, *aside))]
    keep_inputs({"--out": [out, *files_in(out)]}, read)
    recipe = {name: value for name, value in given.items() if name not in NOT_OF_THE_MODEL}
    report = cross_validate(
        clips,
        train_fold,
        out,
        CrossValidation(
            folds=None if folds == "group" else int(folds),
            seeds=tuple(int(part) for part in seeds.split(",")),
            fold_seed=fold_seed,
            baselines=baselines,
            frozen=frozen,
        ),
        beside=aside,
        recipe=json.loads(json.dumps(recipe, default=str)),
        tell=lambda text: typer.echo(_for_terminal(text), err=True),
    )
    typer.echo(_for_terminal(markdown_of(report)))


def _options_of_train(context: typer.Context, words: list[str]) -> dict[str, Any]:
    """The options that ``train`` would be given with these words; what is wrong with one is reported here."""
    assert context.parent is not None
    commands: Any = context.parent.command
    learn = commands.get_command(context.parent, "train")
    with learn.make_context("train", words, parent=context.parent) as own:
        check_numbers(own)
        return dict(own.params)


def bench(
    model: Model = DEFAULT_MODEL,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    video: Annotated[
        Path | None, typer.Option(help="A video to measure on; by default the synthetic world as H.264.")
    ] = None,
    size: Annotated[str, typer.Option(help="Of the synthetic world's pictures, WIDTHxHEIGHT.")] = "1280x720",
    frames: Annotated[int, typer.Option(min=16, help="How many frames a round.")] = 90,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long a camera is watched.")] = 6.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what a frame costs here, stage by stage; sustained rates, latency, streams, memory and start.

    On a machine that does nothing else; other work shows in all of its numbers.

    \b
    Examples:
      streamrec bench
      streamrec bench --model mine.safetensors --engine torch --threads 2
      streamrec bench --video party.mp4 --json
    """
    from streamrec.evaluation.bench import BenchSettings, run_bench, text_of

    report = run_bench(
        BenchSettings(
            model=model,
            engine=engine.value,
            device=device,
            threads=threads,
            video=video,
            size=_parse_size(size),
            frames=frames,
            rounds=rounds,
            seconds=seconds,
        ),
        tell=lambda text: typer.echo(f"{text} ...", err=True),
    )
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else _for_terminal(text_of(report)))


def tune(
    data: Annotated[
        str, typer.Argument(help="Labelled clips, as for train, or synthetic: a world of the model's labels.")
    ] = "synthetic",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A shipped model's name, or a file; again for each to compare.",
            autocompletion=_complete("models"),
        ),
    ] = None,
    engine: Engine = EngineName.auto,
    cameras: Annotated[int, typer.Option(min=1, help="How many there are to be.")] = 1,
    size: Annotated[str, typer.Option(help="Of their pictures, WIDTHxHEIGHT.")] = "1280x720",
    camera_fps: Annotated[float, typer.Option(min=1.0, help="Their frames a second.")] = 30.0,
    fps: Annotated[
        str | None,
        typer.Option(help="Rhythms to try; by default the model's, 2/3, 1/2 and 1/3 of it."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of stream that each is played.")] = 120.0,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the order of clips, or of the world.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("tuned.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose model, engine, threads and rhythm for this machine, and write them for run and watch.

    What counts is accuracy by the clock: at each moment what was said last, and was ready, is held against what is
    true then. A model's resolution is its own: give models of several sizes to choose among them.

    
    Examples:
      streamrec tune
      streamrec tune my_clips/ --model mine.safetensors --cameras 6
      streamrec tune clips.csv -m fight -m small.safetensors --fps 15,10,5 --out yard.toml
      streamrec watch cameras.toml --config yard.toml
    """
    from streamrec.core.files import keep_inputs, replacing
    from streamrec.evaluation.tune import TuneSettings, run_tune, text_of
    from streamrec.runtime.checkpoint import model_file
    from streamrec.settings.tuned_file import toml_of

    keep_inputs({"--out": out}, [data, *map(model_file, model or ())])
    report = run_tune(
        TuneSettings(
            data=data,
            models=tuple(model or [DEFAULT_MODEL]),
            engines=() if engine is EngineName.auto else (engine.value,),
            cameras=cameras,
            size=_parse_size(size),
            camera_fps=camera_fps,
            rates=() if fps is None else tuple(_parse_numbers(fps, "--fps", "frame rates", "15,10,5")),
            seconds=seconds,
            relabel=tuple(_parse_changes(relabel).items()),
            seed=seed,
        ),
        tell=lambda text: typer.echo(f"{text} ...", err=True),
    )
    tuned = report.tuned
    if tuned.model is not None and Path(tuned.model).is_file():
        tuned = replace(tuned, model=str(Path(tuned.model).absolute()))
    why = f"streamrec tune: {text_of(report).splitlines()[0]}; {report.machine['processor']}"
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else _for_terminal(text_of(report)))
    try:
        with replacing(out, "w", encoding="utf-8") as file:
            file.write(toml_of(tuned, why))
    except OSError:  # it took minutes to find: nobody has to find it again
        typer.echo(f"\nWhat {out} would hold:\n\n{toml_of(tuned, why)}", err=True)
        raise
    typer.echo(f"{out}: streamrec run --config {out}, streamrec watch --config {out}", err=True)
