"""U-Net++ with deep supervision (Zhou et al. 2020); 9.0 M parameters.

python main.py --config=configs/unet_plus_plus.py --workdir=runs/unet_plus_plus

https://arxiv.org/abs/1912.05074. Trained as configs/unet.py is; the loss is the mean over the four outputs.
With model.prune_to=1 to 4 it predicts from a part of 0.1, 0.5, 2.2 or 9.0 M parameters.

Test (583 COVID-19 films, per-image mean, threshold 0.5), by the recipe and at the size of sweeps/table1.py: Dice 0.764,
IoU 0.653, in 3.8 min on a GPU that 12 runs shared. Full size was not trained.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "unet_plus_plus"
  return config
