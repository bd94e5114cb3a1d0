import csv
import json
import shutil

import jax
import numpy as np
import pytest

from configs import default
from covseg import configuration
from covseg.experiments import compare, comparison
from tests.models.test_models import PARAMETERS


def _write_run(path, dice, *, true_pixels=None, split="test", threshold=0.5, seconds=(30.0, 30.0), **fields):
  """A workdir as training leaves it, with given scores of its films; the last has no infection."""
  config = default.get_config()
  config.update_from_flattened_dict({"image_size": 32, "model.base_features": 2})
  config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
  folder = path / "evaluation" / split
  folder.mkdir(parents=True)
  (path / "config.json").write_text(configuration.to_json(config))
  lines = [{"epoch": i + 1, "step": 3 * (i + 1), "val_dice": 0.5, "seconds": s} for i, s in enumerate(seconds)]
  (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
  (folder / "metrics.json").write_text(json.dumps({"split": split, "threshold": threshold}))
  true_pixels = [*(true_pixels or range(1, len(dice) + 1)), 0]
  with (folder / "per_image.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "dice", "iou", "pixel_accuracy", "true_pixels"])
    for i, (score, pixels) in enumerate(zip([*dice, 1.0], true_pixels, strict=True)):
      writer.writerow([f"film{i}", score, score / 2, 0.9, pixels])
  return path


def _table(*paths, split="test"):
  runs = [comparison.read(path, split) for path in comparison.find_runs(paths)]
  comparison.check_comparable(runs)
  return comparison.table(runs)


def test_seeds_of_a_configuration_share_a_row(tmp_path):
  _write_run(tmp_path / "unet" / "seed0", [0.2, 0.4], seed=0, seconds=(60.0, 60.0))
  _write_run(tmp_path / "unet" / "seed1", [0.4, 0.6], seed=1, seconds=(120.0, 120.0))
  _write_run(tmp_path / "wide" / "seed0", [0.5, 0.7], seed=0, model__base_features=4)
  row, wide = _table(tmp_path)
  assert (row.name, row.num_seeds, row.minutes, row.p_value) == ("unet", 2, 3.0, None)
  dice = row.estimates["dice"]
  assert dice.mean == pytest.approx(0.4)  # Of the means 0.3 and 0.5; the film without infection does not count.
  assert dice.deviation == pytest.approx(0.02**0.5)
  assert row.estimates["iou"].mean == pytest.approx(0.2)
  # Of two films with the means 0.3 and 0.5, a sample has the mean 0.3, 0.4 or 0.5.
  assert (dice.low, dice.high) == pytest.approx((0.3, 0.5))
  assert (wide.name, wide.num_seeds) == ("wide", 1)
  assert wide.estimates["dice"].deviation is None


def test_interval_and_p_value_are_those_of_the_normal_approximation():
  rng = np.random.default_rng(0)
  scores = rng.uniform(0, 1, 400)
  other = scores + rng.normal(0.012, 0.1, 400)
  estimate = comparison.estimate(scores[None])
  error = scores.std(ddof=1) / 20
  assert estimate.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.1 * error)
  assert estimate.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.1 * error)
  z = abs((other - scores).mean()) / ((other - scores).std(ddof=1) / 20)
  normal = 2 * (1 - jax.scipy.stats.norm.cdf(z))
  assert comparison.p_value(other, scores) == pytest.approx(float(normal), abs=0.01)
  assert comparison.p_value(scores, scores) == 1


def test_few_films_are_permuted_exactly():
  # Of the 16 ways to swap pairs, only the one at hand and its opposite differ as much.
  assert comparison.p_value(np.array([2.0, 3.0, 4.0, 5.0]), np.ones(4)) == pytest.approx(2 / 16)
  assert comparison.p_value(np.array([2.0]), np.ones(1)) == 1


def test_parameters_and_operations_of_a_network():
  config = default.get_config()
  config.image_size = 32
  parameters, gflops = comparison.cost(config)
  assert parameters == PARAMETERS["unet"]
  # By hand: two operations per weight and pixel, where a 3x3 kernel does not reach over the border.
  operations = 2 * 32**2 * 32  # The 1x1 convolution at the end.
  for level in range(5):
    side, features = 32 >> level, 32 << level
    taps = 2 * (3 * side - 2) ** 2
    operations += taps * ((features // 2 if level else 1) * features + features**2)
    if level < 4:  # The way up: an up-convolution, and two convolutions.
      operations += 2 * side**2 * 2 * features**2 + taps * (2 * features**2 + features**2)
  assert gflops == pytest.approx(operations / 1e9, rel=0.05)  # What remains are norms, ReLU and pooling.


@pytest.mark.parametrize(
  ("change", "expected"),
  [
    ({"threshold": 0.3}, "threshold is 0.5 in the one and 0.3 in the other"),
    ({"eval__image_size": 128}, "eval.image_size is 256 in the one and 128 in the other"),
    ({"dice": [0.1, 0.2]}, "of their 3 and 2 films with infection, 1 are in the first alone and 0"),
    ({"true_pixels": [1, 2, 4]}, "the masks that they were compared with differ"),
  ],
)
def test_runs_scored_differently_are_refused_a_common_table(tmp_path, change, expected):
  _write_run(tmp_path / "a", [0.1, 0.2, 0.3])
  _write_run(tmp_path / "b", **{"dice": [0.1, 0.2, 0.3], "batch_size": 4, **change})
  with pytest.raises(ValueError, match=expected):
    _table(tmp_path)


def test_an_evaluation_from_before_the_best_checkpoint_is_refused(tmp_path):
  run = _write_run(tmp_path / "run", [0.1, 0.2, 0.3])
  metrics = run / "evaluation" / "test" / "metrics.json"
  evaluated = json.loads(metrics.read_text())
  metrics.write_text(json.dumps(evaluated | {"step": 6}))  # The later of two epochs with equal Dice is the best.
  assert len(_table(run)) == 1
  metrics.write_text(json.dumps(evaluated | {"step": 3}))
  with pytest.raises(ValueError, match="trained on since it was evaluated on test"):
    _table(run)


def test_an_evaluation_of_a_version_with_fewer_settings_is_compared(tmp_path):
  _write_run(tmp_path / "new", [0.1, 0.2, 0.3])
  metrics = _write_run(tmp_path / "old", [0.2, 0.3, 0.4], batch_size=4) / "evaluation" / "test" / "metrics.json"
  older = {name: value for name, value in default.get_config().eval.items() if name != "match_levels"}
  metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "eval": older}))
  assert len(_table(tmp_path)) == 2


