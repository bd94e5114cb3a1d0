r"""One ingredient at a time, added to a pretrained U-Net at the size of `table1.py`.

  python -m covseg sweep --config=configs/sweeps/ablation.py --workdir=runs/ablation \
    --set dataset.manual_dir=FOLDER
  python -m covseg compare runs/ablation/base runs/ablation

128 px, 3 epochs, 2 seeds. Ingredients that pay off late (augmentation, averages, a falling rate) are at a
disadvantage here.
"""

from covseg.experiments.sweep import Entry

_AUGMENT = ("flip", "rotation", "scale", "shift", "brightness", "contrast", "gamma")
_NEGATIVES = {"dataset.cohort": "all", "dataset.negative_share": 0.5}
_INGREDIENTS = {
  "base": {},
  "bce_dice": {"loss.name": "bce_dice"},
  "average": {"optimizer.ema_decay": 0.99},
  "cosine": {"optimizer.schedule": "cosine", "optimizer.warmup_epochs": 0.5},
  "augmentation": {f"augment.{name}.probability": 0.5 for name in _AUGMENT},
  "lung_head": {"model.heads": "('infection','lung')"},
  "slower_encoder": {"optimizer.encoder_factor": 0.5},
  "focal_tversky": {"loss.name": "focal_tversky"},
  "from_scratch": {"model.encoder_weights": ""},
  "larger": {"image_size": 192},
  "negatives": _NEGATIVES,
  "negatives_presence": {**_NEGATIVES, "model.heads": "('infection','presence')"},
}


def get_sweep() -> list[Entry]:
  size = {"image_size": 128, "num_epochs": 3}
  return [
    Entry(name, "configs/efficientnet_lite0_unet.py", {**size, **fields}, seeds=(0, 1))
    for name, fields in _INGREDIENTS.items()
  ]
