"""How a model does on films of worse quality: `python -m benchmarks.changed_films --manual_dir=FOLDER`.

Prints, for each change, mean Dice of validation films with infection, and specificity on the others.
"""

import argparse
import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps

import covseg
from configs import default
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films


def _jpeg(film: Image.Image, quality: int) -> Image.Image:
  file = io.BytesIO()
  film.save(file, "JPEG", quality=quality)
  return Image.open(file)


def _noisy(film: Image.Image, deviation: float) -> Image.Image:
  noise = np.random.default_rng(0).normal(0, deviation, film.size[::-1])
  return Image.fromarray(np.clip(film + noise, 0, 255).astype(np.uint8))


CHANGES = {
  "as it is": lambda film: film,
  "JPEG of quality 50": lambda film: _jpeg(film, 50),
  "JPEG of quality 15": lambda film: _jpeg(film, 15),
  "Gaussian noise of 8 levels of 255": lambda film: _noisy(film, 8),
  "blurred by 1 pixel of 256": lambda film: film.filter(ImageFilter.GaussianBlur(1)),
  "half the resolution": lambda film: film.reduce(2).resize(film.size),
  "gamma 2": lambda film: film.point([round(255 * (i / 255) ** 2) for i in range(256)]),
  "histogram equalised": ImageOps.equalize,
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--manual_dir", required=True, help="folder of the downloaded archive")
  parser.add_argument("--data_dir", default="", help="where records are kept")
  parser.add_argument("--model", default=covseg.DEFAULT_MODEL)
  parser.add_argument("--every", type=int, default=3, help="take every N-th film")
  arguments = parser.parse_args()
  config = default.get_config().dataset
  config.manual_dir, config.data_dir, config.cohort = arguments.manual_dir, arguments.data_dir, "all"
  films = load_films(FilmReader(datasets.prepare(config), "validation", config, 256))
  model = covseg.load(arguments.model)
  for name, change in CHANGES.items():
    dice, is_clear = [], []
    for image, truth in zip(films.images[:: arguments.every], films.masks[:: arguments.every], strict=True):
      mask = model.predict(np.asarray(change(Image.fromarray(np.squeeze(image))))).mask
      truth = np.squeeze(truth) > 0
      if truth.any():
        dice.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
      else:
        is_clear.append(not mask.any())
    counts = f"{len(dice)} and {len(is_clear)} films"
    print(f"{name}: Dice {np.mean(dice):.3f}, specificity {np.mean(is_clear):.3f} ({counts})", flush=True)


if __name__ == "__main__":
  main()
