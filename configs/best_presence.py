"""The benchmark's question, which class of COVID-QU-Ex a film is of, asked of changed films.

python main.py --config=configs/best_presence.py --config.dataset.manual_dir=FOLDER

Goes on from `best_robust.py`; for `best`, from the mean of four trainings (--config.init_from). Only the head
"presence" learns, from films of all classes. It knows this dataset's hospitals, and is for the published protocol alone
(--set eval.least_presence=0.1 --set eval.least_involvement=0). 8 min on 2 CPU cores that had other work, too; what it
reaches is in covseg/trained/released/best.md.
"""

from ml_collections import ConfigDict

from configs import best_robust


def get_config() -> ConfigDict:
  config = best_robust.get_config()
  config.init_from = "runs/best_robust"
  config.num_epochs = 3
  config.dataset.cohort = "all"
  config.model.heads = ("infection", "lung", "involvement", "presence")
  config.loss.involvement_weight = 0.0
  config.loss.presence_weight = 1.0
  config.optimizer.only = "presence"
  config.optimizer.encoder_factor = 1.0
  config.optimizer.learning_rate = 2e-3
  config.optimizer.ema_decay = 0.98
  config.augment.symmetry.probability = 0.0
  return config
