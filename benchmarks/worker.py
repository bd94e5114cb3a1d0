"""One system in a process of its own: measures what it is told on standard input, a line at a time."""

import argparse
import importlib
import resource
import sys
import time

import numpy as np

from benchmarks.process import answer
from covseg.runtime import command_line


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("system", choices=("covseg", "torch", "keras"))
  parser.add_argument("--films", required=True, help="NPZ file of images and masks.")
  parser.add_argument("--network", required=True)
  parser.add_argument("--base_features", type=int, required=True)
  parser.add_argument("--batch_size", type=int, required=True)
  parser.add_argument("--bfloat16", action="store_true")
  arguments = parser.parse_args()
  if arguments.system == "covseg":
    command_line.use_huge_pages()  # As main.py does.

  began = time.perf_counter()
  module = importlib.import_module(f"benchmarks.networks_{arguments.system}")
  import_seconds = time.perf_counter() - began
  with np.load(arguments.films) as films:
    images, masks = films["images"], films["masks"]
  system = module.System(arguments.network, arguments.base_features, arguments.bfloat16)
  batch = system.place(images[: arguments.batch_size], masks[: arguments.batch_size])

  def seconds_of(call, repeats: int, warm: bool = True) -> float:
    if warm:  # The first call of a turn pays for the caches and the memory that the others took.
      system.wait(call(batch))
    began = time.perf_counter()
    for _ in range(repeats):
      result = call(batch)
    system.wait(result)
    return (time.perf_counter() - began) / repeats

  first_step = seconds_of(system.train_step, 1, warm=False)
  seconds_of(system.train_step, 1)
  seconds_of(system.infer, 1)
  answer(about=system.about, import_seconds=import_seconds, first_step_seconds=first_step)
  for line in sys.stdin:
    what, *repeats = line.split()
    if what == "epoch":
      seconds_of(system.train_step, 1)  # As warm as for the steps.
      answer(seconds=system.epoch(images, masks, arguments.batch_size))
    elif what == "memory":
      host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
      answer(host_bytes=host, device_bytes=system.device_bytes())
    else:
      answer(seconds=seconds_of({"train": system.train_step, "infer": system.infer}[what], int(repeats[0])))


if __name__ == "__main__":
  main()
