"""U-Net as first published (Ronneberger et al. 2015): dropout, no batch norm; 31.0 M parameters.

python main.py --config=configs/unet_baseline.py --workdir=runs/unet_baseline

https://arxiv.org/abs/1505.04597. Trained as configs/unet.py is, but at a tenth of the learning rate, as there
is no batch norm; that has not been tuned at full size. The narrow one of sweeps/table1.py takes 1e-3, and at
1e-4 reached a Dice of 0.11 only after two epochs.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "unet_baseline"
  config.model.base_features = 64
  config.optimizer.learning_rate = 1e-4
  return config
