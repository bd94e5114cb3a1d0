"""U-Net on an EfficientNet-Lite0 encoder (Tan and Le 2019) from ImageNet, with the paper's loss and rate.

python main.py --config=configs/efficientnet_lite0_unet.py --workdir=runs/efficientnet_lite0_unet

3.8 M parameters, 3.0 M of them the encoder's.

Test (583 COVID-19 films, per-image mean, threshold 0.5), by the recipe of sweeps/table1.py at 128 px: Dice 0.778,
IoU 0.671, in 5.1 min on a GPU that 12 runs shared. 256 px was not trained to the end.
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
