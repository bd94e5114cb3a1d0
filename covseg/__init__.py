"""Training, evaluation and application of networks that segment COVID-19 infection on chest X-rays."""

from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
  """`covseg.load`, imported when it is asked for, so that `import covseg` takes no time."""
  if name == "load":
    from covseg.prediction.predictor import load

    return load
  raise AttributeError(f"module 'covseg' has no attribute {name!r}")
