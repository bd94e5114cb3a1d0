"""How a training learns that it is to stop."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[int], bool]]:
  """Gives a function of a step that tells whether SIGTERM or SIGINT has come.

  A second one acts at once, unless it comes within a second of the first: a supervisor may signal this process and the
  one that started it, which passes it on.

  Of several processes, one alone must not stop. They are told at the same step that SIGTERM has come to
  one of them, provided that they ask at every step; SIGINT acts as ever.
  """
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  received = []

  def note(number: int, _frame: object) -> None:
    received.append(time.monotonic())
    if received[-1] - received[0] >= 1:
      signal.signal(number, previous[number])
      signal.raise_signal(number)

  previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield lambda _: bool(received)
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
