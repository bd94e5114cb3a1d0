"""What a run tells while it trains: progress bar, metrics.jsonl, TensorBoard, sample pictures."""

import contextlib
import io
import time

import numpy as np
from PIL import Image
from tqdm import tqdm

from covseg import devices
from covseg.workdir import Workdir, write_whole


class RunLog(contextlib.ExitStack):
  """Log of a run from an epoch on; what was logged beyond it is dropped.

  Of several processes, only the main one tells anything.
  """

  def __init__(self, workdir: Workdir, num_epochs: int, steps_per_epoch: int, batch_size: int, epoch: int):
    """Opens the files.

    Args:
      workdir: where they are.
      num_epochs: length of the whole run.
      steps_per_epoch: length of an epoch.
      batch_size: films of a step.
      epoch: the epoch that the run goes on in, from 0.
    """
    import tensorboardX  # Here, because it imports PyTorch where that is installed.

    super().__init__()
    self._workdir = workdir
    self._batch_size = batch_size
    self._num_epochs = num_epochs
    self._step_ends = []
    self._shown = {}
    if not devices.is_main_process():
      return
    first_step = epoch * steps_per_epoch
    workdir.truncate_metrics(last_step=first_step)
    self._board = self.enter_context(
      tensorboardX.SummaryWriter(str(workdir.tensorboard), purge_step=first_step + 1)
    )
    # disable=None: no bar where the output is no terminal.
    self._bar = self.enter_context(
      tqdm(total=num_epochs * steps_per_epoch, initial=first_step, unit="step", disable=None)
    )
    self._bar.set_description(f"epoch {epoch + 1}/{num_epochs}")

  def step(self, loss: float) -> None:
    """Notes that a step has ended."""
    if not devices.is_main_process():
      return
    self._step_ends.append(time.monotonic())
    self._shown["loss"] = f"{loss:.4f}"
    self._bar.set_postfix(self._shown, refresh=False)
    self._bar.update()

  def epoch(self, epoch: int, step: int, **values: float) -> None:
    """Notes the figures of an epoch, the last of them those of its validation."""
    if not devices.is_main_process():
      return
    seconds = self._step_ends[-1] - self._step_ends[0] if self._step_ends else 0
    images = (len(self._step_ends) - 1) * self._batch_size
    self._step_ends = []
    values["images_per_second"] = round(images / seconds, 2) if seconds else None
    self._workdir.append_metrics({"epoch": epoch + 1, "step": step, **values})
    for name, value in values.items():
      if value is not None:
        self._board.add_scalar(name, value, step)
    self._board.flush()
    self._shown["val Dice"] = f"{values['val_dice']:.4f}"
    self._bar.set_description(f"epoch {min(epoch + 2, self._num_epochs)}/{self._num_epochs}")
    self._bar.write(
      f"epoch {epoch + 1}/{self._num_epochs}: loss {values['train_loss']:.4f}, validation per-image "
      f"Dice {values['val_dice']:.4f}, IoU {values['val_iou']:.4f}, "
      f"{values['images_per_second']} images/s"
    )

  def samples(self, panel: np.ndarray, step: int) -> None:
    """Keeps a picture of validation samples, uint8 (H, W, 3)."""
    if not devices.is_main_process():
      return
    png = io.BytesIO()
    Image.fromarray(panel).save(png, format="PNG")
    write_whole(self._workdir.samples_file, png.getvalue())
    self._board.add_image("validation_samples", panel, step, dataformats="HWC")
