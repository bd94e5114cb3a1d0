"""How lists are told in messages."""

from collections.abc import Sequence


def first_of(items: Sequence[object], most: int = 3) -> str:
  """The first items, with commas between them: "a, b, c, ..." where there are more."""
  return ", ".join([*map(str, items[:most]), *["..."] * (len(items) > most)])
