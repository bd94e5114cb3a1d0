"""U-Net over MobileNetV2 (Sandler et al. 2018); 6.6 M parameters.

python main.py --config=configs/mobilenet_v2_unet.py --workdir=runs/mobilenet_v2_unet

https://arxiv.org/abs/1801.04381. Trained as configs/unet.py is, from scratch; from ImageNet weights with
--config.model.encoder_weights=FILE, a file made by python -m covseg import-weights. What it reaches was not measured.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "encoder_decoder"
  config.model.encoder = "mobilenet_v2"
  return config
