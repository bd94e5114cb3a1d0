"""Dataset builders by name, prepared on disk: `covid_qu_ex`, `cxr_phantom`, or a user's own."""

import importlib
import inspect
import logging
import pathlib
import sys

import tensorflow_datasets as tfds
from ml_collections import ConfigDict

logger = logging.getLogger(__name__)

_SHIPPED = {name: f"input_pipeline.{name}.{name}_dataset_builder" for name in ("covid_qu_ex", "cxr_phantom")}


def prepare(config: ConfigDict) -> tfds.core.DatasetBuilder:
  """Builder of `config.name` whose records are on disk, whole and of the archive at hand.

  Records built before are reused only if nothing speaks against it; else they are built again, and
  the reason is logged.

  Args:
    config: `config.dataset`: name, data_dir, manual_dir, cohort.

  Raises:
    FileNotFoundError: the files to build from are not there.
    ValueError: they are there but not as they should be, or the name or the cohort is unknown.
  """
  builder = _create_builder(config)
  data_dir = config.data_dir or tfds.core.constants.DATA_DIR
  manual_dir = pathlib.Path(config.manual_dir or f"{data_dir}/downloads/manual").expanduser()
  is_built = builder.data_path.exists()
  reason = _reason_to_rebuild(builder, config, manual_dir) if is_built else ""
  if reason or not is_built:
    if hasattr(builder, "source"):
      builder.source(manual_dir)  # Its errors come before anything is deleted or written.
    if reason:
      logger.warning("Building %s again: %s.", builder.info.full_name, reason)
      builder.data_path.rmtree()
      builder = _create_builder(config)
    logger.info("Building %s in %s", builder.info.full_name, builder.data_path)
    if not sys.stderr.isatty():
      tfds.disable_progress_bar()
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
      file_format="array_record",
    )
  if hasattr(builder, "count_report"):
    logger.info("%s: %s", builder.info.full_name, builder.count_report())
  return builder


def _reason_to_rebuild(
  builder: tfds.core.DatasetBuilder, config: ConfigDict, manual_dir: pathlib.Path
) -> str:
  """Why the records on disk are not to be trusted; empty if they are."""
  if not hasattr(builder, "source"):
    return ""
  built = builder.info.metadata.get("source")
  if built is None:
    return "the build does not say what it was made from"
  for split, counts in built["counts"].items():
    found = builder.info.splits[split].num_examples if split in builder.info.splits else 0
    if found != sum(counts.values()):
      return f"it is partial, {found} of {sum(counts.values())} {split} films"
  try:
    source = builder.source(manual_dir)
  except FileNotFoundError:
    if config.manual_dir:
      raise
    return ""  # The archive was removed after the build, and none was asked for.
  return "" if built == source else f"what is in {manual_dir} is not what it was made from"


def _create_builder(config: ConfigDict) -> tfds.core.DatasetBuilder:
  builder_class = _builder_class(config.name)
  cohorts = list(builder_class.builder_configs)
  if cohorts and config.cohort not in cohorts:
    raise ValueError(f"dataset.cohort={config.cohort!r}: {config.name} has {' and '.join(cohorts)}.")
  data_dir = pathlib.Path(config.data_dir).expanduser() if config.data_dir else None
  return builder_class(data_dir=data_dir, config=config.cohort if cohorts else None)


def _builder_class(name: str) -> type[tfds.core.DatasetBuilder]:
  """The one builder class that a shipped dataset's or a user's module defines."""
  module_name = _SHIPPED.get(name, name)
  if "" not in sys.path:
    sys.path.insert(0, "")  # A user's module lies where the command is run.
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    if error.name is None or not module_name.startswith(error.name):
      raise
    raise ValueError(
      f"dataset.name={name!r} is not known. It is {', '.join(_SHIPPED)}, or the name of a Python "
      "module that defines one TFDS builder, in this folder or installed."
    ) from error
  classes = [
    value
    for value in vars(module).values()
    if inspect.isclass(value)
    and issubclass(value, tfds.core.DatasetBuilder)
    and value.__module__ == module.__name__
  ]
  if len(classes) != 1:
    raise ValueError(
      f"dataset.name={name!r}: {module.__file__} defines {len(classes)} TFDS builders; expected one."
    )
  return classes[0]
