"""A good network in minutes on 2 CPU cores: a pretrained encoder, 128 px, COVID-19 films alone.

python main.py --config=configs/fast.py --config.dataset.manual_dir=FOLDER --workdir=runs/fast
"""

from ml_collections import ConfigDict

from configs import best_stage1


def get_config() -> ConfigDict:
  config = best_stage1.get_config()
  config.image_size = 128
  config.num_epochs = 10
  config.dataset.cohort = "covid"
  config.dataset.negative_share = 1.0
  return config
