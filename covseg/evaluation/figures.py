"""Figures of an evaluation, in one style: colours that colour-blind readers tell apart, legible in print."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covseg.drawing import pictures
from covseg.drawing.figure_style import COLORS, STYLE, WIDTH, files
from covseg.evaluation.assessment import Assessment
from input_pipeline.films import Films

_NUM_CASES = 4
# Fixed margins: laying out anew takes longer than drawing.
_STYLE = STYLE | {
  "axes.prop_cycle": matplotlib.cycler(color=COLORS[:4]) + matplotlib.cycler(linestyle=["-", "--", ":", "-."]),
  "figure.constrained_layout.use": False,
  "figure.subplot.left": 0.08,
  "figure.subplot.right": 0.98,
  "figure.subplot.bottom": 0.17,
  "figure.subplot.top": 0.9,
  "figure.subplot.wspace": 0.28,
}


@dataclasses.dataclass(frozen=True)
class Picture:
  """A finished figure.

  Attributes:
    name: of its files.
    caption: a sentence or two.
    alternative: what it shows, for who cannot see it.
    png: for slides and the web.
    svg: for print.
    is_photographic: whether it shows films.
  """

  name: str
  caption: str
  alternative: str
  png: bytes
  svg: bytes
  is_photographic: bool = False


def draw(
  assessment: Assessment,
  films: Films,
  masks: np.ndarray,
  history: Sequence[Mapping[str, Any]] = (),
  chosen_films: Sequence[str] = (),
) -> list[Picture]:
  """The figures of an evaluation.

  Args:
    assessment: what has been measured.
    films: the N films.
    masks: bool (N, H, W), what is predicted.
    history: the lines of the run's metrics.jsonl.
    chosen_films: ids of films for a figure of their own.
  """
  summary, table = assessment.summary, assessment.table
  dice = np.asarray(table["dice"])
  infected = np.flatnonzero(table["true_pixels"])
  worst_first = infected[np.argsort(dice[infected], kind="stable")]
  by_chance = np.sort(np.random.default_rng(0).permutation(infected)[:_NUM_CASES])
  cases = {
    "random": ("Films with an infection, drawn by lot", by_chance),
    "best": ("The films with the highest Dice", worst_first[::-1][:_NUM_CASES]),
    "worst": ("The films with an infection and the lowest Dice", worst_first[:_NUM_CASES]),
    "chosen": ("Films chosen by name", [films.ids.index(film_id) for film_id in chosen_films]),
  }
  found = [
    _cases(f"cases_{name}", title, films, masks, dice, list(shown))
    for name, (title, shown) in cases.items()
    if len(shown)
  ]
  if len(infected):
    found.append(_dice(summary, table, infected))
  if summary["with_negatives"] and len(infected):
    found.append(_roc(summary, table))
  if summary["calibration"]:
    found.append(_calibration(summary))
  if summary["severity"] and summary["severity"]["parts"]["percent"]["num_images"] > 1:  # Limits take two films.
    found.append(_severity(summary, table, infected))
  if history:
    found.append(_training(history))
  return found


def _training(history: Sequence[Mapping[str, Any]]) -> Picture:
  def plot(axes: Sequence[Axes]) -> None:
    for ax, name in zip(axes, ("train_loss", "val_dice"), strict=True):
      ax.plot([line["epoch"] for line in history], [line[name] for line in history])
      ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes[0].set(title="Training loss", xlabel="epoch", ylabel="loss")
    axes[1].set(title="Validation Dice, mean per image", xlabel="epoch", ylabel="Dice")

  best = max(line["val_dice"] for line in history)
  return _two_charts(
    "training", "Training loss and validation Dice by epoch.", f"Best validation Dice {best:.3f}.", plot
  )


def _cases(name: str, title: str, films: Films, masks: np.ndarray, dice: np.ndarray, shown: Sequence[int]) -> Picture:
  """The paper's Figure 3: a row per film, its image, truth, prediction and both outlines."""
  panel = pictures.panel(films.images[shown], films.masks[shown], masks[shown])
  height, width = panel.shape[0] // len(shown), panel.shape[1] // 4
  side, margin = 256 / 150, 0.35  # Inches; one dot a pixel, so that they stay sharp.
  size = (margin + 4 * side, margin + len(shown) * side)

  def plot(figure: Figure) -> None:
    axes = figure.add_axes((margin / size[0], 0, 4 * side / size[0], len(shown) * side / size[1]))
    axes.imshow(panel, interpolation="none", aspect="auto")
    axes.vlines(width * np.arange(1, 4) - 0.5, -0.5, len(panel) - 0.5, color="white", linewidth=3, linestyle="-")
    axes.hlines(height * np.arange(1, len(shown)) - 0.5, -0.5, 4 * width - 0.5, color="white", linewidth=3)
    axes.set_axis_off()
    for column, heading in enumerate(("image", "truth", "prediction", "both outlines")):
      axes.text((column + 0.5) * width, -0.04 * height, heading, ha="center", va="bottom", weight="bold")
    for row, i in enumerate(shown):
      label = f"{films.ids[i]}\nDice {dice[i]:.3f}".replace("$", r"\$")
      axes.text(-0.03 * width, (row + 0.5) * height, label, ha="right", va="center", rotation=90, fontsize=7)

  told = ", ".join(f"{films.ids[i]} (Dice {dice[i]:.3f})" for i in shown)
  caption = f"{title}: image, truth (blue), prediction (orange), and the outlines of both."
  return _picture(name, caption, f"{title}: {told}.", plot, size, is_photographic=True)


