"""The best single model: from `best_stage1.py` on, with all films without infection.

python main.py --config=configs/best.py --config.dataset.manual_dir=FOLDER --workdir=runs/best

"""

from ml_collections import ConfigDict

from configs import best_stage1


def get_config() -> ConfigDict:
  config = best_stage1.get_config()
  config.init_from = "runs/best_stage1"
  config.num_epochs = 3
  config.dataset.negative_share = 1.0
  config.optimizer.learning_rate = 2e-4
  config.optimizer.warmup_epochs = 0.0
  config.optimizer.ema_decay = 0.99
  config.eval.flip = True
  config.eval.lung_only = True
  return config
