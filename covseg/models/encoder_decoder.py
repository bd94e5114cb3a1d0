"""U-Net and FPN decoders over encoders that were made for classification."""

import flax.linen as nn
import jax

from covseg.models import blocks, heads
from covseg.models.decoders import DECODERS
from covseg.models.encoders import ENCODERS


class EncoderDecoder(nn.Module):
  """An encoder by name, and a decoder over its features.

  Attributes:
    encoder: a name in `encoders.ENCODERS`; its parameters lie under "encoder".
    decoder: a name in `decoders.DECODERS`: "unet" (Ronneberger et al. 2015), or "fpn" (Kirillov et al. 2019, as
      Tahir et al. 2021 used it); both as in segmentation_models_pytorch.
    decoder_features: channels of the U-Net decoder, from stride 16 to finer ones.
    heads: names in `heads.HEADS`, "infection" first.
    dtype: type of the computation, float32 or bfloat16; logits and parameters are float32.
  """

  encoder: str
  decoder: str
  decoder_features: tuple[int, ...]
  heads: tuple[str, ...]
  dtype: str

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Logits of images (B, H, W, 1) in [0, 1], of any H and W, as `heads.Heads` returns them."""
    _, h, w, _ = images.shape
    padded = blocks.pad_to_multiple(images.astype(self.dtype), 32)
    features = ENCODERS[self.encoder](name="encoder")(padded, train)
    widths = {"features": self.decoder_features} if self.decoder == "unet" else {}
    decoder = DECODERS[self.decoder](**widths, name="decoder")
    outputs = heads.Heads(self.heads, name="heads")(decoder(features, train), features)

    def full_size(logits: jax.Array) -> jax.Array:
      return blocks.resize(logits, padded.shape[1:3], align_corners=self.decoder == "fpn")[:, :h, :w]

    return {head: x if head in heads.HEADS_OF_FILMS else full_size(x) for head, x in outputs.items()}