def _dice(summary: Mapping[str, Any], table: Mapping[str, Any], infected: np.ndarray) -> Picture:
  dice, area = np.asarray(table["dice"])[infected], np.asarray(table["true_infected_percent"])[infected]
  means = summary["per_image"]
  low, high = means["intervals"]["dice"]

  def plot(axes: Sequence[Axes]) -> None:
    axes[0].hist(dice, bins=np.linspace(0, 1, 21), color=COLORS[5], edgecolor="white")
    axes[0].axvline(means["dice"], color=COLORS[1], linestyle="-", label=f"mean {means['dice']:.3f}")
    axes[0].axvspan(low, high, color=COLORS[1], alpha=0.25, label="95 % interval")
    axes[0].set(title="Dice of each film with an infection", xlabel="Dice", ylabel="films", xlim=(0, 1))
    axes[0].legend(loc="upper left")
    axes[1].scatter(area, dice, s=6, alpha=0.5, color=COLORS[0], linewidths=0)
    for i, quarter in enumerate(summary["by_infected_area"]):
      axes[1].plot(
        [quarter["least_percent"], quarter["largest_percent"]],
        [quarter["dice"]] * 2,
        color=COLORS[1],
        linestyle="-",
        linewidth=2.5,
        label=None if i else "mean of each quartile",
      )
    axes[1].set(title="Dice by size of the infection", xlabel="infected percent of the film", ylabel="Dice")
    axes[1].set(ylim=(0, 1))
    axes[1].legend(loc="lower right")

  quarters = ", ".join(f"{quarter['dice']:.3f}" for quarter in summary["by_infected_area"])
  return _two_charts(
    "dice",
    f"Dice per image over {len(dice)} films with an infection, and by the true infected area.",
    f"Mean Dice {means['dice']:.3f}, 95 % interval {low:.3f} to {high:.3f}; by quartile of area: {quarters}.",
    plot,
  )


