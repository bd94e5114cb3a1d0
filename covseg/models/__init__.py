"""Networks by name: `create_model(config.model)`."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from configs import default
from covseg.models.attention_unet import AttentionUNet
from covseg.models.encoder_decoder import EncoderDecoder
from covseg.models.unet import UNet
from covseg.models.unet_baseline import UNetBaseline
from covseg.models.unet_plus_plus import UNetPlusPlus

NETWORKS = {
  "unet": functools.partial(UNet),
  "unet_baseline": functools.partial(UNetBaseline),
  "unet_plus_plus": functools.partial(UNetPlusPlus),
  "attention_unet": functools.partial(AttentionUNet),
  "efficientnet_lite0_unet": functools.partial(EncoderDecoder, encoder="efficientnet_lite0"),
  "mobilenet_v2_unet": functools.partial(EncoderDecoder, encoder="mobilenet_v2"),
  "resnet_unet": functools.partial(EncoderDecoder),
  "densenet121_unet": functools.partial(EncoderDecoder, encoder="densenet121"),
}


def create_model(config: ConfigDict) -> nn.Module:
  """Linen module of `config.model`.

  `apply(variables, images, train=...)` maps float32 images (B, H, W, 1) in [0, 1] to logits,
  {head: float32 (B, H, W, 1)}, of the head "presence" (B, 1, 1, 1). In training, networks with deep
  supervision give an "auxiliary" besides, a tuple of such dicts; those with dropout take
  rngs={"dropout": key}.

  Raises:
    ValueError: a field was changed that the network does not have.
  """
  network = NETWORKS[config.name]
  known = {field.name for field in dataclasses.fields(network.func)} - network.keywords.keys()
  fields = {name: _hashable(value) for name, value in config.items()}
  defaults = default.get_config().model
  free = {"name"} | ({"encoder_weights"} if network.func is EncoderDecoder else set())
  for name in fields.keys() - known - free:
    if fields[name] != _hashable(defaults[name]):
      own = ", ".join(sorted((known | free) & fields.keys()))
      raise ValueError(f"model.{name}={fields[name]!r} has no effect on {config.name}, which has {own}.")
  return network(**{name: value for name, value in fields.items() if name in known})


def _hashable(value: Any) -> Any:
  """The value; of a list, which a tuple becomes in JSON, the tuple."""
  return tuple(value) if isinstance(value, list) else value
