"""Learning curves: the `history.csv` of one run, and validation curves of several."""

from __future__ import annotations

import pathlib
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synergynet_tf import runs
from synergynet_tf.config import RECIPES, ExperimentConfig
from synergynet_tf.evaluation.figures.overlays import LINE_COLORS, disable_mathtext
from synergynet_tf.experiments import settings_of
from synergynet_tf.runs import Run

# Panels: a title, and the columns that share its axis.
PANELS = (
    ("loss", ("loss",)),
    ("DSC at the network's size", ("dsc",)),
    ("codes: used (solid) and perplexity (dashed)", ("codes_used", "perplexity")),
)
COLORS = {"": "#0072B2", "val_": "#D55E00"}  # Okabe and Ito's blue and vermilion.
NAMES = {"": "training", "val_": "validation"}
STYLES = ("solid", "dashed")
MAX_MARKERS = 40  # Curves of more epochs have no markers.
LABEL_WIDTH = 90  # Largest number of characters in a line of the legend.
# Settings of where a run's data lay and where it was computed: not named in labels.
_PLACES = ("data_dir", "strategy", "devices")
# Settings that go with a dataset.
_OF_DATASET = ("split", "modality", "num_classes")


def read_columns(run: Run) -> dict[str, list[float]]:
    """Reads the columns of `history.csv`, among them all that `PANELS` needs.

    Raises:
        FileNotFoundError: If the run has no `history.csv`.
        ValueError: If it is damaged.
    """
    rows = run.history
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    panels = [names for _, names in PANELS if names[0] in columns]
    drawn = [part + name for names in panels for name in names for part in COLORS]
    if lacking := [name for name in ("epoch", "loss", *drawn) if name not in columns]:
        path = run.path / runs.HISTORY
        raise ValueError(f"{path} is damaged: there is no column {lacking[0]}")
    return columns


def write_curves(run: Run) -> None:
    """Draws `curves.png`: loss, DSC, and codes if the run has a codebook.

    Raises:
        FileNotFoundError: If the run has no `history.csv`.
        ValueError: If it is damaged.
    """
    columns = read_columns(run)
    panels = [panel for panel in PANELS if panel[1][0] in columns]
    figure = Figure((4.5 * len(panels), 3.4), dpi=100, layout="constrained")
    for axes, (title, names) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for part, color in COLORS.items():
            for name, style in zip(names, STYLES, strict=False):
                label = NAMES[part] if style == "solid" else None
                line = {"linestyle": style, "color": color, "label": label}
                axes.plot(columns["epoch"], columns[part + name], **line)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    with runs.atomic_file(run.results / "curves.png") as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def draw_validation_curves(path: str | pathlib.Path, opened: Sequence[Run]) -> None:
    """Draws the validation DSC of several runs against epochs, a line each.

    Args:
        path: Path of a PNG file, which is written whole or not at all.
        opened: The runs, of which `config.json` and `history.csv` are enough.

    Raises:
        FileNotFoundError: If a run has no `config.json` or no `history.csv`.
        ValueError: If one of them is damaged.
    """
    labels = curve_labels(opened, [run.config for run in opened])
    columns = [read_columns(run) for run in opened]
    labels = [textwrap.fill(label, LABEL_WIDTH) for label in labels]
    lines = sum(1 + label.count("\n") for label in labels)
    figure = Figure((7.0, 3.6 + 0.17 * lines), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, (label, of_run) in enumerate(zip(labels, columns, strict=True)):
        axes.plot(
            of_run["epoch"],
            [100 * dsc for dsc in of_run["val_dsc"]],
            color=LINE_COLORS[number % len(LINE_COLORS)],
            linestyle=STYLES[number // len(LINE_COLORS) % len(STYLES)],
            marker="o" if len(of_run["epoch"]) <= MAX_MARKERS else "",
            markersize=3,
            label=label,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("validation DSC at the network's size, %")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    disable_mathtext(figure)
    with runs.atomic_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def curve_labels(
    folders: Sequence[object], configs: Sequence[ExperimentConfig]
) -> list[str]:
    """Labels runs by the settings that differ among them: `recipe modern, seed 1`.

    Where all runs follow a recipe, its name stands for its settings; where datasets
    differ, they stand for what goes with them. Runs of the same label get their folder.
    """
    every = [settings_of(config) for config in configs]
    left_out = {*_PLACES}
    recipes = [_recipe_name(settings) for settings in every]
    if all(recipes):
        every = [{"recipe": r, **s} for r, s in zip(recipes, every, strict=True)]
        left_out.update(*RECIPES.values())
    if len({settings["dataset"] for settings in every}) > 1:
        left_out.update(_OF_DATASET)
    differing = [
        name
        for name in every[0]
        if name not in left_out and len({settings[name] for settings in every}) > 1
    ]
    labels = [
        ", ".join(_setting(name, settings[name]) for name in differing)
        for settings in every
    ]
    count = Counter(labels)
    return [
        label if count[label] == 1 else f"{label} ({folder})" if label else str(folder)
        for label, folder in zip(labels, folders, strict=True)
    ]


def _recipe_name(settings: dict[str, Any]) -> str | None:
    """Returns the recipe that settings follow, `None` for none."""
    defaults = settings_of(ExperimentConfig())
    names = set().union(*RECIPES.values())
    for recipe, changes in RECIPES.items():
        if all(settings[name] == {**defaults, **changes}[name] for name in names):
            return recipe
    return None


def _setting(name: str, value: object) -> str:
    name = "model" if name == "name" else name.replace("_", " ")
    return f"{name} {'none' if value in (None, '') else value}"
