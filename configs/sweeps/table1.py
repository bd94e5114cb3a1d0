r"""Four networks of the paper and one with a pretrained encoder, all by one recipe, 20 epochs.

  python -m covseg sweep --config=configs/sweeps/table1.py --workdir=runs/table1 --set dataset.manual_dir=FOLDER
  python -m covseg compare runs/table1/unet_baseline runs/table1

The recipe is that of `unet_strong.py`, at 1e-3 and without the lung head. The size is reduced: 128 px in place of 256,
and 16 channels at the first level (the pretrained encoder has its own). For the full size, take these numbers out.
"""

from configs.sweeps import Entry

_RECIPE = {
  "image_size": 128,
  "num_epochs": 20,
  "loss.name": "bce_dice",
  "optimizer.name": "adamw",
  "optimizer.learning_rate": 1e-3,
  "optimizer.schedule": "cosine",
  "optimizer.warmup_epochs": 1.0,
  "optimizer.ema_decay": 0.99,
  **{f"augment.{name}.probability": 0.5 for name in ("flip", "rotation", "scale", "shift")},
  **{f"augment.{name}.probability": 0.3 for name in ("brightness", "contrast", "gamma")},
}
_NARROWED = ("unet_baseline", "unet", "unet_plus_plus", "attention_unet")


def get_sweep() -> list[Entry]:
  narrow = {**_RECIPE, "model.base_features": 16}
  entries = [Entry(name, f"configs/{name}.py", narrow, seeds=(0, 1)) for name in _NARROWED]
  name = "efficientnet_lite0_unet"
  return [*entries, Entry(name, f"configs/{name}.py", _RECIPE, seeds=(0, 1))]
