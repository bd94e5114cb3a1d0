"""Networks by name: `create_model(config.model)`."""

import flax.linen as nn
from ml_collections import ConfigDict

from covseg.models.unet import UNet

NETWORKS = {"unet": UNet}


def create_model(config: ConfigDict) -> nn.Module:
  """Linen module of `config.model`; its other fields are the module's own.

  `apply(variables, images, train=...)` maps float32 images (B, H, W, 1) in [0, 1] to logits,
  {"infection": float32 (B, H, W, 1)}.
  """
  fields = config.to_dict()
  return NETWORKS[fields.pop("name")](**fields)
