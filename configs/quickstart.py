"""The whole way, from data to evaluation, on synthetic films: no download, under 2 minutes on 2 cores.

python main.py --config=configs/quickstart.py --workdir=runs/quickstart

Test (72 synthetic films with infection, per-image mean, threshold 0.5): Dice 0.828 to 0.833. 53 s on 2 CPU cores,
with the making of the films.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.dataset.name = "cxr_phantom"
  config.dataset.cohort = "all"
  config.image_size = 96
  config.batch_size = 8
  config.num_epochs = 6
  config.model.base_features = 8
  config.optimizer.learning_rate = 3e-3
  return config
