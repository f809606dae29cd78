"""What the report says of the run itself: its method, data, settings and machine."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from synergynet_tf import runs
from synergynet_tf.evaluation.report.markup import Markup, element, section
from synergynet_tf.evaluation.tables.paper import unlike_recipe
from synergynet_tf.experiments import settings_of
from synergynet_tf.formats import with_options
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import read_json, shown

Report = dict[str, Any]
ENVIRONMENT = "environment.json"


def read_object(run: str | pathlib.Path, name: str) -> dict[str, Any]:
    """Reads an object of JSON of the run's folder; an empty one if it is not there.

    Raises:
        ValueError: If it is damaged.
    """
    path = pathlib.Path(run, name)
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; delete it") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds {shown(value)}; delete it")
    return value


def read_made(
    run: Run, name: str, check: Callable[[Any], None], command: str
) -> dict[str, Any] | None:
    """Reads what another command has made of a run.

    Args:
        run: The run.
        name: Of the file of JSON, from the run's folder.
        check: Raises an error if the page could not show the content.
        command: What writes the file again, without the run.

    Returns:
        None if there is nothing, or it is older than the weights.

    Raises:
        ValueError: If it is damaged.
    """
    path = run.path / name
    if not path.is_file() or run.is_older_than_weights(name):
        return None
    try:
        made: dict[str, Any] = read_json(path)
        check(made)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); write it again with {command} --run {run}"
        ) from error
    return made


def run_section(
    run: Run,
    report: Report,
    seconds: float | None,
) -> Markup:
    """Describes the run.

    Args:
        run: The run.
        report: Its scores.
        seconds: How long it was trained; None if nobody knows.
    """
    config = run.config
    model, training = config.model, config.training
    machine = read_object(run.path, ENVIRONMENT)
    finished = read_object(run.path, runs.FINISHED)
    fold = f", fold {report['fold']}" if report["fold"] else ""
    limit = f" (--limit {report['limit']})" if report["limit"] else ""
    options = with_options(report["options"]).removeprefix(", with ") or "none"
    versions = [f"{n} {machine[n]}" for n in ("synergynet_tf", "keras") if n in machine]
    facts = {
        "Method": f"{model.name} on {model.backbone}, seed {training.seed}",
        "Data": f"{config.data.dataset}, {report['data_split']} split{fold}, "
        f"{report['split']} part: {report['num_cases']} cases of "
        f"{report['num_patients']} patients{limit}",
        "Protocols": f"{report['protocol']}; the paper's: {report['paper_protocol']}",
        "Options": options,
        "Images": f"{model.image_size} pixels high and wide for the network",
        "Training": f"{report['trained_epochs']} of {report['epochs']} epochs, "
        f"batches of {training.batch_size}, learning rate "
        f"{config.optimizer.learning_rate}",
        "Encoder weights": pathlib.Path(model.encoder_weights).name,
        "Precision": training.precision,
        "Duration": _duration(seconds),
        "Best epoch": _text(finished.get("best_epoch")),
        "Commit": _text(machine.get("commit")),
        "Begun": _text(machine.get("started")),
        "Software": ", ".join([*versions, *_known(machine, "backend")]),
        "Machine": ", ".join(
            [*_known(machine, "machine"), *_known(machine, "system")]
            + [f"{cores} cores" for cores in _known(machine, "cores")]
            + [", ".join(map(str, machine.get("devices") or ()))]
        ).strip(", "),
    }
    settings = {name: str(value) for name, value in settings_of(config).items()}
    return section(
        "Run",
        *_warnings(run, report),
        _list(facts),
        element(
            "details",
            element("summary", "All settings, as in config.json"),
            _list(settings),
        ),
        id_="run",
    )


def _warnings(run: Run, report: Report) -> list[Markup]:
    """Says what keeps the scores from being compared with the paper's."""
    notes = []
    if changes := unlike_recipe([run.config]):
        notes.append(
            f"This is not the paper's recipe ({'; '.join(changes)}): the difference to "
            "the paper's numbers says nothing about the method."
        )
    if report["split"] != "test":
        notes.append(
            "These are scores of the validation part, on which the best epoch was "
            "chosen; the paper's are of the test part."
        )
    if not run.is_finished():
        notes.append("The training is not finished.")
    return [element("p", note, class_="warning") for note in notes]


def _list(facts: Mapping[str, str]) -> Markup:
    """Lists what has a text."""
    entries = [
        element("div", element("dt", name), element("dd", text))
        for name, text in facts.items()
        if text
    ]
    return element("dl", *entries, class_="facts")


def _known(values: Mapping[str, Any], name: str) -> list[str]:
    return [str(values[name])] if name in values else []


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _duration(seconds: float | None) -> str:
    """Writes a time as people say it.

    Example:
    >>> [_duration(s) for s in (42.0, 302.0, 7500.0)]
    ['42 s', '5 min 2 s', '2 h 5 min']
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
