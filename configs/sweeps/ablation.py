r"""One ingredient at a time, added to the paper's recipe at the size of `table1.py`.

  python -m covseg sweep --config=configs/sweeps/ablation.py --workdir=runs/ablation \
    --set dataset.manual_dir=FOLDER
  python -m covseg compare runs/ablation/paper runs/ablation

128 px, 16 channels at the first level, 3 epochs, 2 seeds. Ingredients that pay off late (augmentation,
averages, a falling rate) are at a disadvantage here. docs/ablation.md has the result.
"""

from covseg.experiments.sweep import Entry

_PAPER = {"image_size": 128, "num_epochs": 3, "model.base_features": 16}
_AUGMENT = ("flip", "rotation", "scale", "shift", "brightness", "contrast", "gamma")
_NEGATIVES = {"dataset.cohort": "all", "dataset.negative_share": 0.5}
_INGREDIENTS = {
  "paper": {},
  "bce_dice": {"loss.name": "bce_dice"},
  "focal_tversky": {"loss.name": "focal_tversky"},
  "augmentation": {f"augment.{name}.probability": 0.5 for name in _AUGMENT},
  "cosine": {"optimizer.schedule": "cosine", "optimizer.warmup_epochs": 0.5},
  "average": {"optimizer.ema_decay": 0.99},
  "lung_head": {"model.heads": "('infection','lung')"},
  "negatives": _NEGATIVES,
  "negatives_presence_head": {**_NEGATIVES, "model.heads": "('infection','presence')"},
  "larger": {"image_size": 192},
}


def get_sweep() -> list[Entry]:
  return [
    Entry(name, "configs/unet.py", {**_PAPER, **fields}, seeds=(0, 1))
    for name, fields in _INGREDIENTS.items()
  ]