def test_what_an_evaluation_changed_counts(tmp_path):
  _write_run(tmp_path / "whole", [0.1, 0.2, 0.3], model__name="unet_plus_plus")
  pruned = _write_run(tmp_path / "pruned", [0.2, 0.3, 0.4], model__name="unet_plus_plus")
  metrics = pruned / "evaluation" / "test" / "metrics.json"
  evaluated = json.loads(metrics.read_text())
  metrics.write_text(json.dumps(evaluated | {"prune_to": 1}))
  small, large = _table(tmp_path)
  assert small.gflops < large.gflops / 5
  assert small.paper is not None
  metrics.write_text(json.dumps(evaluated | {"dataset": {"name": "folder"}}))
  with pytest.raises(ValueError, match="dataset is folder in the one and covid_qu_ex in the other"):
    _table(tmp_path)
  (other,) = _table(pruned)
  assert other.paper is None


def test_what_is_missing_or_there_twice_is_named(tmp_path):
  with pytest.raises(ValueError, match="there is none below it"):
    _table(tmp_path)
  _write_run(tmp_path / "a", [0.1, 0.2])
  with pytest.raises(ValueError, match="has not been evaluated on validation"):
    _table(tmp_path, split="validation")
  scores = _write_run(tmp_path / "one_id", [0.1, 0.2]) / "evaluation" / "test" / "per_image.csv"
  scores.write_text(scores.read_text().replace("film1,", "film0,"))
  with pytest.raises(ValueError, match="several films have the same id"):
    _table(tmp_path / "one_id")
  shutil.rmtree(tmp_path / "one_id")
  (tmp_path / "unfinished").mkdir()
  (tmp_path / "unfinished" / "config.json").write_text((tmp_path / "a" / "config.json").read_text())
  with pytest.raises(ValueError, match="unfinished has not been evaluated on test"):
    compare.run([str(tmp_path)], None, str(tmp_path / "out"))
  shutil.rmtree(tmp_path / "unfinished")
  _write_run(tmp_path / "b", [0.1, 0.2], dataset__data_dir="elsewhere")
  with pytest.raises(ValueError, match="with the same seed, which would count twice"):
    _table(tmp_path)


def test_it_writes_markdown_csv_latex_and_a_plot(tmp_path, capsys):
  _write_run(tmp_path / "runs" / "b_first", [0.3, 0.5, 0.6], split="validation")
  _write_run(tmp_path / "runs" / "a", [0.4, 0.6, 0.8], split="validation", batch_size=4, seconds=(None,))
  runs, output = tmp_path / "runs", tmp_path / "out"
  compare.run([str(runs / "b_first"), str(runs)], None, str(output))
  markdown = (output / "table.md").read_text()
  assert markdown in capsys.readouterr().out
  header, _, first, second, *_ = markdown.splitlines()
  assert {line.count("|") for line in (header, first, second)} == {12}
  assert first.startswith("| b_first | 1 |")
  assert "| 0.467 [0.300, 0.600] |" in first
  assert first.endswith("| 0.60 | 0.45 |")  # What the paper says of its U-Net.
  assert "Split validation: mean per image over 3 films with infection, at threshold 0.5" in markdown
  with (output / "table.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["run"] for row in rows] == ["b_first", "a"]
  assert float(rows[1]["dice"]) == pytest.approx(0.6)
  assert [row["training_minutes"] for row in rows] == ["1.0", ""]
  latex = (output / "table.tex").read_text()
  assert r"b\_first & 1 &" in latex
  assert latex.count(r"\\") == 3
  assert (output / "dice.png").read_bytes().startswith(b"\x89PNG")
  assert (output / "dice.svg").exists()


def test_a_run_of_training_can_be_compared(whole_run, tmp_path):
  compare.run([str(whole_run)], None, str(tmp_path))
  with (tmp_path / "table.csv").open(newline="") as file:
    (row,) = csv.DictReader(file)
  metrics = json.loads((whole_run / "evaluation" / "test" / "metrics.json").read_text())
  assert float(row["dice"]) == pytest.approx(metrics["per_image"]["dice"], abs=1e-6)
  assert float(row["training_minutes"]) > 0