def _roc(summary: Mapping[str, Any], table: Mapping[str, Any]) -> Picture:
  truth, area = np.asarray(table["true_pixels"]) > 0, np.asarray(table["predicted_infected_percent"])
  found = summary["with_negatives"]
  limits = np.concatenate([[np.inf], np.unique(area)[::-1]])
  sensitivity, false_alarms = ([np.mean(area[kind] >= limit) for limit in limits] for kind in (truth, ~truth))

  def plot(axes: Sequence[Axes]) -> None:
    axes[0].plot(false_alarms, sensitivity, label=f"by area: AUC {found['auc']:.3f}")
    axes[0].plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
    axes[0].plot(1 - found["specificity"], found["sensitivity"], "o", color=COLORS[1], label="any infected pixel")
    axes[0].set(title="Is there an infection?", xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes[0].legend(loc="lower right")
    axes[1].hist(
      [area[truth], area[~truth]],
      bins=20,
      color=[COLORS[0], COLORS[4]],
      label=["with an infection", "without"],
    )
    axes[1].set(title="Predicted infected area", xlabel="percent of the film", ylabel="films", yscale="log")
    axes[1].legend()

  return _two_charts(
    "roc",
    f"{truth.sum()} films with an infection told from {(~truth).sum()} without, by predicted area.",
    f"ROC curve, area {found['auc']:.3f}; sensitivity {found['sensitivity']:.3f} and specificity "
    f"{found['specificity']:.3f} of any infected pixel.",
    plot,
  )


def _calibration(summary: Mapping[str, Any]) -> Picture:
  regions, curve = summary["calibration"], summary["threshold_curve"]
  names = {"all": "all pixels", "inside_lungs": "inside the lungs", "outside_lungs": "outside them"}

  def plot(axes: Sequence[Axes]) -> None:
    axes[0].plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
    for (name, region), marker in zip(regions.items(), "os^", strict=False):
      bins = [found for found in region["bins"] if found["num_pixels"]]
      axes[0].plot(
        [found["mean_probability"] for found in bins],
        [found["infected_share"] for found in bins],
        marker=marker,
        markersize=4,
        label=names[name],
      )
    axes[0].set(title="Reliability", xlabel="mean probability", ylabel="infected share", aspect="equal")
    axes[0].legend()
    axes[1].set(title="Dice by threshold", xlabel="threshold", ylabel="Dice, mean per image", xlim=(0, 1))
    if curve["dice"]:
      axes[1].plot(curve["threshold"], curve["dice"])
      axes[1].plot(curve["best"], max(curve["dice"]), "o", color=COLORS[1], label=f"highest, at {curve['best']:g}")
      axes[1].legend()

  errors = "; ".join(
    f"{names[name]}: expected calibration error {region['expected_calibration_error']:.4f}"
    for name, region in regions.items()
    if region["num_pixels"]
  )
  return _two_charts(
    "calibration",
    "Infected share against probability in ten bins, and the Dice that each threshold gives on these films.",
    f"Reliability diagram ({errors}), and Dice by threshold.",
    plot,
  )


def _severity(summary: Mapping[str, Any], table: Mapping[str, Any], infected: np.ndarray) -> Picture:
  pairs = np.array([table[f"{kind}_percent_of_lungs"] for kind in ("true", "predicted")], float)[:, infected]
  truth, prediction = pairs[:, ~np.isnan(pairs).any(axis=0)]
  found = summary["severity"]["parts"]["percent"]

  def plot(axes: Sequence[Axes]) -> None:
    points = {"s": 6, "alpha": 0.5, "color": COLORS[0], "linewidths": 0}
    axes[0].scatter(truth, prediction, **points)
    axes[0].plot([0, 100], [0, 100], color="0.6", linestyle=":", linewidth=1)
    axes[0].set(title="Infected percent of the lungs", xlabel="true", ylabel="predicted", aspect="equal")
    axes[1].scatter((truth + prediction) / 2, prediction - truth, **points)
    for name, style in {"bias": "-", "lower_limit": "--", "upper_limit": "--"}.items():
      axes[1].axhline(found[name], color=COLORS[1], linestyle=style)
      axes[1].annotate(
        f"{found[name]:+.1f}", (1, found[name]), xycoords=("axes fraction", "data"), ha="right", va="bottom"
      )
    axes[1].set(title="Bland-Altman", xlabel="mean of true and predicted", ylabel="predicted - true")

  return _two_charts(
    "severity",
    f"Agreement of true and predicted infected percent of the lungs over {len(truth)} films; the lines are "
    "the bias and the limits of agreement.",
    f"Mean absolute error {found['mean_absolute_error']:.1f} points, bias {found['bias']:+.1f}, limits of "
    f"agreement {found['lower_limit']:+.1f} to {found['upper_limit']:+.1f}.",
    plot,
  )


def _two_charts(name: str, caption: str, alternative: str, plot: Callable[[Sequence[Axes]], None]) -> Picture:
  return _picture(name, caption, alternative, lambda figure: plot(figure.subplots(1, 2)), (WIDTH, 2.9))


def _picture(
  name: str,
  caption: str,
  alternative: str,
  plot: Callable[[Figure], None],
  size: tuple[float, float],
  is_photographic: bool = False,
) -> Picture:
  """A figure of a size in inches, which `plot` fills."""
  with matplotlib.rc_context(_STYLE):
    figure = Figure(size)
    plot(figure)
    png, svg = files(name, figure).values()
  return Picture(name, caption, alternative, png, svg, is_photographic)
