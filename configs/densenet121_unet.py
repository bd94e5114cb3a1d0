"""U-Net over DenseNet-121 (Huang et al. 2017); 13.6 M parameters.

python main.py --config=configs/densenet121_unet.py --workdir=runs/densenet121_unet

https://arxiv.org/abs/1608.06993. Trained as configs/unet.py is, from scratch; from ImageNet weights with
--config.model.encoder_weights=FILE, a file made by python -m covseg import-weights. What it reaches was not measured.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "encoder_decoder"
  config.model.encoder = "densenet121"
  return config
