"""Encoder weights from torchvision's and timm's state dicts; theirs are made up here, without PyTorch."""

import re
import subprocess
import sys

import flax
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from covseg.models.encoders import ENCODERS
from covseg.models.encoders.layers import IMAGENET_MEAN, IMAGENET_STD, GreyStem, grey_kernel
from covseg.trained import encoder_weights, import_weights
from tests.conftest import ROOT
from tests.random_variables import random_variables

RESNET18_TENSORS = 100  # torchvision's, less those of fc and the 20 counts of batches.


@pytest.fixture(scope="module")
def state():
  """State dict of a ResNet-18, as torchvision lays it out."""
  rng = np.random.default_rng(0)
  tensors = {}

  def convolution(name, features, channels, size):
    tensors[f"{name}.weight"] = rng.normal(size=(features, channels, size, size)).astype(np.float32)

  def norm(name, features):
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      tensors[f"{name}.{leaf}"] = rng.uniform(0.5, 1.5, features).astype(np.float32)
    tensors[f"{name}.num_batches_tracked"] = np.array(7)

  convolution("conv1", 64, 3, 7)
  norm("bn1", 64)
  channels = 64
  for layer, features in enumerate((64, 128, 256, 512), start=1):
    for block in range(2):
      name = f"layer{layer}.{block}"
      for i in (1, 2):
        convolution(f"{name}.conv{i}", features, channels if i == 1 else features, 3)
        norm(f"{name}.bn{i}", features)
      if channels != features:
        convolution(f"{name}.downsample.0", features, channels, 1)
        norm(f"{name}.downsample.1", features)
      channels = features
  tensors["fc.weight"] = np.zeros((1000, 512), np.float32)
  tensors["fc.bias"] = np.zeros(1000, np.float32)
  return tensors


