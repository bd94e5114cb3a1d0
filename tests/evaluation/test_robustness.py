"""Image corruptions: how they are changed, and what is measured on them."""

import dataclasses
import io
import json
import zlib

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from covseg import metrics
from covseg.evaluation import evaluation_command, robustness, shortcuts, side_by_side
from covseg.evaluation.changed_films import Scores
from tests.film_makers import film

FILMS = np.stack([film(256), np.roll(film(256), 9, axis=1)])


def _changed(name, severity):
  return np.stack(list(robustness.changed(FILMS, name, severity)))


@pytest.mark.parametrize("name", robustness.CHANGES)
def test_changes_are_equal_from_run_to_run_and_grow_with_severity(name):
  severities = robustness.CHANGES[name][1]
  assert len(severities) == 3
  first = [_changed(name, severity) for severity in severities]
  for severity, before in zip(severities, first, strict=True):
    assert before.shape == FILMS.shape and before.dtype == np.uint8
    assert np.array_equal(_changed(name, severity), before)
    assert not np.array_equal(before, FILMS)
  if name not in ("gamma", "contrast"):  # These go both ways.
    errors = [np.abs(x.astype(int) - FILMS).mean() for x in first]
    assert errors == sorted(errors)


def test_noise_has_its_deviation_and_jpeg_is_pillows():
  grey = np.full((1, 200, 200), 128, np.uint8)
  (noisy,) = robustness.changed(grey, "noise", 8)
  assert noisy.std() == pytest.approx(8, rel=0.02)
  (shot,) = robustness.changed(grey, "shot_noise", 250)
  assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 250) * 255, rel=0.04)  # Rounded to whole levels.
  file = io.BytesIO()
  Image.fromarray(FILMS[0]).save(file, "JPEG", quality=15)
  assert np.array_equal(_changed("jpeg", 15)[0], np.asarray(Image.open(file)))


