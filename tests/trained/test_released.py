"""The models that ship, on real films."""

import numpy as np
import pytest

from configs import default
from covseg.evaluation.evaluator import Evaluator
from covseg.evaluation.protocols import summarize
from covseg.runtime import devices
from covseg.trained import DEFAULT_MODEL, model_files, trained_model
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films

# Mean Dice over the first 32 COVID-19 films of validation, as they were measured on release.
DICE = {"best": 0.7514, "steady": 0.7922, DEFAULT_MODEL: 0.8182}


@pytest.fixture(scope="module")
def films(real_data, tmp_path_factory):
  config = default.get_config().dataset
  config.manual_dir, config.data_dir = str(real_data), str(tmp_path_factory.mktemp("tfds"))
  builder = datasets.prepare(config)
  return lambda image_size: load_films(FilmReader(builder, "validation[:32]", config, image_size, 256))


def test_every_model_that_ships_has_a_card_and_all_are_small():
  files = list(model_files.RELEASED.glob("*.safetensors"))
  assert {file.stem for file in files} == DICE.keys() - {DEFAULT_MODEL}
  assert all(file.with_suffix(".md").exists() for file in files)
  assert sum(file.stat().st_size for file in files) < 20e6


def test_the_default_can_do_without_mirror_images():
  assert trained_model.load(DEFAULT_MODEL).config.eval.match_levels == 0.3
  assert trained_model.load(DEFAULT_MODEL, ["eval.flip=False"]).config.eval.match_levels == 0


@pytest.mark.parametrize("name", DICE)
def test_a_released_model_predicts_as_on_its_release(films, name):
  trained = trained_model.load(name)
  evaluator = Evaluator(trained.config, trained.network, devices.create_mesh(16))
  counts = np.stack(list(evaluator.count_pixels(trained.variables, films(trained.config.image_size))))
  assert summarize(counts)["per_image"]["dice"] == pytest.approx(DICE[name], abs=2e-3)
