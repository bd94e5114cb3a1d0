"""U-Net over ResNet-34 (He et al. 2016); 24.4 M parameters.

python main.py --config=configs/resnet_unet.py --workdir=runs/resnet_unet

https://arxiv.org/abs/1512.03385. Trained as configs/unet.py is, from scratch; from ImageNet weights with
--config.model.encoder_weights=FILE, a file made by python -m covseg import-weights. Other depths are
--config.model.encoder=resnet18 and resnet50. What it reaches was not measured.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "encoder_decoder"
  config.model.encoder = "resnet34"
  return config
