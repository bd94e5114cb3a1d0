"""The second stage of `best`: from `best_stage1.py` on, with all films, and whether a film has an infection.

python main.py --config=configs/best_stage1.py --config.dataset.manual_dir=FOLDER --workdir=runs/best_stage1
python main.py --config=configs/best_stage2.py --config.dataset.manual_dir=FOLDER --workdir=runs/best_stage2

Validation, threshold 0.5, last epoch: per image over the 466 COVID-19 films Dice 0.794, IoU 0.692;
with_negatives (932 films) Dice 0.878, IoU 0.827, sensitivity 0.989, specificity 0.961, with the head "presence" as it
was until e6d845b. 9 min after the first 52 on 2 CPU cores. Its weights and those of a second, longer run are where the
training of `best` starts; see covseg/trained/released/best.md.
"""

from ml_collections import ConfigDict

from configs import best_stage1


def get_config() -> ConfigDict:
  config = best_stage1.get_config()
  config.init_from = "runs/best_stage1"
  config.num_epochs = 3
  config.model.heads = ("infection", "lung", "presence")
  config.dataset.negative_share = 1.0
  config.optimizer.learning_rate = 2e-4
  config.optimizer.warmup_epochs = 0.0
  config.optimizer.ema_decay = 0.99
  config.augment.blur.probability = 0.3
  config.eval.flip = True
  config.eval.lung_only = True
  config.eval.least_presence = 0.1
  return config