def test_figures_are_those_of_other_libraries():
  rng = np.random.default_rng(0)
  masks = rng.random((12, 8, 8)) < np.repeat([0.3, 0.0], 6)[:, None, None]
  images = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8)
  predicted = (images > 240) & (rng.random((12, 1, 1)) < 0.6)
  scores = rng.random(12)
  pairs = [(m.ravel(), p.ravel()) for m, p in zip(masks, predicted, strict=True)]
  tables = [sklearn.metrics.confusion_matrix(*pair, labels=[False, True]) for pair in pairs]
  of_films = Scores(np.array([[tp, fp, fn, tn] for (tn, fp), (fn, tp) in tables]), {"presence": scores})
  labels = ["COVID-19"] * 6 + ["Normal"] * 4 + ["", ""]
  found = robustness.assess([of_films] * len(robustness.changes()), of_films, images, labels)
  infected, areas = masks.any(axis=(1, 2)), predicted.sum(axis=(1, 2))
  f1 = [sklearn.metrics.f1_score(m.ravel(), p.ravel()) for m, p in zip(masks[:6], predicted[:6], strict=True)]
  assert found["clean"]["dice"] == pytest.approx(np.mean(f1))
  assert found["clean"]["area_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(infected, areas))
  assert found["clean"]["presence_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(infected, scores))
  assert found["clean"]["sensitivity"] == pytest.approx(sklearn.metrics.recall_score(infected, areas > 0))
  assert found["clean"]["specificity"] == pytest.approx(sklearn.metrics.recall_score(~infected, areas == 0))
  assert found["clean"]["marked_Normal"] == np.mean(areas[6:10] > 0)
  assert found["clean"]["marked_COVID-19"] == found["clean"]["sensitivity"] and "marked_" not in found["clean"]
  assert len(found["changes"]) == 30 and found["mean"] == pytest.approx(found["clean"])


def test_relative_error_worked_by_hand():
  def of(error):
    rows = [
      {"change": name, "severity": severity, "dice": 1 - error(name)}
      for name, (_, severities, _) in robustness.CHANGES.items()
      for severity in severities
    ]
    return {"changes": rows, "clean": {"films": 4}}

  found = of(lambda name: 0.3 if name == "noise" else 0.1)
  reference = of(lambda name: 0.2)
  relative = robustness.relative_error(found, reference)
  assert relative["noise"] == pytest.approx(1.5) and relative["blur"] == pytest.approx(0.5)
  assert relative["mean"] == pytest.approx((1.5 + 9 * 0.5) / 10)


def test_a_reference_of_other_films_or_changes_is_refused():
  rows = [
    {"change": name, "severity": severity, "dice": 0.5}
    for name, (_, severities, _) in robustness.CHANGES.items()
    for severity in severities
  ]
  same = {"changes": rows, "clean": {"films": len(FILMS)}, "films_crc32": zlib.crc32(FILMS.tobytes())}
  robustness.check_reference(same, FILMS)
  fewer = {"changes": rows, "clean": {"films": 5}}
  for reference, films in ((fewer, FILMS), ({**same, "changes": rows[1:]}, FILMS), (same, FILMS[::-1])):
    with pytest.raises(ValueError, match="other films"):
      robustness.check_reference(reference, films)


def test_lungs_are_blacked_out_or_left_alone():
  lungs = np.zeros(FILMS.shape, bool)
  lungs[:, 50:200, 30:120] = True
  black, alone = (change(FILMS) for change in shortcuts.changes(lungs))
  scores = [Scores(metrics.confusion_counts(marked, lungs)) for marked in (black > 128, alone > 128, lungs)]
  found = shortcuts.assess(scores[:2], scores[2], ["", ""])
  assert list(found) == list(shortcuts.PANELS)
  assert found["as_they_are"]["dice"] == 1
  assert not black[lungs].any() and np.array_equal(black[~lungs], FILMS[~lungs])
  assert not alone[~lungs].any() and np.array_equal(alone[lungs], FILMS[lungs])
  assert found["lungs_black"]["dice"] == 0


def test_evaluate_writes_robustness_and_shortcuts_into_metrics_and_report(whole_run, tmp_path, monkeypatch):
  first, second = tmp_path / "first", tmp_path / "second"
  for folder, reference in ((first, None), (second, str(first))):
    evaluation_command.run(
      evaluation_command.Request(
        "test", str(whole_run), robustness=True, shortcuts=True, every=2, reference=reference, output=str(folder)
      )
    )
  found = json.loads((second / "metrics.json").read_text())
  assert {row["change"] for row in found["robustness"]["changes"]} == set(robustness.CHANGES)
  assert set(found["robustness"]["relative_error"].values()) == {1}  # The same model.
  assert set(found["shortcuts"]) == set(shortcuts.PANELS)
  report = (second / "report.html").read_text()
  for title in ("Shot noise, 60 photons", "Lungs blacked out", "Corruption error"):
    assert title in report
  # Without them, an evaluation with the same settings keeps them; one with others is refused.
  found.pop("prune_to")  # As in an evaluation by an earlier version.
  found["eval"].pop("own_threshold")
  found.pop("films_crc32")
  (second / "metrics.json").write_text(json.dumps(found))
  same = evaluation_command.Request("test", f"{whole_run}/", changes=["eval.batch_size=2"], output=str(second))
  evaluation_command.run(same)
  again = json.loads((second / "metrics.json").read_text())
  assert (again["robustness"], again["shortcuts"]) == (found["robustness"], found["shortcuts"])
  message = "--robustness and --shortcuts and other weights or settings"
  with pytest.raises(ValueError, match=f"{message} .threshold, .*eval.*--output"):
    evaluation_command.run(dataclasses.replace(same, threshold=0.3))
  for name, value, told in (("fingerprint", "0123456789abcdef", "fingerprint"), ("films_crc32", 1, "films")):
    (second / "metrics.json").write_text(json.dumps(again | {name: value}))
    with pytest.raises(ValueError, match=f"{message} .{told}"):
      evaluation_command.run(same)
  # A reference of other films is refused before any film is predicted or changed.
  monkeypatch.setattr(evaluation_command.Evaluator, "predict", lambda *_: pytest.fail("predicted"))
  for module in (robustness, shortcuts):
    monkeypatch.setattr(module, "assess", lambda *_: pytest.fail("assessed"))
  with pytest.raises(ValueError, match="other films"):
    evaluation_command.run(
      evaluation_command.Request(
        "test", str(whole_run), robustness=True, shortcuts=True, reference=str(first), output=str(tmp_path / "third")
      )
    )


@pytest.mark.parametrize("size, is_known", [(64, True), (256, False)])
def test_films_as_they_are_are_scored_once_where_the_evaluation_had_them_at_the_size_of_the_comparison(
  whole_run, tmp_path, monkeypatch, size, is_known
):
  counts, score_each = [], side_by_side.score_each
  monkeypatch.setattr(side_by_side, "score_each", lambda *args: counts.append(len(args[3])) or score_each(*args))
  evaluation_command.run(
    evaluation_command.Request(
      "test", str(whole_run), changes=[f"eval.image_size={size}"], shortcuts=True, output=str(tmp_path)
    )
  )
  assert counts == [2 if is_known else 3]
  found = json.loads((tmp_path / "metrics.json").read_text())
  if is_known:
    assert found["shortcuts"]["as_they_are"]["dice"] == pytest.approx(found["per_image"]["dice"])
