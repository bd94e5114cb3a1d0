"""Figures of a dataset: a film and its mask, the infected area, and the films that it holds twice."""

import io
from collections.abc import Sequence

import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from configs import default
from covseg.dataset.duplicates import Pair
from covseg.drawing import pictures
from covseg.drawing.figure_style import COLORS, STYLE, WIDTH, files
from input_pipeline.augmentation import TRANSFORMS, augment
from input_pipeline.films import Films
from input_pipeline.scaling import resize_image, resize_mask

_TILE = 128  # Pixels of a film on the contact sheet.
_CAPTION = 26
_PAIRS_IN_A_ROW = 6
_MOST_PAIRS = 600


def draw(films: Films) -> dict[str, bytes]:
  """Files of the paper's Figure 1 (a film and its mask), of its Figure 2 (the infected area), and of what
  augmentation does to that film and its mask.

  Args:
    films: of the training split; the film shown is that with the median infected area.
  """
  infected_percent = 100 * films.masks.mean(axis=(1, 2))
  infected = np.flatnonzero(infected_percent)
  if not len(infected):
    return {}
  median = infected[np.argsort(infected_percent[infected])[len(infected) // 2]]
  with matplotlib.rc_context(STYLE):
    return {
      **files("figure_1", _film_and_mask(films.images[median], films.masks[median])),
      **files("figure_2", _infected_area(infected_percent[infected])),
      **files("augmentation", _augmentation(films, median)),
    }


def contact_sheet(films: Films, split_of: Sequence[str], pairs: Sequence[Pair]) -> bytes:
  """PNG of pairs, side by side with their masks' outlines; those across splits come first, and then the ones that
  resemble each other least. Of very many, the first 600."""
  pairs = sorted(pairs, key=lambda p: (split_of[p.first] == split_of[p.second], p.correlation))[:_MOST_PAIRS]
  width, height = 2 * _TILE + 8, _TILE + _CAPTION
  num_rows = max(1, -(-len(pairs) // _PAIRS_IN_A_ROW))
  sheet = Image.new("RGB", (_PAIRS_IN_A_ROW * width, num_rows * height), "white")
  text = ImageDraw.Draw(sheet)
  font = ImageFont.load_default(10)
  if not pairs:
    text.text((8, 8), "No film is there twice.", fill="black", font=font)
  for k, pair in enumerate(pairs):
    row, column = divmod(k, _PAIRS_IN_A_ROW)
    for side, i in enumerate((pair.first, pair.second)):
      x, y = column * width + side * _TILE, row * height
      sheet.paste(Image.fromarray(_outlined(films.images[i], films.masks[i])), (x, y))
      text.text((x + 2, y + _TILE), f"{split_of[i]} {films.ids[i]}"[:24], fill="black", font=font)
    how = "exact" if pair.is_exact else f"{pair.correlation:.2f}{', mirrored' * pair.mirrored}"
    text.text((column * width + 2, row * height + _TILE + 12), how, fill="black", font=font)
  file = io.BytesIO()
  sheet.save(file, format="PNG", optimize=True)
  return file.getvalue()


def _film_and_mask(image: np.ndarray, mask: np.ndarray) -> Figure:
  film = np.repeat(image[..., None], 3, axis=-1)
  shown = {
    "Film": film,
    "Infection mask": np.repeat(255 * mask[..., None].astype(np.uint8), 3, axis=-1),
    "Infection on the film": pictures.filled(film, mask, pictures.TRUTH_COLOR),
  }
  figure = Figure(figsize=(WIDTH, 2.6))
  for axes, (title, pixels) in zip(figure.subplots(1, 3), shown.items(), strict=True):
    axes.imshow(pixels)
    axes.set_title(title)
    axes.axis("off")
  return figure


def _infected_area(infected_percent: np.ndarray) -> Figure:
  figure = Figure(figsize=(WIDTH, 4.2))
  axes = figure.subplots()
  axes.hist(infected_percent, np.arange(0, infected_percent.max() + 2, 2), color=COLORS[5], edgecolor="white")
  mean, median = infected_percent.mean(), np.median(infected_percent)
  axes.axvline(mean, color=COLORS[1], label=f"mean {mean:.1f} %")
  axes.axvline(median, color="black", linestyle="--", label=f"median {median:.1f} %")
  axes.set_xlabel("Infected area, percent of the image")
  axes.set_ylabel("Films")
  axes.set_title(f"{len(infected_percent):,} training films with infection")
  axes.legend()
  return figure


def _augmentation(films: Films, chosen: int) -> Figure:
  """A film as it is, and after each transform up to the default strength, the mask moving with it.

  "histogram" and "spectrum" are taken from the first film; "symmetry" is left out where there are no lung masks.
  """
  pair = np.array([chosen, 0])
  images = films.images[pair, ..., None].astype(np.float32) / 255
  masks = films.masks[pair, ..., None].astype(np.float32)
  if films.lung_masks is not None:
    masks = np.concatenate([masks, films.lung_masks[pair, ..., None]], axis=-1)
  shown = {"as it is": (films.images[chosen], films.masks[chosen])}
  for name in TRANSFORMS:
    if name == "symmetry" and films.lung_masks is None:
      continue
    config = default.get_config().augment
    config[name].probability = 1.0
    changed, moved = augment(config, jax.random.key(10), images, masks)  # Of the first keys, most is to be seen here.
    shown[name] = (np.asarray(255 * changed[0, ..., 0]).astype(np.uint8), np.asarray(moved[0, ..., 0] > 0))
  figure = Figure(figsize=(WIDTH, 4.2))
  grid = figure.subplots(3, -(-len(shown) // 3)).ravel()
  for axes in grid:
    axes.axis("off")
  for axes, (name, (film, infection)) in zip(grid, shown.items(), strict=False):
    film = np.repeat(film[..., None], 3, axis=-1)
    axes.imshow(pictures.outlined(film, infection, pictures.TRUTH_COLOR))
    axes.set_title(name)
  return figure


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  film = np.repeat(resize_image(image, _TILE)[..., None], 3, axis=-1)
  return pictures.outlined(film, resize_mask(mask, _TILE), pictures.TRUTH_COLOR)