def test_grey_stem_does_what_the_rgb_one_does_even_at_the_border():
  rng = np.random.default_rng(0)
  images = rng.random((2, 10, 12, 1), np.float32)
  rgb = rng.normal(size=(7, 7, 3, 4)).astype(np.float32)
  normalized = (images - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
  expected = jax.lax.conv_general_dilated(
    normalized, rgb, (2, 2), [(3, 3)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  out = GreyStem(4, 7).apply({"params": {"grey_kernel": grey_kernel(rgb)}}, images)
  np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_an_imported_file_gives_the_encoder_those_very_weights(state, tmp_path, capsys):
  save_file(state, tmp_path / "resnet18.safetensors")
  output = tmp_path / "new" / "encoder.safetensors"
  import_weights.run(str(tmp_path / "resnet18.safetensors"), "resnet18", str(output))
  assert f"--config.model.encoder_weights={output}" in capsys.readouterr().out
  own = random_variables(ENCODERS["resnet18"]())
  loaded = encoder_weights.load(output, own)
  assert jax.tree.structure(loaded) == jax.tree.structure(own)
  assert len(jax.tree.leaves(loaded)) == RESNET18_TENSORS
  kernel = loaded["params"]["layer2_0"]["downsample_0"]["kernel"]
  np.testing.assert_array_equal(kernel[0, 0], state["layer2.0.downsample.0.weight"][:, :, 0, 0].T)
  variance = loaded["batch_stats"]["layer4_1"]["bn2"]["var"]
  np.testing.assert_array_equal(variance, state["layer4.1.bn2.running_var"])


def test_missing_extra_and_misshapen_tensors_are_named_and_nothing_is_written(state, tmp_path):
  state = dict(state)
  del state["layer3.1.bn1.bias"]
  state["layer5.0.conv1.weight"] = state["conv1.weight"]
  state["layer1.0.conv1.weight"] = np.zeros((64, 64, 5, 5), np.float32)
  save_file(state, tmp_path / "broken.safetensors")
  with pytest.raises(ValueError, match="none was loaded") as error:
    import_weights.run(str(tmp_path / "broken.safetensors"), "resnet18", str(tmp_path / "out.safetensors"))
  for words in (
    "1 missing: layer3.1.bn1.bias",
    "1 extra: layer5.0.conv1.weight",
    "1 misshapen: layer1.0.conv1.weight (64, 64, 5, 5) in place of (64, 64, 3, 3)",
  ):
    assert words in str(error.value)
  assert not (tmp_path / "out.safetensors").exists()


def test_encoder_weights_of_another_architecture_are_refused(state, tmp_path):
  path = tmp_path / "encoder.safetensors"
  encoder_weights.save(path, import_weights.convert(state, "resnet18", "a file"), {"encoder": "resnet18"})
  with pytest.raises(ValueError, match=r"missing: .*layer1_2/bn1/mean.*another architecture"):
    encoder_weights.load(path, random_variables(ENCODERS["resnet34"]()))
  path.write_bytes(b"no tensors")
  with pytest.raises(ValueError, match="is not a safetensors file"):
    encoder_weights.load(path, {})


def _mobilenet_state():
  """State dict of a MobileNetV2 under torchvision's names; each tensor is told from all others."""
  leaves = flax.traverse_util.flatten_dict(random_variables(ENCODERS["mobilenet_v2"]()))
  leaf_names = {"scale": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}
  state = {}
  for (_, *scopes, leaf), array in leaves.items():
    name = ".".join(scope.replace("_", ".") for scope in scopes)
    if array.ndim == 4:
      array = np.zeros((32, 3, 3, 3), np.float32) if leaf == "grey_kernel" else array.transpose(3, 2, 0, 1)
    state[f"{name}.{leaf_names.get(leaf, 'weight')}"] = array
  return state


def _of_timm(name):
  match = re.match(r"features\.(\d+)\.(.*)\.(\w+)$", name)
  block, layer, leaf = int(match[1]), match[2], match[3]
  if block in (0, 18):
    ends = {(0, "0"): "conv_stem", (0, "1"): "bn1", (18, "0"): "conv_head", (18, "1"): "bn2"}
    return f"{ends[block, layer]}.{leaf}"
  stages = [(stage, i) for stage, repeats in enumerate((1, 2, 3, 4, 3, 3, 1)) for i in range(repeats)]
  layers = {
    "conv.0.0": "conv_pw",
    "conv.0.1": "bn1",
    "conv.1.0": "conv_dw",
    "conv.1.1": "bn2",
    "conv.2": "conv_pwl",
    "conv.3": "bn3",
  }
  if block == 1:
    layers = {"conv.0.0": "conv_dw", "conv.0.1": "bn1", "conv.1": "conv_pw", "conv.2": "bn2"}
  stage, i = stages[block - 1]
  return f"blocks.{stage}.{i}.{layers[layer]}.{leaf}"


def test_mobilenet_under_timms_names_is_the_same():
  state = _mobilenet_state()
  expected = import_weights.convert(state, "mobilenet_v2", "torchvision's")
  renamed = {_of_timm(name): array for name, array in state.items()}
  assert {"conv_stem.weight", "blocks.1.1.conv_pwl.weight", "bn2.running_var"} <= renamed.keys()
  got = import_weights.convert(renamed, "mobilenet_v2", "timm's")
  assert jax.tree.all(jax.tree.map(np.array_equal, got, expected))


def test_a_mistake_gets_a_plain_answer():
  with pytest.raises(FileNotFoundError, match="no file absent.pth"):
    import_weights.run("absent.pth", "resnet18", "out.safetensors")
  command = [sys.executable, "-m", "covseg", "import-weights", "a.pth", "--encoder=resnet19", "--output=b"]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 2
  assert all(encoder in done.stderr for encoder in ENCODERS)
  assert "did you mean 'resnet1" in " ".join(done.stderr.split())


class _Malicious:
  def __reduce__(self):
    return (exec, ("raise SystemExit('executed')",))


def test_a_pth_file_is_read_without_executing_what_it_contains(tmp_path):
  torch = pytest.importorskip("torch")
  torch.save({"conv1.weight": _Malicious()}, tmp_path / "malicious.pth")
  with pytest.raises(ValueError, match="safely"):
    import_weights.read_state_dict(tmp_path / "malicious.pth")
  torch.save({"state_dict": {"conv1.weight": torch.ones(2, 3)}}, tmp_path / "nested.pth")
  (array,) = import_weights.read_state_dict(tmp_path / "nested.pth").values()
  assert (array == np.ones((2, 3))).all()
