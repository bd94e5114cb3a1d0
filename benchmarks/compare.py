"""Measures this project beside PyTorch and Keras, interleaved, and prints the ratios.

  python -m benchmarks.compare --base_features=16 --image_size=256

Same network, batch and precision. Each system lives in a process of its own; they take turns, in an order that is
drawn anew for each round, so that a busy machine slows all of them alike. A ratio above 1 means that covseg is faster.
"""

import argparse
import os
import pathlib
import random
import statistics
import tempfile

import numpy as np

from benchmarks.process import Process, processor


def main() -> None:
  arguments = _parse()
  with tempfile.TemporaryDirectory() as folder:
    films = str(pathlib.Path(folder) / "films.npz")
    _write_films(films, arguments)
    workers = {system: _start(system, films, arguments) for system in arguments.systems}
  print(f"On {processor()}, {os.cpu_count()} cores:")
  for worker in workers.values():
    print(f"  {worker.start['about']}")
  features = f", {arguments.base_features} base features" if arguments.network == "unet" else ""
  print(
    f"\n{arguments.network}{features}, {arguments.image_size} px, batch {arguments.batch_size}, "
    f"{'bfloat16' if arguments.bfloat16 else 'float32'}\n"
  )

  steps = arguments.epoch_films // arguments.batch_size
  turns = {
    # {request: (steps, rounds, images of a step)}
    "train": (arguments.steps, arguments.rounds, arguments.batch_size),
    "infer": (2 * arguments.steps, arguments.rounds, arguments.batch_size),
    "epoch": (1, max(2, arguments.rounds // 3), steps * arguments.batch_size),
  }
  seconds, steps_alone, order = {}, [], random.Random(0)
  print("| | images/s, median | best | covseg is faster by (median, range of the rounds) |\n|---|---|---|---|")
  for what, (repeats, rounds, images) in turns.items():
    for _ in range(rounds):
      for system, worker in order.sample(list(workers.items()), len(workers)):
        seconds.setdefault((what, system), []).append(worker.ask(f"{what} {repeats}")["seconds"])
        if (what, system) == ("epoch", "covseg"):  # As many steps again, without what feeds them.
          steps_alone.append(steps * worker.ask(f"train {steps}")["seconds"])
    for system in workers:
      times, ours = seconds[what, system], seconds[what, "covseg"]
      ratios = [other / our for other, our in zip(times, ours, strict=True)]
      median, best = images / statistics.median(times), images / min(times)
      print(f"| {what}, {system} | {median:.2f} | {best:.2f} | {_spread(ratios, '.2f')} |")

  print("\n| | import, s | first step, with compilation, s | peak memory host / device, GB |\n|---|---|---|---|")
  for system, worker in workers.items():
    start, memory = worker.start, worker.ask("memory")
    print(
      f"| {system} | {start['import_seconds']:.1f} | {start['first_step_seconds']:.1f} | "
      f"{memory['host_bytes'] / 1e9:.2f} / {memory['device_bytes'] / 1e9:.2f} |"
    )
    worker.close()

  more = [epoch / alone - 1 for epoch, alone in zip(seconds["epoch", "covseg"], steps_alone, strict=True)]
  print(f"\ncovseg's epoch of {steps} steps takes {_spread(more, '+.1%')} over its steps alone.")
  step = statistics.median(seconds["train", "covseg"])
  tflops = 3 * arguments.batch_size * _forward_flops(arguments) / step / 1e12
  share = f", {tflops / arguments.peak_tflops:.0%} of the peak" if arguments.peak_tflops else ""
  print(f"Its training step computes {tflops:.2f} TFLOP/s{share}, three times the forward pass's operations.")


def _start(system: str, films: str, arguments: argparse.Namespace) -> Process:
  system, _, num_devices = system.partition(":")
  command = [system, f"--films={films}", f"--network={arguments.network}"]
  command += [f"--base_features={arguments.base_features}", f"--batch_size={arguments.batch_size}"]
  command += ["--bfloat16"] if arguments.bfloat16 else []
  environment = {"TF_CPP_MIN_LOG_LEVEL": "3"}
  if system == "covseg":  # So that the first step includes compilation.
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
  if num_devices:
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={num_devices}"
  return Process("benchmarks.worker", command, **environment)


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--network", choices=("unet", "efficientnet_lite0", "resnet34"), default="unet")
  parser.add_argument("--base_features", type=int, default=16, help="Of the U-Net.")
  parser.add_argument("--image_size", type=int, default=256)
  parser.add_argument("--batch_size", type=int, default=8)
  parser.add_argument("--bfloat16", action="store_true")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--steps", type=int, default=3, help="Steps of a turn.")
  parser.add_argument("--epoch_films", type=int, default=96, help="Films of the epoch.")
  parser.add_argument("--manual_dir", help="Real films, from COVID-QU-Ex; without, synthetic ones.")
  parser.add_argument(
    "--systems",
    nargs="+",
    default=["covseg", "torch", "keras"],
    help="covseg and others to compare with it; covseg:8 is itself on 8 virtual devices of the CPU.",
  )
  parser.add_argument(
    "--peak_tflops",
    type=float,
    help="Of the device at this precision, by its maker, for the share of it that training uses.",
  )
  arguments = parser.parse_args()
  if "covseg" not in arguments.systems:
    parser.error("The other systems are compared with covseg, which --systems lacks.")
  if "keras" in arguments.systems and arguments.network != "unet":
    parser.error(f"Keras has no {arguments.network} with this decoder; compare with --systems covseg torch.")
  return arguments


def _spread(values: list[float], form: str) -> str:
  return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _forward_flops(arguments: argparse.Namespace) -> float:
  """Operations of the network for one image."""
  from benchmarks.networks_covseg import config_of
  from covseg.experiments import comparison

  config = config_of(arguments.network, arguments.base_features)
  config.image_size = arguments.image_size
  return comparison.cost(config)[1] * 1e9


def _write_films(path: str, arguments: argparse.Namespace) -> None:
  """Saves the films that every system sees: uint8 and bool (N, H, W)."""
  from configs import default
  from input_pipeline import datasets
  from input_pipeline.films import FilmReader, load_films

  config = default.get_config().dataset
  config.manual_dir = arguments.manual_dir or ""
  config.name = "covid_qu_ex" if arguments.manual_dir else "cxr_phantom"
  builder = datasets.prepare(config)
  reader = FilmReader(builder, f"train[:{arguments.epoch_films}]", config, arguments.image_size)
  films = load_films(reader)
  np.savez(path, images=films.images, masks=films.masks)


if __name__ == "__main__":
  main()
