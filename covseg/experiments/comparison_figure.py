"""The plot of a comparison: Dice of each network."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from covseg.drawing.figure_style import COLORS, STYLE, WIDTH, files
from covseg.experiments.comparison import Row


def draw(rows: Sequence[Row], about: str) -> dict[str, bytes]:
  """PNG and SVG of the Dice of each row, with its interval over films, the first row on top."""
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(WIDTH, 1.2 + 0.4 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
      dice = row.estimates["dice"]
      axes.errorbar(
        dice.mean, place, xerr=[[dice.mean - dice.low], [dice.high - dice.mean]], fmt="o", capsize=3, color=COLORS[0]
      )
    axes.set_yticks(range(len(rows)), [f"{row.name}\n{row.parameters / 1e6:.3g} M parameters" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("Dice, mean per image, with 95 % interval over films")
    axes.set_title(about, wrap=True)
    return files("dice", figure)
