r"""The networks of the paper's comparison, all trained alike, at a size that a laptop manages.

  python -m covseg sweep --config=configs/sweeps/table1.py --workdir=runs/table1 \
    --set dataset.manual_dir=FOLDER
  python -m covseg compare runs/table1/unet_baseline runs/table1

Reduced: 128 px in place of 256, 16 channels at the first level (the pretrained encoder has its own), 3
epochs, 2 seeds. At this size the table says more about how fast the networks learn than about how well
they do in the end; for that, take these numbers out.
"""

from configs.sweeps import Entry

_REDUCED = {"image_size": 128, "num_epochs": 3, "optimizer.learning_rate": 1e-3}
_NARROW = {**_REDUCED, "model.base_features": 16}
_NARROWED = ("unet_baseline", "unet", "unet_plus_plus", "attention_unet")


def get_sweep() -> list[Entry]:
  entries = [Entry(name, f"configs/{name}.py", _NARROW, seeds=(0, 1)) for name in _NARROWED]
  name = "efficientnet_lite0_unet"
  return [*entries, Entry(name, f"configs/{name}.py", _REDUCED, seeds=(0, 1))]
