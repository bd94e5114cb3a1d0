r"""One ingredient at a time, from the paper's U-Net on, at a size that a laptop manages.

  python -m covseg dataset --manual_dir=FOLDER --output=runs/duplicates
  python -m covseg sweep --config=configs/sweeps/ablation.py --workdir=runs/ablation \
    --set dataset.manual_dir=FOLDER
  python -m covseg compare runs/ablation/settled runs/ablation

Reduced: 128 px in place of 256, 8 channels at the first level, 5 epochs, 2 seeds. At a fixed rate two seeds
of so short a run differ by more than most ingredients do; so all but the first three are added to a recipe
that settles, with a rate that falls to zero and averaged weights. What pays off late (augmentation) is at a
disadvantage.
"""

from configs.sweeps import Entry

_AUGMENT = ("flip", "rotation", "scale", "shift", "brightness", "contrast", "gamma")
_NEGATIVES = {"dataset.cohort": "all", "dataset.negative_share": 0.5}
_COSINE = {"optimizer.schedule": "cosine", "optimizer.warmup_epochs": 0.5}
_AVERAGE = {"optimizer.ema_decay": 0.99}
_INGREDIENTS = {
  "bce_dice": {"loss.name": "bce_dice"},
  "focal_tversky": {"loss.name": "focal_tversky"},
  "augmentation": {f"augment.{name}.probability": 0.5 for name in _AUGMENT},
  "lung_head": {"model.heads": "('infection','lung')"},
  "group_norm": {"model.norm": "group"},
  "no_duplicates": {"dataset.exclude": "runs/duplicates/duplicates.csv"},
  "twice_as_wide": {"model.base_features": 16},
  "192_px": {"image_size": 192},
  "negatives": _NEGATIVES,
  "negatives_presence": {**_NEGATIVES, "model.heads": "('infection','presence')"},
}


def get_sweep() -> list[Entry]:
  size = {"image_size": 128, "num_epochs": 5}
  narrow = {**size, "model.base_features": 8}
  settled = {**_COSINE, **_AVERAGE}
  unets = {
    "paper": {},
    "cosine": _COSINE,
    "average": _AVERAGE,
    "settled": settled,
    **{name: {**settled, **fields} for name, fields in _INGREDIENTS.items()},
  }
  entries = [Entry(name, "configs/unet.py", {**narrow, **fields}, (0, 1)) for name, fields in unets.items()]
  pretrained = {**size, **settled, "optimizer.encoder_factor": 0.5}
  return [*entries, Entry("pretrained", "configs/efficientnet_lite0_unet.py", pretrained, (0, 1))]
