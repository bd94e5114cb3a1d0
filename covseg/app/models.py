"""The models that can be chosen on the page."""

import threading
from collections.abc import Sequence

from covseg.prediction import predictor
from covseg.prediction.predictor import Predictor


class Models:
  """The models to choose from, each loaded when it is first used, or ahead of that."""

  def __init__(self, names: Sequence[str], changes: Sequence[str]):
    self.names = list(names)
    self._changes = tuple(changes)
    self._loaded: dict[str, Predictor] = {}
    self._lock = threading.Lock()

  def get(self, name: str) -> Predictor:
    """A model, ready to predict for one film at a time."""
    with self._lock:
      if name not in self._loaded:
        loaded = predictor.load(name, self._changes if name == self.names[0] else ())
        loaded.warm_up(1)
        self._loaded[name] = loaded
      return self._loaded[name]

  def load_ahead(self) -> None:
    """Loads the first model in a thread, and says when it is ready."""
    threading.Thread(target=self._load_first, daemon=True).start()

  def _load_first(self) -> None:
    try:
      self.get(self.names[0])
      print("The model is ready.", flush=True)
    except Exception as error:  # The page shows it when a film is given.
      print(f"The model cannot be loaded: {error}", flush=True)
