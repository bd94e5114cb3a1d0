"""Networks by name: `create_model(config.model)`."""

import dataclasses
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from covseg.configuration import check_choice, check_ranges
from covseg.models.attention_unet import AttentionUNet
from covseg.models.blocks import HEADS, NORMS
from covseg.models.decoders import DECODERS
from covseg.models.encoder_decoder import EncoderDecoder
from covseg.models.encoders import ENCODERS
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
  heads = tuple(config.heads)
  if heads[:1] != ("infection",) or len(set(heads)) < len(heads) or not {*heads} <= {*HEADS}:
    raise ValueError(f"model.heads={heads!r} is not known; it is 'infection', then others of {HEADS}.")
  if "involvement" in heads and "lung" not in heads[: heads.index("involvement")]:
    raise ValueError(f"model.heads={heads!r}: the head 'involvement' needs 'lung' before it.")
  network = NETWORKS[config.name]
  defaults = _defaults()
  known = {field.name for field in dataclasses.fields(network)} & {*config.keys()}
  own = known - {"name"} | _OF_INITIALIZATION.get(network, set())
  fields = {name: _hashable(value) for name, value in config.items() if name != "name"}
  for name in fields.keys() - own:
    if fields[name] not in defaults.get(name, {""}):
      raise ValueError(
        f"model.{name}={fields[name]!r} has no effect on {config.name}, which has {', '.join(sorted(own))}."
      )
  return network(**{name: value for name, value in fields.items() if name in known})


def _defaults() -> dict[str, set[Any]]:
  """Of each field, its defaults in the networks that have it."""
  found: dict[str, set[Any]] = {}
  for network in NETWORKS.values():
    for field in dataclasses.fields(network):
      if field.name not in ("parent", "name"):
        found.setdefault(field.name, set()).add(field.default)
  return found


def _hashable(value: Any) -> Any:
  """The value; of a list, which a tuple becomes in JSON, the tuple."""
  return tuple(value) if isinstance(value, list) else value
