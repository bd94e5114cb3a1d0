"""A trained network in one file for other programs: `python -m covseg export`.

  unet.stablehlo   for JAX, by `jax.export`; what it takes and gives is in unet.stablehlo.json
  unet.onnx        for ONNX Runtime and others; what it takes and gives is in its metadata

Both hold the weights and take batches of any number.
"""

import contextlib
import io
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from covseg.models.heads import HEADS_OF_FILMS
from covseg.models.inference import predict
from covseg.models.platforms import for_export
from covseg.runtime import compilation
from covseg.runtime.command_line import UsageError
from covseg.trained import trained_model
from covseg.trained.trained_model import TrainedModel
from covseg.workdir import write_whole

# The largest difference between probabilities of a written file and of the live model.
TOLERANCE = 1e-4
# What ONNX Runtime of the last two years reads.
_OPSET = 21

Apply = Callable[[Any], dict[str, Any]]


def run(model: str, output: str, changes: Sequence[str] = ()) -> None:
  """Writes a trained model to a file, and checks it against the live one.

  Args:
    model: a trained model, as `trained_model.load` takes it.
    output: the file; .onnx or .stablehlo tells its kind.
    changes: how the model predicts, as `trained_model.load` takes them.

  Raises:
    ValueError: there is no such model or kind, the converter is missing, or the file computes something
      else; then it is not left behind.
  """
  path = pathlib.Path(output).expanduser()
  kinds = {".stablehlo": (_stablehlo, read_stablehlo), ".onnx": (_onnx, read_onnx)}
  if path.suffix not in kinds:
    raise UsageError(f"--output={output}: expected a file that ends in {' or '.join(kinds)}.")
  write, read = kinds[path.suffix]
  compilation.set_up()
  trained = trained_model.load(model, changes)
  live = _probabilities(trained)
  content = write(trained, live)
  beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # A file of an earlier export stays until then.
  write_whole(beside, content)
  try:
    difference = _difference(trained, live, lambda: read(beside), path)
    beside.replace(path)
  finally:
    beside.unlink(missing_ok=True)
  if path.suffix == ".stablehlo":  # It has no place for metadata.
    about = json.dumps(description(trained), indent=2) + "\n"
    write_whole(path.with_name(f"{path.name}.json"), about)
  print(f"{path}: probabilities as the model's, to {difference:.1g}")


def description(trained: TrainedModel) -> dict[str, Any]:
  """What an exported network takes and gives."""
  size = trained.config.image_size
  has_own = trained.config.eval.own_threshold
  moved = "; of infection, moved so that the threshold of each film lies at 0.5" if has_own else ""
  gates = {head: trained.config.eval[f"least_{head}"] for head in HEADS_OF_FILMS if head in trained.config.model.heads}
  gated = [f"; of infection, nowhere above 0.5 where {head} is below {least}" for head, least in gates.items() if least]
  return {
    "model": trained.name,
    "fingerprint": trained.fingerprint,
    "input": f"float32 (batch, {size}, {size}, 1) in [0, 1]",
    "preprocessing": (
      "Grey film, upright, bone white. Cut off rows and columns of one value at its edges; scale what is "
      f"left to {size} x {size} whatever its shape, bilinear with antialiasing; divide 8-bit levels by 255."
    ),
    "output": f"float32 (batch, {size}, {size}, 1), probabilities{moved}{''.join(gated)}",
    "heads": ", ".join(_heads(trained)),
    "threshold": trained.config.eval.threshold,
    "use": "For research, not for diagnosis.",
  }


def read_stablehlo(path: pathlib.Path) -> Apply:
  """The function of images, float32 (B, H, W, 1), in a file that was written here."""
  exported = jax.export.deserialize(bytearray(path.read_bytes()))
  return jax.jit(exported.call)


def read_onnx(path: pathlib.Path) -> Apply:
  """The function of images, float32 (B, H, W, 1), in an ONNX file, by ONNX Runtime."""
  import onnxruntime

  session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
  (images,) = session.get_inputs()
  heads = [output.name for output in session.get_outputs()]
  return lambda values: dict(zip(heads, session.run(None, {images.name: np.asarray(values)}), strict=True))


def _probabilities(trained: TrainedModel) -> Apply:
  def infer(images: jax.Array) -> dict[str, jax.Array]:
    logits = predict(trained.network, trained.config.eval, trained.variables, images)
    return {head: jax.nn.sigmoid(logits[head])[..., None] for head in sorted(set(logits) - set(HEADS_OF_FILMS))}

  return infer


def _heads(trained: TrainedModel) -> list[str]:
  size = trained.config.image_size
  images = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
  return sorted(jax.eval_shape(_probabilities(trained), images))


def _stablehlo(trained: TrainedModel, live: Apply) -> bytes:
  size = trained.config.image_size
  (batch,) = jax.export.symbolic_shape("batch")
  images = jax.ShapeDtypeStruct((batch, size, size, 1), jnp.float32)
  exported = jax.export.export(jax.jit(live), platforms=("cpu", "cuda", "rocm", "tpu"))(images)
  return bytes(exported.serialize())


def _onnx(trained: TrainedModel, live: Apply) -> bytes:
  try:
    import onnx

    with _quiet():
      import jax2onnx
  except ImportError as error:
    raise ValueError(f"ONNX needs a converter: pip install 'covseg[onnx]' ({error})") from error
  size, heads = trained.config.image_size, _heads(trained)
  # With jax 0.11 and newer the converter fails on jitted functions, and jnp.clip is one.
  with _quiet(), for_export(), jax.disable_jit():
    model = jax2onnx.to_onnx(live, [("batch", size, size, 1)], model_name="covseg", opset=_OPSET)
  _rename(model.graph, ["images", *heads])
  del model.graph.value_info[:]  # Hints, some of them wrong, of shapes that every runtime derives itself.
  onnx.helper.set_model_props(model, {key: str(value) for key, value in description(trained).items()})
  onnx.checker.check_model(model)
  return model.SerializeToString()


def _rename(graph: Any, names: list[str]) -> None:
  """Gives the input and the outputs of an ONNX graph their names."""
  values = [*graph.input, *graph.output]
  new = {value.name: name for value, name in zip(values, names, strict=True)}
  for value in values:
    value.name = new[value.name]
  for node in graph.node:
    node.input[:] = [new.get(name, name) for name in node.input]
    node.output[:] = [new.get(name, name) for name in node.output]


def _difference(trained: TrainedModel, live: Apply, read: Callable[[], Apply], path: pathlib.Path) -> float:
  """Largest difference between probabilities of the live model and of a written file.

  Raises:
    ValueError: the file cannot be run, or they differ by more than `TOLERANCE`.
  """
  try:
    difference = _largest_difference(trained, jax.jit(live), read())
  except Exception as error:  # Runtimes raise errors of any kind.
    reason = " ".join(str(error).split())[:200]
    raise ValueError(f"{path} could not be run after it was written, and was removed: {reason}") from error
  if not difference <= TOLERANCE:
    raise ValueError(f"{path} differed from the model by {difference:.2g}, and was removed.")
  return difference


def _largest_difference(trained: TrainedModel, live: Apply, written: Apply) -> float:
  """Of probabilities, over all heads, on batches of one and of three images."""
  size, rng = trained.config.image_size, np.random.default_rng(0)
  differences = []
  for count in (1, 3):
    images = rng.random((count, size, size, 1), np.float32)
    expected, found = live(images), written(images)
    differences += [np.abs(np.asarray(found[head]) - np.asarray(expected[head])).max() for head in expected]
  return float(np.max(differences))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps the converter from telling how it goes about it."""
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.disable(before)
