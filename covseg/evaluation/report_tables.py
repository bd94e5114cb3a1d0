"""What the tables of a report hold, as HTML. Each function takes what metrics.json holds."""

import html as markup
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from covseg.evaluation.measures import MEASURES
from covseg.evaluation.robustness import CHANGES
from covseg.evaluation.shortcuts import PANELS

_OF_FILMS = {"sensitivity": "Sensitivity", "specificity": "Specificity", "auc": "AUC"}
_PROTOCOLS = {
  "per_image": ("Per image", "mean over films with an infection"),
  "pooled": ("Pooled", "all pixels of those films"),
  "with_negatives": ("With negatives", "mean over all films"),
  "deduplicated": ("Deduplicated", "per image, without near-duplicates of training films"),
}
_AGREEMENT = {
  "mean_absolute_error": ("Mean absolute error", 1),
  "icc": ("ICC(2,1)", 3),
  "bias": ("Bias", 1),
  "lower_limit": ("Lower limit", 1),
  "upper_limit": ("Upper limit", 1),
}
_PARTS = {"percent": "Both lungs", "right": "Right lung", "left": "Left lung"}
_REGIONS = {
  "all": "All pixels",
  "inside_lungs": "Inside the lungs",
  "outside_lungs": "Outside the lungs",
}


def headline(summary: Mapping[str, Any]) -> str:
  means = summary["per_image"]
  if not means["num_images"]:
    return "<p>No film has an infection, so there is no per-image Dice.</p>"
  low, high = means["intervals"]["dice"]
  threshold = "" if summary["threshold"] is None else f", {_at_threshold(summary, summary['threshold'])}"
  return (
    f'<p class="headline">Dice {means["dice"]:.3f}</p><p>95 % interval {low:.3f} to {high:.3f}. Protocol: '
    f"mean per image over the {means['num_images']} films with an infection{threshold}.</p>"
  )


def protocols(summary: Mapping[str, Any]) -> str:
  """The tables of all protocols."""
  threshold, chosen = summary["threshold"], summary["at_chosen_threshold"]
  title = "The given masks" if threshold is None else _at_threshold(summary, threshold).capitalize()
  tables = _protocol_table(summary, title)
  if chosen:
    title = f"{_at_threshold(summary, chosen['threshold']).capitalize()}, chosen on {chosen['chosen_on']}"
    tables += _protocol_table(chosen, title)
  return tables


def _at_threshold(summary: Mapping[str, Any], threshold: float) -> str:
  own = " (0.5 is each film's own)" if _has_own_thresholds(summary) else ""
  return f"at threshold {threshold:g}{own}"


def _has_own_thresholds(summary: Mapping[str, Any]) -> bool:
  """Whether probabilities are moved so that each film's own threshold lies at 0.5."""
  return bool(summary.get("eval", {}).get("own_threshold"))


def _protocol_table(found: Mapping[str, Any], title: str) -> str:
  rows = [(*name, found[key]) for key, name in _PROTOCOLS.items() if found[key]]
  for i, quarter in enumerate(found["by_infected_area"], 1):
    area = f"per image, {quarter['least_percent']:.1f} to {quarter['largest_percent']:.1f} % infected"
    rows.append((f"Quartile {i} of area", area, quarter))
  cells = [
    [
      f"{name}<small>{explanation}</small>",
      row["num_images"],
      *(_with_interval(row, key, measure.decimals) for key, measure in MEASURES.items()),
      row["num_one_mask_empty"],
      row["num_both_masks_empty"],
    ]
    for name, explanation, row in rows
  ]
  measures = [measure.heading for measure in MEASURES.values()]
  tables = _table(title, ["Protocol", "Films", *measures, "One mask empty", "Both empty"], cells)
  negatives = found["with_negatives"]
  if negatives:
    cells = [_with_interval(negatives, key, 3) for key in _OF_FILMS]
    title = f"Infection or none: {title[0].lower()}{title[1:]}"
    tables += _table(title, ["Films", *_OF_FILMS.values()], [["All films", *cells]])
  if found["marked_by_class"]:
    cells = [
      [markup.escape(name), row["num_images"], _with_interval(row, "share", 3)]
      for name, row in found["marked_by_class"].items()
    ]
    tables += _table("Films on which anything is marked", ["Class", "Films", "Share"], cells)
  return tables


