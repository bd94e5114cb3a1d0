"""Minutes of training to a validation Dice, beside segmentation_models_pytorch.

  python -m benchmarks.time_to_dice --manual_dir=FOLDER

Both train the U-Net over EfficientNet-Lite0 from the same ImageNet weights, on the same films in the same order, with
the same batch, size, loss, optimizer, schedule, averaging of weights and flips. Each lives in a process of its own;
they take turns, an epoch each. On the clock are compilation, training, and PyTorch's import; not JAX's, which both
need, nor validation.
"""

import argparse
import os
import pathlib
import platform
import statistics
import tempfile

import numpy as np
from PIL import Image

from benchmarks.process import Process, processor
from configs import default
from covseg import metrics
from input_pipeline import datasets
from input_pipeline.films import FilmReader, Films, load_films


class _Trainer:
  """A system in its process, and the seconds that it has trained for."""

  def __init__(self, system: str, arguments: argparse.Namespace, folder: pathlib.Path, seed: int):
    command = [system, f"--films={folder}", f"--seed={seed}"]
    command += [f"--epochs={arguments.epochs}", f"--batch_size={arguments.batch_size}"]
    # Without the cache, so that compilation counts.
    self._process = Process("benchmarks.trainer", command, JAX_ENABLE_COMPILATION_CACHE="false")
    self.seconds = self._process.start["seconds"]
    self.close = self._process.close

  def train_epoch(self) -> None:
    self.seconds += self._process.ask("epoch")["seconds"]

  def predict(self, path: pathlib.Path) -> np.ndarray:
    """Probabilities of the validation films, float16 (N, H, W)."""
    self._process.ask(f"predict {path}")
    return np.load(path)


def main() -> None:
  arguments = _parse()
  print(f"On {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
  minutes = {system: {goal: [] for goal in arguments.goals} for system in arguments.systems}
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    validation = _write_films(folder, arguments)
    for seed in range(arguments.seeds):
      for system, reached in _race(seed, folder, validation, arguments).items():
        for goal, found in reached.items():
          minutes[system][goal].append(found)
  print("\nminutes to Dice:  " + "  ".join(f"{goal:>20}" for goal in arguments.goals))
  for system, of_goals in minutes.items():
    print(f"{system:16}  " + "  ".join(f"{_summary(found):>20}" for found in of_goals.values()))


def _race(
  seed: int, folder: pathlib.Path, validation: Films, arguments: argparse.Namespace
) -> dict[str, dict[float, float]]:
  """Minutes to each goal, {system: {goal: minutes}}; infinite where it was not reached."""
  trainers = {}
  for system in arguments.systems:  # One after the other, as each start is on the clock.
    trainers[system] = _Trainer(system, arguments, folder, seed)
  reached = {system: dict.fromkeys(arguments.goals, float("inf")) for system in arguments.systems}
  for epoch in range(arguments.epochs):
    for system in arguments.systems[:: 1 if epoch % 2 else -1]:
      trainer = trainers[system]
      trainer.train_epoch()
      dice = _dice(trainer.predict(folder / "predicted.npy"), validation.masks)
      print(f"seed {seed}, epoch {epoch + 1}: {system:8} {trainer.seconds / 60:5.2f} min, Dice {dice:.4f}", flush=True)
      for goal in arguments.goals:
        if dice >= goal:
          reached[system][goal] = min(reached[system][goal], trainer.seconds / 60)
    if all(np.isfinite(list(found.values())).all() for found in reached.values()):
      break
  for trainer in trainers.values():
    trainer.close()
  return reached


def _dice(probabilities: np.ndarray, masks: np.ndarray) -> float:
  """Mean per image, of probabilities (N, h, w) scaled to the size of bool masks (N, H, W)."""
  scaled = [
    np.asarray(Image.fromarray(p.astype(np.float32)).resize(mask.shape[::-1], Image.Resampling.BILINEAR))
    for p, mask in zip(probabilities, masks, strict=True)
  ]
  return float(metrics.dice(np.asarray(metrics.confusion_counts(np.stack(scaled) > 0.5, masks))).mean())


def _write_films(folder: pathlib.Path, arguments: argparse.Namespace) -> Films:
  """Writes the films of both splits at the network's size; returns those of validation with masks of 256x256."""
  config = default.get_config().dataset
  config.manual_dir, config.data_dir = arguments.manual_dir, arguments.data_dir
  builder = datasets.prepare(config)
  train = load_films(FilmReader(builder, "train", config, arguments.image_size))
  validation = load_films(FilmReader(builder, "validation", config, arguments.image_size, 256))
  np.savez(folder / "films.npz", images=train.images, masks=train.masks, validation=validation.images)
  return validation


def _summary(minutes: list[float]) -> str:
  return f"{statistics.median(minutes):.1f} ({min(minutes):.1f} to {max(minutes):.1f})"


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--manual_dir", required=True, help="folder of the archive of COVID-QU-Ex")
  parser.add_argument("--data_dir", default="", help="folder of the records, if not ~/tensorflow_datasets")
  parser.add_argument("--systems", nargs="+", default=["covseg", "torch"], choices=("covseg", "torch"))
  parser.add_argument("--goals", nargs="+", type=float, default=[0.7, 0.75, 0.78])
  parser.add_argument("--image_size", type=int, default=128)
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--epochs", type=int, default=12, help="length of the schedule; ends earlier at the last goal")
  parser.add_argument("--seeds", type=int, default=3)
  return parser.parse_args()


if __name__ == "__main__":
  main()
