"""One file, one list of runs for `python -m covseg sweep`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entry:
  """A configuration to run with several seeds.

  Attributes:
    name: of its folder.
    config: file of the configuration.
    overrides: fields that differ from it, {"model.base_features": 16, ...}.
    seeds: one run each.
  """

  name: str
  config: str
  overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  seeds: Sequence[int] = (0,)
