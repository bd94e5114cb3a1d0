"""The same computation in two ways: one that is fast on a CPU, and one for all else."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax

_for_export = contextvars.ContextVar("for_export", default=False)


@contextlib.contextmanager
def for_export() -> Iterator[None]:
  """Within it, `choose` takes the accelerator's function on every backend: operations that other programs know."""
  token = _for_export.set(True)
  try:
    yield
  finally:
    _for_export.reset(token)


def choose(*arguments: Any, cpu: Callable, accelerator: Callable) -> Any:
  """What one of two functions returns for the arguments, by the platform that the program is compiled for."""
  if _for_export.get():
    return accelerator(*arguments)
  return jax.lax.platform_dependent(*arguments, cpu=cpu, default=accelerator)
