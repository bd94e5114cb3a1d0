"""Statistics, figures and an audit of a dataset: `python -m covseg dataset`."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from configs import default
from covseg.dataset import dataset_figures, duplicates, shortcuts
from covseg.dataset.duplicates import Pair
from covseg.workdir import write_whole
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films
from input_pipeline.tables import to_csv

_OTHER_LEVELS = "mask with more than two levels, or two without 0"
_OUTSIDE_LUNGS = "infected pixels outside the lungs"
_QUANTILES = (5, 25, 50, 75, 95)


def run(dataset_fields: Mapping[str, str], output: str) -> None:
  """Describes and audits a dataset.

  Args:
    dataset_fields: fields of `config.dataset` that differ from the defaults.
    output: folder of the results.

  Raises:
    FileNotFoundError, ValueError: the data is not there, or not as it should be.
  """
  config = default.get_config()
  config.dataset.update(dataset_fields)
  folder = pathlib.Path(output).expanduser()
  builder = datasets.prepare(config.dataset)
  splits, findings = {}, []
  for split in sorted(builder.info.splits, key=_split_order):
    reader = FilmReader(builder, split, config.dataset, config.eval.image_size)
    splits[split] = load_films(reader)
    findings += [{"split": split, **finding} for finding in audit(reader, splits[split])]
  statistics = [row for split, films in splits.items() for row in describe(split, films)]
  _write_table(folder / "statistics.csv", statistics)
  _write_table(folder / "findings.csv", findings, ["split", "id", "finding", "value"])
  print(_overview(statistics))

  described = splits.get("train") or next(iter(splits.values()))
  for name, figure in dataset_figures.draw(described).items():
    write_whole(folder / name, figure)

  floor = shortcuts.floor(splits)
  _write_table(folder / "shortcuts.csv", floor, _SHORTCUT_COLUMNS)
  print(_shortcuts(floor))

  films = concatenated(list(splits.values()))
  split_of = [split for split, part in splits.items() for _ in part.ids]
  pairs = duplicates.find_duplicates(films.images)
  _write_table(folder / "duplicates.csv", pair_rows(films, split_of, pairs), _PAIR_COLUMNS)
  print(_audit_report(films, split_of, findings, pairs))
  write_whole(folder / "duplicates.png", dataset_figures.contact_sheet(films, split_of, pairs))
  print(f"Tables and figures are in {folder}")


_SHORTCUT_COLUMNS = [
  "classifier",
  "numbers",
  "positive",
  "negative",
  "split",
  "films",
  "auc",
  "specificity_at_95_sensitivity",
]


def _shortcuts(floor: Sequence[Mapping[str, Any]]) -> str:
  """Lines on films with and without infection; those of each two classes are in the table."""
  rows = [row for row in floor if (row["positive"], row["negative"]) == shortcuts.ANY_INFECTION]
  if not rows:
    return "shortcuts: not measured; that takes films with and without infection in train and in another split"
  return "\n".join(
    f"shortcut: {row['numbers']} numbers of {row['classifier'].replace('_', ' ')}, without any anatomy, tell "
    f"infection from none on {row['split']} at an AUC of {row['auc']:.3f}; specificity "
    f"{row['specificity_at_95_sensitivity']:.3f} at sensitivity 0.95"
    for row in rows
  )


def describe(split: str, films: Films) -> list[dict[str, Any]]:
  """Statistics of each class of a split: counts, infected area, grey levels."""
  infected_percent = 100 * films.masks.mean(axis=(1, 2))
  labels, rows = np.array(films.labels), []
  for label in dict.fromkeys(films.labels):
    chosen = labels == label
    shares = infected_percent[chosen & (infected_percent > 0)]
    histogram = np.bincount(films.images[chosen].ravel(), minlength=256)
    grey = np.average(np.arange(256), weights=histogram)
    row = {
      "split": split,
      "label": label,
      "films": int(chosen.sum()),
      "films_with_infection": len(shares),
      "mean_infected_percent": _rounded(shares.mean() if len(shares) else None),
    }
    for quantile in _QUANTILES:
      value = np.percentile(shares, quantile) if len(shares) else None
      row[f"infected_percent_quantile_{quantile}"] = _rounded(value)
    row["mean_infected_percent_of_lung"] = _rounded(_mean_share_of_lung(films, chosen))
    row["grey_mean"] = _rounded(grey)
    row["grey_standard_deviation"] = _rounded(np.average((np.arange(256) - grey) ** 2, weights=histogram) ** 0.5)
    for quantile in _QUANTILES:
      row[f"grey_quantile_{quantile}"] = int(np.searchsorted(histogram.cumsum(), quantile / 100 * histogram.sum()))
    rows.append(row)
  return rows


def audit(reader: FilmReader, films: Films) -> Iterable[dict[str, Any]]:
  """What is wrong with the masks of a split, {"id", "finding", "value"} each."""
  for i, film_id in enumerate(tqdm(films.ids, "masks", disable=None)):
    levels = reader.mask_levels(i)
    if len(levels) > 2 or (len(levels) == 2 and levels[0] != 0):
      shown = " ".join(map(str, levels[:8])) + (" ..." if len(levels) > 8 else "")
      yield {"id": film_id, "finding": _OTHER_LEVELS, "value": shown}
    if films.lung_masks is not None:
      outside = int((films.masks[i] & ~films.lung_masks[i]).sum())
      if outside:
        yield {"id": film_id, "finding": _OUTSIDE_LUNGS, "value": outside}


def concatenated(parts: Sequence[Films]) -> Films:
  """The films of several splits in one."""
  lungs = [part.lung_masks for part in parts]
  return Films(
    np.concatenate([part.images for part in parts]),
    np.concatenate([part.masks for part in parts]),
    None if lungs[0] is None else np.concatenate(lungs),
    [film_id for part in parts for film_id in part.ids],
    [label for part in parts for label in part.labels],
  )


_PAIR_COLUMNS = [
  "id",
  "split",
  "duplicate_id",
  "duplicate_split",
  "correlation",
  "shift_x",
  "shift_y",
  "scale",
  "mirrored",
  "mask_iou",
  "kind",
]


def pair_rows(films: Films, split_of: Sequence[str], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
  """Rows of duplicates.csv: a film, and one of an earlier split, or earlier in its split, that it repeats."""
  return [
    {
      "id": films.ids[pair.first],
      "split": split_of[pair.first],
      "duplicate_id": films.ids[pair.second],
      "duplicate_split": split_of[pair.second],
      "correlation": f"{pair.correlation:.4f}",
      "shift_x": f"{pair.shift_x:g}",
      "shift_y": f"{pair.shift_y:g}",
      "scale": f"{pair.scale:.3f}",
      "mirrored": int(pair.mirrored),
      "mask_iou": f"{_mask_iou(films.masks, pair):.4f}",
      "kind": "exact" if pair.is_exact else "near",
    }
    for pair in pairs
  ]


def _mask_iou(masks: np.ndarray, pair: Pair) -> float:
  """Overlap of two films' infection masks once the films lie on one another; 1 where both are empty."""
  first, second = duplicates.laid_on_second(masks[pair.first], pair), masks[pair.second]
  union = (first | second).sum()
  return float((first & second).sum() / union) if union else 1.0


