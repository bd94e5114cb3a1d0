"""A model's robustness to image corruptions: `python -m covseg evaluate --robustness`.

Each film is changed at the size of the comparison, before it is scaled to the network, as noise, compression and
exposure differ between hospitals. Seeded: the same films are changed in the same way in every run. After ImageNet-C
(Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261). Shot noise, equalisation, frames and text are in no
augmentation of this project.
"""

import functools
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from covseg.evaluation import changed_films
from covseg.evaluation.changed_films import ChangeOfFilms, Scores
from input_pipeline.films import crc32

Change = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def _noise(film: Image.Image, levels: float, rng: np.random.Generator) -> Image.Image:
  return _image(np.asarray(film) + rng.normal(0, levels, film.size[::-1]))


def _shot_noise(film: Image.Image, photons: float, rng: np.random.Generator) -> Image.Image:
  """A white pixel has `photons` photons on average."""
  return _image(rng.poisson(np.asarray(film) / 255 * photons) / photons * 255)


def _jpeg(film: Image.Image, quality: float, rng: np.random.Generator) -> Image.Image:
  file = io.BytesIO()
  film.save(file, "JPEG", quality=int(quality))
  return Image.open(file)


def _blur(film: Image.Image, pixels: float, rng: np.random.Generator) -> Image.Image:
  return film.filter(ImageFilter.GaussianBlur(pixels))


def _resolution(film: Image.Image, side: float, rng: np.random.Generator) -> Image.Image:
  small = film.resize((int(side), int(side)), Image.Resampling.BILINEAR)
  return small.resize(film.size, Image.Resampling.BILINEAR)


def _gamma(film: Image.Image, exponent: float, rng: np.random.Generator) -> Image.Image:
  return _image(255 * (np.asarray(film) / 255) ** exponent)


def _contrast(film: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
  pixels = np.asarray(film, np.float32)
  return _image(pixels.mean() + factor * (pixels - pixels.mean()))


def _equalised(film: Image.Image, part: float, rng: np.random.Generator) -> Image.Image:
  return Image.blend(film, ImageOps.equalize(film), part)


def _frame(film: Image.Image, part: float, rng: np.random.Generator) -> Image.Image:
  framed = film.copy()
  pixels = round(part * film.width)
  ImageDraw.Draw(framed).rectangle((0, 0, film.width - 1, film.height - 1), outline=0, width=pixels)
  return framed


def _text(film: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
  written = film.copy()
  x, y = rng.integers(0, film.width // 2, 2).tolist()
  ImageDraw.Draw(written).text((x, y), "PORTABLE  R", fill=255, font_size=size)
  return written


# {name: (unit, severities, function)}.
CHANGES: dict[str, tuple[str, tuple[float, ...], Change]] = {
  "noise": ("levels", (3, 8, 15), _noise),
  "shot_noise": ("photons", (1000, 250, 60), _shot_noise),
  "jpeg": ("quality", (70, 50, 15), _jpeg),
  "blur": ("px", (0.5, 1, 2), _blur),
  "resolution": ("px", (192, 128, 96), _resolution),
  "gamma": ("", (0.5, 1.5, 2), _gamma),
  "contrast": ("", (0.6, 0.8, 1.4), _contrast),
  "equalised": ("part", (1 / 3, 2 / 3, 1), _equalised),
  "frame": ("part of the side", (0.03, 0.06, 0.1), _frame),
  "text": ("px", (10, 18, 28), _text),
}


def changed(images: np.ndarray, name: str, severity: float) -> Iterator[np.ndarray]:
  """Each of the images, uint8 (N, H, W), changed: uint8 (H, W)."""
  function = CHANGES[name][2]
  for i, image in enumerate(images):
    yield np.asarray(function(Image.fromarray(image), severity, np.random.default_rng((i, 0))))


def changes() -> list[ChangeOfFilms]:
  """The changes whose scores `assess` takes."""
  return [functools.partial(changed, name=name, severity=severity) for name, severity in _planned()]


def assess(
  scores: Iterable[Scores],
  clean: Scores,
  images: np.ndarray,
  labels: Sequence[str],
  reference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """Figures of a model for films as they are and under each change.

  Args:
    scores: of N films under each of `changes`.
    clean: scores of the films as they are.
    images: the films, uint8 (N, H, W).
    labels: N names of classes; empty where a film's is not known.
    reference: what this function returned for another model and the same films; see `check_reference`.

  Returns:
    {"films_crc32": of the images, "clean": figures, "changes": [{"change", "severity", **figures}, ...], "mean":
    figures over all changes, "relative_error": see `relative_error`, or None without a reference}. The figures are
    those of `changed_films.figures`.
  """
  found: dict[str, Any] = {"films_crc32": crc32(images), "clean": changed_films.figures(clean, labels), "changes": []}
  for (name, severity), of_change in zip(_planned(), scores, strict=True):
    found["changes"].append({"change": name, "severity": severity, **changed_films.figures(of_change, labels)})
  found["mean"] = {
    name: None if value is None else float(np.mean([row[name] for row in found["changes"]]))
    for name, value in found["clean"].items()
  }
  return found | {"relative_error": relative_error(found, reference) if reference else None}


def relative_error(found: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
  """The corruption error of each change, 1 - Dice over all severities relative to a reference model; and their mean.

  Equation 1 of Hendrycks and Dietterich (2019), with 1 - Dice as the error. Below 1, the model is better.
  """

  def errors(of: Mapping[str, Any], name: str) -> float:
    return sum(1 - row["dice"] for row in of["changes"] if row["change"] == name)

  of_changes = {name: errors(found, name) / errors(reference, name) for name in CHANGES}
  return {**of_changes, "mean": float(np.mean(list(of_changes.values())))}


def check_reference(reference: Mapping[str, Any], images: np.ndarray) -> None:
  """Raises ValueError if a reference, of `assess`, has other changes, or other films than these, uint8 (N, H, W)."""
  changes = [(row["change"], row["severity"]) for row in reference["changes"]]
  films = len(images), crc32(images)
  if changes != _planned() or (reference["clean"]["films"], reference.get("films_crc32")) != films:
    raise ValueError("The reference was evaluated under other changes, or on other films (--split, --cohort, --every).")


def _planned() -> list[tuple[str, float]]:
  return [(name, severity) for name, (_, severities, _) in CHANGES.items() for severity in severities]


def _image(pixels: np.ndarray) -> Image.Image:
  return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
