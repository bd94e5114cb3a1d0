"""What a run tells while it trains: progress bar, metrics.jsonl, TensorBoard, sample pictures."""

import contextlib
import io
import time

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from covseg.runtime import devices
from covseg.workdir import Workdir, write_whole


class RunLog(contextlib.ExitStack):
  """Log of a run from an epoch on; what was logged beyond it is dropped.

  Of several processes, only the main one tells anything.
  """

  def __init__(self, workdir: Workdir, config: ConfigDict, steps_per_epoch: int, epoch: int, step: int):
    """Opens the files.

    Args:
      workdir: where they are.
      config: the whole configuration.
      steps_per_epoch: length of an epoch.
      epoch: the epoch that the run goes on in, from 0.
      step: the step that it goes on from.
    """
    import tensorboardX  # Here, because it imports PyTorch where that is installed.

    super().__init__()
    self._workdir = workdir
    self._batch_size = config.batch_size
    self._num_epochs = config.num_epochs
    self._dispatches = []  # (end, number of steps)
    self._shown = {}
    self._epoch_began = time.monotonic()
    if not devices.is_main_process():
      return
    last_logged = epoch * steps_per_epoch
    workdir.truncate_metrics(last_step=last_logged)
    self._board = self.enter_context(tensorboardX.SummaryWriter(str(workdir.tensorboard), purge_step=last_logged + 1))
    # disable=None: no bar where the output is no terminal.
    self._bar = self.enter_context(
      tqdm(total=self._num_epochs * steps_per_epoch, initial=step, unit="step", disable=None)
    )
    self._bar.set_description(f"epoch {epoch + 1}/{self._num_epochs}")

  def steps(self, losses: list[float]) -> None:
    """Notes that the steps of a dispatch have ended."""
    if not devices.is_main_process():
      return
    self._dispatches.append((time.monotonic(), len(losses)))
    self._shown["loss"] = f"{losses[-1]:.4f}"
    self._bar.set_postfix(self._shown, refresh=False)
    self._bar.update(len(losses))

  def epoch(self, epoch: int, step: int, **values: float) -> None:
    """Notes the figures of an epoch, and the seconds since the one before, or since the log was opened."""
    if not devices.is_main_process():
      return
    values["images_per_second"] = self._images_per_second()
    self._dispatches = []
    now = time.monotonic()
    values["seconds"] = round(now - self._epoch_began, 2)
    self._epoch_began = now
    self._workdir.append_metrics({"epoch": epoch + 1, "step": step, **values})
    for name, value in values.items():
      if value is not None:
        self._board.add_scalar(name, value, step)
    self._board.flush()
    self._shown["val Dice"] = f"{values['val_dice']:.4f}"
    self._bar.set_description(f"epoch {min(epoch + 2, self._num_epochs)}/{self._num_epochs}")
    self._bar.write(
      f"epoch {epoch + 1}/{self._num_epochs}: loss {values['train_loss']:.4f}, validation per-image "
      f"Dice {values['val_dice']:.4f}, IoU {values['val_iou']:.4f}"
      + (f", {values['images_per_second']} images/s" if values["images_per_second"] else "")
    )

  def samples(self, panel: np.ndarray, step: int) -> None:
    """Keeps a picture of validation samples, uint8 (H, W, 3)."""
    if not devices.is_main_process():
      return
    png = io.BytesIO()
    Image.fromarray(panel).save(png, format="PNG")
    write_whole(self._workdir.samples_file, png.getvalue())
    self._board.add_image("validation_samples", panel, step, dataformats="HWC")

  def _images_per_second(self) -> float | None:
    """Rate from the end of the epoch's first dispatch on, because that may have waited for compilation."""
    if len(self._dispatches) < 2:
      return None
    seconds = self._dispatches[-1][0] - self._dispatches[0][0]
    return round(self._batch_size * sum(n for _, n in self._dispatches[1:]) / seconds, 2)