def _mean_share_of_lung(films: Films, chosen: np.ndarray) -> float | None:
  """Mean infected percent of the lungs over the chosen films with an infection."""
  if films.lung_masks is None:
    return None
  masks, lungs = films.masks[chosen], films.lung_masks[chosen]
  counted = masks.any(axis=(1, 2)) & lungs.any(axis=(1, 2))
  infected, lung = (m[counted].sum(axis=(1, 2)) for m in (masks & lungs, lungs))
  return 100 * float((infected / lung).mean()) if counted.any() else None


def _overview(statistics: Sequence[Mapping[str, Any]]) -> str:
  lines = []
  for row in statistics:
    line = f"{' '.join(filter(None, (row['split'], row['label'])))}: {row['films']:,} films"
    if row["films_with_infection"]:
      line += (
        f", {row['films_with_infection']:,} with infection, which covers "
        f"{row['mean_infected_percent']} % of the image on average"
      )
    lines.append(f"{line}; grey level {row['grey_mean']} +- {row['grey_standard_deviation']}")
  return "\n".join(lines)


def _audit_report(
  films: Films, split_of: Sequence[str], findings: Sequence[Mapping[str, Any]], pairs: Sequence[Pair]
) -> str:
  """What the audit found, a line each."""
  counts = {_OTHER_LEVELS: 0, _OUTSIDE_LUNGS: 0}
  for finding in findings:
    counts[finding["finding"]] += 1
  lines = [f"{kind}: {count} films" for kind, count in counts.items()]
  exact = sum(pair.is_exact for pair in pairs)
  lines.append(f"duplicates: {exact} exact and {len(pairs) - exact} near pairs")
  for split in dict.fromkeys(split_of):
    within = sum(split_of[p.first] == split_of[p.second] == split for p in pairs)
    lines.append(f"  within {split}: {within} pairs")
    for earlier in dict.fromkeys(split_of[p.second] for p in pairs):
      across = [p for p in pairs if (split_of[p.first], split_of[p.second]) == (split, earlier)]
      if across and split != earlier:
        infected = {p.first for p in across if films.masks[p.first].any()}
        lines.append(
          f"  {len({p.first for p in across})} {split} films repeat films of {earlier}, "
          f"{len(infected)} of them with infection"
        )
  return "\n".join(lines)


def _write_table(path: pathlib.Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
  columns = columns or list(rows[0])
  write_whole(path, to_csv([columns, *([row[column] for column in columns] for row in rows)]))


def _split_order(split: str) -> tuple[int, str]:
  known = ("train", "validation", "test")
  return (known.index(split) if split in known else len(known), split)


def _rounded(value: float | None) -> float | None:
  return None if value is None else round(float(value), 2)
