"""The third stage of `best`: whether each lung is infected, learnt on the frozen features of the second.

python main.py --config=configs/best_involvement.py --config.dataset.manual_dir=FOLDER

Only the head "involvement" learns, and only from films with an infection: there, clean and infected lungs come from the
same hospitals. Films are changed as other hospitals might have exposed, scaled and stored them. 12 min on 2 CPU cores
that had other work, too; what it reaches is in covseg/trained/released/best.md.
"""

from ml_collections import ConfigDict

from configs import best_stage2, default

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "histogram": (0.3, 1.0),
  "brightness": (0.5, 0.1),
  "contrast": (0.5, 0.4),
  "gamma": (0.6, 0.7),
  "window": (0.2, 0.15),
  "noise": (0.6, 0.12),
  "blur": (0.3, 0.01),
  "sharpen": (0.2, 2.0),
  "resolution": (0.4, 0.6),
  "spectrum": (0.2, 1.0),
  "jpeg": (0.4, 0.95),
}


def get_config() -> ConfigDict:
  config = best_stage2.get_config()
  config.init_from = "runs/best_stage2"
  config.num_epochs = 6
  config.dataset.cohort = "covid"
  config.model.encoder_weights = ""
  config.model.heads = ("infection", "lung", "involvement", "presence")
  config.loss.involvement_weight = 1.0
  config.optimizer.only = "involvement"
  config.optimizer.encoder_factor = 1.0
  config.optimizer.learning_rate = 2e-3
  config.optimizer.ema_decay = 0.98
  default.set_augmentation(config, _CHANGES)
  config.eval.least_presence = 0.0
  return config
