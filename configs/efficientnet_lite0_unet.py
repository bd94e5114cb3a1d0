"""U-Net on an EfficientNet-Lite0 encoder (Tan and Le 2019) from ImageNet, with the paper's loss and rate.

python main.py --config=configs/efficientnet_lite0_unet.py --workdir=runs/efficientnet_lite0_unet

3.8 M parameters, 3.0 M of them the encoder's.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "encoder_decoder"
  config.model.encoder = "efficientnet_lite0"
  config.model.encoder_weights = "imagenet"
  config.model.decoder_features = (128, 64, 32, 24)
  return config
