"""Training curves: a run's `history.csv` as a picture."""

from __future__ import annotations

import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf import runs

# Panels: a title, and the columns that share its axis.
PANELS = (
    ("loss", ("loss",)),
    ("DSC at the network's size", ("dsc",)),
    ("codes: used (solid) and perplexity (dashed)", ("codes_used", "perplexity")),
)
COLORS = {"": "#0072B2", "val_": "#D55E00"}  # Okabe and Ito's blue and vermilion.
NAMES = {"": "training", "val_": "validation"}
STYLES = ("solid", "dashed")


def read_columns(run: str | pathlib.Path) -> dict[str, list[float]]:
    """Reads the columns of `history.csv`, among them all that `PANELS` needs.

    Raises:
        FileNotFoundError: If the run has no `history.csv`.
        ValueError: If it is damaged.
    """
    rows = runs.read_history(run)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    panels = [names for _, names in PANELS if names[0] in columns]
    drawn = [part + name for names in panels for name in names for part in COLORS]
    if lacking := [name for name in ("epoch", "loss", *drawn) if name not in columns]:
        path = pathlib.Path(run, "history.csv")
        raise ValueError(f"{path} is damaged: there is no column {lacking[0]}")
    return columns


def write_curves(run: str | pathlib.Path) -> None:
    """Draws `<run>/curves.png`: loss, DSC, and codes if the run has a codebook.

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
                values = columns[part + name]
                axes.plot(
                    columns["epoch"],
                    values,
                    linestyle=style,
                    color=color,
                    label=label,
                )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    with runs.atomic_file(pathlib.Path(run, "curves.png")) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
