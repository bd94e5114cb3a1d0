"""U-Net as first published (Ronneberger et al. 2015): dropout, no batch norm; 31.0 M parameters.

python main.py --config=configs/unet_baseline.py --workdir=runs/unet_baseline

https://arxiv.org/abs/1505.04597. Trained as configs/unet.py is, but at a tenth of the learning rate, as there
is no batch norm; that has not been tuned at full size. The narrow one of sweeps/table1.py takes 1e-3.

Test (583 COVID-19 films, per-image mean, threshold 0.5), by the recipe and at the size of sweeps/table1.py: Dice 0.751,
IoU 0.638, in 2.9 min on a GPU that 12 runs shared. Full size was not trained.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "unet_baseline"
  config.model.base_features = 64
  config.optimizer.learning_rate = 1e-4
  return config