def calibration(summary: Mapping[str, Any]) -> str:
  found = summary["calibration"]
  if not found:
    return "<p>The predictions are masks, without probabilities.</p>"
  cells = [
    [
      _REGIONS[name],
      f"{region['num_pixels']:,}",
      _number(region["expected_calibration_error"], 4),
      _number(region["brier_score"], 4),
    ]
    for name, region in found.items()
  ]
  headings = ["Pixels", "Number", "Expected calibration error", "Brier score"]
  moved = ", probabilities moved so that the threshold of each film lies at 0.5" if _has_own_thresholds(summary) else ""
  return _table(f"Probability and truth{moved}", headings, cells)


def severity(summary: Mapping[str, Any]) -> str:
  found = summary["severity"]
  if not found:
    return "<p>Neither the dataset nor the network has lung masks.</p>"
  cells = [
    [
      _PARTS.get(part) or part.replace("_", " ").capitalize(),
      row["num_images"],
      *(_with_interval(row, key, decimals) for key, (_, decimals) in _AGREEMENT.items()),
    ]
    for part, row in found["parts"].items()
  ]
  title = "Infected percent of the lung, predicted against true, in percentage points"
  lungs = {"stored": "the dataset's lung masks", "predicted": "the lungs that the network predicts"}
  true, predicted = (lungs[found["lungs"][kind]] for kind in ("truth", "prediction"))
  return _table(title, ["Part", "Films", *(heading for heading, _ in _AGREEMENT.values())], cells) + (
    f"<p class='soft'>Over films with an infection. The true percent is that of {true}, the predicted one of "
    f"{predicted}. Right and left are the patient's; the zones are thirds of "
    "a lung's height. Limits of agreement: 1.96 standard deviations about the bias.</p>"
  )


def robustness(summary: Mapping[str, Any]) -> str:
  found = summary.get("robustness")
  if not found:
    return "<p>Not evaluated; <code>--robustness</code> does it.</p>"
  rows = [("As they are", found["clean"]), ("Mean over all changes", found["mean"])]
  for row in found["changes"]:
    unit = CHANGES[row["change"]][0]
    rows.append((f"{_words(row['change'])}, {row['severity']:.3g} {unit}", row))
  some = "" if found["every"] == 1 else f", 1 film in {found['every']}"
  tables = _changed_films(f"Robustness to image corruptions, per image{some}", "Change", rows)
  if found["relative_error"]:
    cells = [[_words(name), _number(value, 3)] for name, value in found["relative_error"].items()]
    tables += _table(
      "Corruption error: 1 - Dice, relative to that of the reference", ["Change", "Corruption error"], cells
    )
  return tables


def shortcuts(summary: Mapping[str, Any]) -> str:
  found = summary.get("shortcuts")
  if not found:
    return "<p>Not evaluated; <code>--shortcuts</code> does it.</p>"
  rows = [(name, found[panel]) for panel, name in PANELS.items()]
  return _changed_films("Films without the lungs, and the lungs alone", "Films", rows)


def _changed_films(title: str, first: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
  columns = {"dice": "Dice", "sensitivity": "Sensitivity", "specificity": "Specificity"}
  columns |= {key: f"AUC of {key.removesuffix('_auc')}" for key in rows[0][1] if key.endswith("_auc")}
  marked = [key for key in rows[0][1] if key.startswith("marked_")]
  columns |= {key: f"{markup.escape(key.removeprefix('marked_'))}, marked" for key in marked}
  cells = [[name, *(_number(row[key], 3) for key in columns)] for name, row in rows]
  return _table(title, [first, *columns.values()], cells)


def _words(name: str) -> str:
  return name.replace("_", " ").capitalize()


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A table whose first column names the rows; the cells are markup."""
  head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
  body = "".join(
    f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    for first, *cells in rows
  )
  return (
    f'<h3>{title}</h3><div class="wide" role="region" tabindex="0" aria-label="{title}">'
    f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
  )


def _with_interval(row: Mapping[str, Any], key: str, decimals: int) -> str:
  if key not in row:
    return ""
  interval = row["intervals"][key]
  below = f"<small>{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}</small>" if interval else ""
  return _number(row[key], decimals) + below


def _number(value: float | None, decimals: int) -> str:
  return "undefined" if value is None else f"{value:.{decimals}f}"
