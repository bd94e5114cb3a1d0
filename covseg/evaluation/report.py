"""The report of an evaluation: one HTML file that needs nothing beside it."""

import base64
import html as markup
import importlib.metadata
import importlib.resources
import io
import platform
import shlex
import string
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from covseg import configuration
from covseg.drawing import pictures
from covseg.evaluation import report_tables
from covseg.evaluation.assessment import Origin, empty_and_full
from covseg.evaluation.figures import Picture
from input_pipeline.films import Films

_SORTED_BY = {
  "dice": "Dice",
  "hd95_px": "HD95",
  "nsd": "NSD",
  "precision": "precision",
  "recall": "recall",
  "true_infected_percent": "true infected area",
  "predicted_infected_percent": "predicted infected area",
}
_PACKAGES = ("covseg", "jax", "jaxlib", "flax", "numpy", "scipy", "matplotlib", "tensorflow-datasets")
_GALLERY_BYTES = 15e6


def html(
  summary: Mapping[str, Any],
  table: Mapping[str, Sequence[Any]],
  films: Films,
  masks: np.ndarray,
  figures: Sequence[Picture],
  origin: Origin,
) -> str:
  """The report as HTML.

  Args:
    summary: what metrics.json holds.
    table: the columns of per_image.csv.
    films: the N films.
    masks: bool (N, H, W), what is predicted.
    figures: the figures to show.
    origin: where the predictions come from.
  """
  file = importlib.resources.files("covseg.evaluation").joinpath("report.html")
  template = string.Template(file.read_text(encoding="utf-8"))
  labels = sorted(set(filter(None, films.labels)))
  return template.substitute(
    title=_text(f"{origin.name} on {origin.split}"),
    headline=report_tables.headline(summary),
    warning=_text(empty_and_full(summary, len(films))),
    protocols=report_tables.protocols(summary),
    tolerance=f"{summary['surface_tolerance_px']:g}",
    calibration=report_tables.calibration(summary),
    severity=report_tables.severity(summary),
    robustness=report_tables.robustness(summary),
    shortcuts=report_tables.shortcuts(summary),
    figures="\n".join(_figure(picture) for picture in figures),
    sort_options="".join(
      f'<option value="{_key(name)}">{heading}</option>' for name, heading in {**_SORTED_BY, "id": "name"}.items()
    ),
    label_options="".join(f'<option value="{_text(label)}">{_text(label)} only</option>' for label in labels),
    gallery="\n".join(_gallery(table, films, masks)),
    origin=_origin(origin),
  )


def _figure(picture: Picture) -> str:
  if picture.is_photographic:
    source = _data("image/webp", _webp(Image.open(io.BytesIO(picture.png)).convert("RGB"), 85))
  else:
    source = _data("image/svg+xml", picture.svg)
  return (
    f'<figure><img src="{source}" alt="{_text(picture.alternative)}">'
    f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
  )


def _gallery(table: Mapping[str, Sequence[Any]], films: Films, masks: np.ndarray) -> Iterable[str]:
  """A card per film, the worst first."""
  side = int(min(192, np.sqrt(_GALLERY_BYTES / len(films) / 2 * 7)))  # A byte holds about seven pixels.
  for i in np.argsort(table["dice"], kind="stable"):
    film, *_, both = pictures.tiles(films.images[i], films.masks[i], masks[i])
    tile = Image.fromarray(np.concatenate([film, both], axis=1))
    tile = tile.resize((2 * side, side), Image.Resampling.BOX)
    name, label = _text(films.ids[i]), _text(films.labels[i])
    true, predicted = (table[f"{kind}_infected_percent"][i] for kind in ("true", "predicted"))
    scores = (
      f"Dice {table['dice'][i]:.3f}, HD95 {table['hd95_px'][i]:.1f} px; infected {true:.1f} % of the film, "
      f"predicted {predicted:.1f} %"
    )
    data = "".join(f' data-{key.replace("_", "-")}="{table[key][i]:.6g}"' for key in _SORTED_BY)
    yield (
      f'<li data-id="{name}" data-label="{label}"{data}><button type="button" aria-label="Enlarge {name}">'
      f'<img src="{_data("image/webp", _webp(tile, 60))}" width="{2 * side}" height="{side}" '
      f'alt="{name}: {scores}"></button><b>{name}</b> {label}<p>{scores}</p></li>'
    )


def _origin(origin: Origin) -> str:
  environment = {
    "Python": platform.python_version(),
    **{name: _version(name) for name in _PACKAGES},
    "System": platform.platform(),
    "Device": jax.devices()[0].device_kind,
  }
  lines = "\n".join(f"{name}: {value}" for name, value in environment.items())
  step = "" if origin.step is None else f", after {origin.step} steps"
  return (
    f"<p>Predictions of {_text(origin.name)}{step}. This report was made by</p>"
    f"<pre tabindex='0'>{_text(shlex.join(['python', *sys.orig_argv[1:]]))}</pre>"
    f"<details><summary>Environment</summary><pre tabindex='0'>{_text(lines)}</pre></details>"
    "<details><summary>Configuration</summary><pre tabindex='0'>"
    f"{_text(configuration.to_json(origin.config))}</pre></details>"
  )


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "not installed, run from its folder"


def _key(name: str) -> str:
  """The name of a data attribute as JavaScript spells it: hd95_px becomes hd95Px."""
  first, *rest = name.split("_")
  return first + "".join(map(str.capitalize, rest))


def _webp(image: Image.Image, quality: int) -> bytes:
  file = io.BytesIO()
  image.save(file, format="WEBP", quality=quality, method=2)
  return file.getvalue()


def _data(kind: str, content: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: str) -> str:
  return markup.escape(value)
