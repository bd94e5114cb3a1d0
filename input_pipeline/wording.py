"""What messages share."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def first_of(items: Sequence[object], most: int = 3) -> str:
  """The first items, with commas between them: "a, b, c, ..." where there are more."""
  return ", ".join([*map(str, items[:most]), *["..."] * (len(items) > most)])


def did_you_mean(name: Any, known: Iterable[str]) -> str:
  """ " (did you mean ...?)" of the closest of the known names; empty where none is close."""
  near = difflib.get_close_matches(str(name), known, n=1)
  return f" (did you mean {near[0]!r}?)" if near else ""
