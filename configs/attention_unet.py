"""Attention U-Net (Oktay et al. 2018): attention gates on the skips; 8.3 M parameters.

python main.py --config=configs/attention_unet.py --workdir=runs/attention_unet

https://arxiv.org/abs/1804.03999. Trained as configs/unet.py is.

Test (583 COVID-19 films, per-image mean, threshold 0.5), by the recipe and at the size of sweeps/table1.py: Dice 0.763,
IoU 0.654, in 3.4 min on a GPU that 12 runs shared. Full size was not trained.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "attention_unet"
  return config
