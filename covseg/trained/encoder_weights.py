"""Files of encoder weights: safetensors whose tensors are named by their path, as params/conv1/grey_kernel.

Reading and writing them; `import_weights` makes them of other libraries' files.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax
import numpy as np
import safetensors.numpy

from covseg.workdir import write_whole
from input_pipeline.wording import first_of


def load(path: str | os.PathLike, encoder_variables: Mapping[str, Any]) -> dict[str, Any]:
  """Variables {"params": ..., "batch_stats": ...} of an encoder, from a file.

  Args:
    path: the file.
    encoder_variables: variables of the encoder, or their shapes, that those of the file must match.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no safetensors file, or tensors are missing, extra or misshapen; it names them.
  """
  try:
    tensors = safetensors.numpy.load_file(path)
  except safetensors.SafetensorError as error:
    raise ValueError(
      f"{path} is not a safetensors file ({error}); make one with python -m covseg import-weights."
    ) from error
  expected = {name: leaf.shape for name, leaf in _flat(encoder_variables).items()}
  check_tensors(path, {name: tensor.shape for name, tensor in tensors.items()}, expected)
  tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
  return flax.traverse_util.unflatten_dict(tensors, sep="/")


def save(path: str | os.PathLike, encoder_variables: Mapping[str, Any], about: Mapping[str, str]) -> None:
  """Writes the variables of an encoder into a file, with a few words about them in its header."""
  tensors = {name: np.ascontiguousarray(leaf) for name, leaf in _flat(encoder_variables).items()}
  write_whole(pathlib.Path(path), safetensors.numpy.save(tensors, metadata=dict(about)))


def check_tensors(
  path: str | os.PathLike, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
  """Raises ValueError where the shapes of a file's tensors are not those expected; it names them."""
  differing = [name for name in sorted(found.keys() & expected.keys()) if found[name] != expected[name]]
  problems = {
    "missing": sorted(expected.keys() - found.keys()),
    "extra": sorted(found.keys() - expected.keys()),
    "misshapen": [f"{name} {found[name]} in place of {expected[name]}" for name in differing],
  }
  lines = [f"{len(names)} {kind}: {first_of(names, 6)}" for kind, names in problems.items() if names]
  if lines:
    raise ValueError(
      f"The tensors of {path} are not those of this network, so none was loaded. {'; '.join(lines)}. "
      "Is it the file of another architecture?"
    )


def _flat(variables: Mapping[str, Any]) -> dict[str, Any]:
  return flax.traverse_util.flatten_dict(dict(variables), sep="/")
