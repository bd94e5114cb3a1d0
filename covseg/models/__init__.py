"""Networks by name: `create_model(config.model)`."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from covseg.configuration import check_choice, check_effects, check_ranges
from covseg.models.attention_unet import AttentionUNet
from covseg.models.blocks import NORMS
from covseg.models.decoders import DECODERS
from covseg.models.encoder_decoder import EncoderDecoder
from covseg.models.encoders import ENCODERS
from covseg.models.heads import HEADS
from covseg.models.unet import UNet
from covseg.models.unet_baseline import UNetBaseline
from covseg.models.unet_plus_plus import UNetPlusPlus

NETWORKS = {
  "unet": UNet,
  "unet_baseline": UNetBaseline,
  "unet_plus_plus": UNetPlusPlus,
  "attention_unet": AttentionUNet,
  "encoder_decoder": EncoderDecoder,
}
_CHOICES = {
  "norm": NORMS,
  "dtype": ("float32", "bfloat16"),
  "encoder": ENCODERS,
  "decoder": DECODERS,
  "prune_to": range(5),
}
# Read when training starts, not by the network.
_OF_INITIALIZATION = {EncoderDecoder: {"encoder_weights"}}


def create_model(config: ConfigDict) -> nn.Module:
  """Linen module of `config.model`.

  `apply(variables, images, train=...)` maps float32 images (B, H, W, 1) in [0, 1] to logits,
  {head: float32 (B, H, W, 1)}; of the head "presence" (B, 1, 1, 1), of "involvement" (B, 1, 2, 1). In training,
  networks with deep supervision also return "auxiliary", a tuple of such dicts; those with dropout take
  rngs={"dropout": key}.

  Raises:
    ValueError: a field has a value that is not one of its choices, or was changed although the network does not
      have it.
  """
  check_choice("model.name", config.name, NETWORKS)
  for field, choices in _CHOICES.items():
    check_choice(f"model.{field}", config[field], choices)
  check_ranges(config, "model.", {"base_features": (1, None), "dropout": (0, 0.99)})
  if not config.decoder_features or min(config.decoder_features) < 1:
    raise ValueError(f"model.decoder_features={config.decoder_features} must be widths of at least 1, one or more.")
  heads = tuple(config.heads)
  if heads[:1] != ("infection",) or len(set(heads)) < len(heads) or not {*heads} <= {*HEADS}:
    raise ValueError(f"model.heads={heads!r} is not known; it is 'infection', then others of {HEADS}.")
  if "involvement" in heads and "lung" not in heads[: heads.index("involvement")]:
    raise ValueError(f"model.heads={heads!r}: the head 'involvement' needs 'lung' before it.")
  network = NETWORKS[config.name]
  own = {field.name for field in dataclasses.fields(network)} & {*config.keys()} - {"name"}
  used = own | {"name"} | _OF_INITIALIZATION.get(network, set())
  used -= {"decoder_features"} if config.decoder != "unet" else set()
  check_effects(config, "model.", used, config.name)
  return network(**{name: config[name] for name in own})


def shapes_of(network: nn.Module) -> dict[str, Any]:
  """Shapes and types of a network's variables, {"params": ..., "batch_stats": ...}; an encoder's, too."""
  images = jax.ShapeDtypeStruct((1, 32, 32, 1), np.float32)
  return jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), images)
