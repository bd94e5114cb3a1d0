"""Attention U-Net (Oktay et al. 2018): attention gates on the skips; 8.3 M parameters.

python main.py --config=configs/attention_unet.py --workdir=runs/attention_unet

https://arxiv.org/abs/1804.03999. Trained as configs/unet.py is.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "attention_unet"
  return config
