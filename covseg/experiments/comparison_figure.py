"""The plot of a comparison: Dice against parameters."""

from collections.abc import Sequence

import matplotlib
import matplotlib.ticker
from matplotlib.figure import Figure

from covseg.drawing.figure_style import COLORS, STYLE, WIDTH, files
from covseg.experiments.comparison import Row


def draw(rows: Sequence[Row], about: str) -> dict[str, bytes]:
  """PNG and SVG of the Dice of each row, with its interval, over the parameters of its network."""
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for row in rows:
      dice = row.estimates["dice"]
      spread = [[dice.mean - dice.low], [dice.high - dice.mean]]
      millions = row.parameters / 1e6
      axes.errorbar(millions, dice.mean, spread, fmt="o", capsize=3, color=COLORS[0])
      axes.annotate(row.name, (millions, dice.mean), (6, 4), textcoords="offset points")
    axes.set_xscale("log")
    for axis_format in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
      axis_format(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    axes.margins(x=0.25)
    axes.set_xlabel("Parameters, millions")
    axes.set_ylabel("Dice, mean per image")
    axes.set_title(about, wrap=True)
    return files("dice_against_parameters", figure)
