"""The page's server, asked as the page asks it."""

import base64
import concurrent.futures
import contextlib
import csv
import errno
import io
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from covseg.app import server, sessions
from covseg.prediction import predict
from covseg.prediction.predict import Wanted
from tests.app.conftest import files_under
from tests.conftest import ROOT
from tests.film_makers import dicom, film, picture

_FILMS = {f"{i}.png": picture(np.roll(film(64), i, axis=1)) for i in range(3)} | {
  "wide.jpg": picture(film(80)[:50], "JPEG"),
  "patient.dcm": dicom(film(), PatientName="DOE^JANE"),
}


@pytest.fixture
def client(create_app):
  with TestClient(create_app(), base_url="http://127.0.0.1") as client:
    yield client


@pytest.fixture
def session(client):
  return client.post("/sessions").json()["session"]


def _add(client, session, name, content):
  return client.post(f"/{session}/films", params={"name": name}, content=content)


def _rows(text):
  return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_values_and_files_are_those_of_predict(client, session, recipe_run, tmp_path, threshold):
  for name, content in _FILMS.items():
    (tmp_path / "films").mkdir(exist_ok=True)
    (tmp_path / "films" / name).write_bytes(content)
  paths = [str(tmp_path / "films" / name) for name in _FILMS]
  changes = [] if threshold == 0.5 else [f"eval.threshold={threshold}"]
  predict.run(paths, str(recipe_run), str(tmp_path / "out"), Wanted(lungs=True, probabilities=True), changes=changes)
  ids = {name: _add(client, session, name, content).json()["id"] for name, content in _FILMS.items()}
  archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{session}/results.zip?threshold={threshold}").content))
  expected = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in files_under(tmp_path / "out")}
  expected = {name: content for name, content in expected.items() if not name.startswith(".")}
  assert set(archive.namelist()) == set(expected)
  for name, content in expected.items():
    if name.startswith("probabilities"):  # Batches of another size round otherwise, by 1 of 65,535.
      found, known = (np.asarray(Image.open(io.BytesIO(x))).astype(int) for x in (archive.read(name), content))
      assert np.abs(found - known).max() <= 1
    else:
      assert archive.read(name) == content
  for row in _rows(expected["predictions.csv"].decode()):
    shown = client.get(f"/{session}/films/{ids[row['file']]}/values?threshold={threshold}").json()
    assert shown["infected_pixels"] == int(row["infected_pixels"])
    assert f"{shown['infected_percent_of_film']:.2f}" == row["infected_percent_of_film"]
    for part in ("percent", "right", "left_lower"):
      column = f"infected_percent_of_{'lungs' if part == 'percent' else part}"
      value = shown["severity"][part]
      assert ("" if value is None else f"{value:.2f}") == row[column]
    assert "; ".join(shown["warnings"]) == row["warnings"]


def test_pictures_hold_the_film_its_lungs_and_its_probabilities(client, session, models, recipe_run):
  added = _add(client, session, "a.png", _FILMS["0.png"]).json()
  read = lambda name: np.asarray(  # noqa: E731
    Image.open(io.BytesIO(client.get(f"/{session}/films/{added['id']}/{name}.png").content))
  )
  expected = models.get(str(recipe_run)).predict(film(64))
  assert np.array_equal(read("film"), film(64))
  assert np.array_equal(read("lungs") > 0, expected.lungs)
  coded = read("probability").astype(int)
  np.testing.assert_allclose((256 * coded[..., 0] + coded[..., 1]) / 65535, expected.probability, atol=1e-4)
  assert client.get(f"/{session}/films/{added['id']}/truth.png").status_code == 404


def test_an_example_has_its_truth(client, session):
  added = client.post(f"/{session}/examples/0").json()
  truth = Image.open(io.BytesIO(client.get(f"/{session}/films/{added['id']}/truth.png").content))
  assert added["has_truth"] and np.asarray(truth).any()
  assert client.post(f"/{session}/examples/99").status_code == 404


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    (b"", "bad.png is empty."),
    (b"no film", "bad.png is no PNG"),
    (_FILMS["0.png"][:300], "bad.png "),
    (picture(np.zeros((1, 1), np.uint8))[:40], "bad.png "),
  ],
)
def test_a_damaged_film_is_a_sentence_and_nothing_else_is_lost(client, session, content, problem):
  _add(client, session, "a.png", _FILMS["0.png"])
  answer = _add(client, session, "bad.png", content)
  assert answer.status_code == 422 and answer.json()["problem"].startswith(problem)
  assert _add(client, session, "b.png", _FILMS["1.png"]).status_code == 200


@pytest.mark.parametrize(
  ("name", "kept"),
  [
    ("../../../etc/passwd.png", "passwd.png"),
    ("C:\\films\\a.png", "a.png"),
    (".hidden.png", "hidden.png"),
    ("", "film"),
    ("..", "film"),
    ("a\x00\n.png", "a\\x00\\n.png".replace("\\", "_")),
    ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),  # Markup only where it is not escaped.
    ("=1+1.png", "=1+1.png"),
    ("x" * 400 + ".png", "x" * 196 + ".png"),
    ("肺" * 100 + ".jpg", "肺" * 65 + ".jpg"),
    ("x" * 9 + "." + "y" * 199, "y" * 199),
  ],
)
def test_names_stay_in_the_folder(client, session, name, kept, tmp_path):
  assert _add(client, session, name, _FILMS["0.png"]).json()["name"] == kept
  archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{session}/results.zip").content))
  assert not any(".." in name or name.startswith("/") for name in archive.namelist())
  archive.extractall(tmp_path / "out")
  assert {path.relative_to(tmp_path / "out").parts[0] for path in files_under(tmp_path / "out")} == {
    "masks",
    "overlays",
    "lungs",
    "probabilities",
    "predictions.csv",
  }


def test_films_of_one_name_have_results_of_their_own(client, session):
  given = ["a.png", "A.png", "a.png"]
  names = [_add(client, session, name, _FILMS[f"{i}.png"]).json()["name"] for i, name in enumerate(given)]
  assert names == ["a.png", "A_2.png", "a_3.png"]
  archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{session}/results.zip").content))
  assert len({archive.read(f"overlays/{name}") for name in names}) == 3


def test_ten_films_at_once_from_three_browsers_do_not_mix(client, models, recipe_run):
  names = [client.post("/sessions").json()["session"] for _ in range(3)]
  films = [np.roll(film(64), 3 * i, axis=1) for i in range(10)]
  with concurrent.futures.ThreadPoolExecutor(10) as threads:
    asked = [(names[i % 3], i) for i in range(10)]
    answers = list(threads.map(lambda a: _add(client, a[0], f"{a[1]}.png", picture(films[a[1]])), asked))
  for (_, i), answer in zip(asked, answers, strict=True):
    expected = models.get(str(recipe_run)).predict(films[i])
    assert answer.json()["name"] == f"{i}.png"
    assert answer.json()["severity"]["percent"] == pytest.approx(expected.severity.percent, nan_ok=True)
  for number, name in enumerate(names):
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{name}/results.zip").content))
    rows = _rows(archive.read("predictions.csv").decode())
    assert {row["file"] for row in rows} == {f"{i}.png" for i in range(10) if i % 3 == number}
    assert client.get(f"/{name}/films/{answers[(number + 1) % 3].json()['id']}/values").status_code == 404


def test_nothing_of_the_patient_is_kept(client, session, tmp_path):
  _add(client, session, "patient.dcm", _FILMS["patient.dcm"])
  kept = files_under(tmp_path / "kept")
  assert kept and not any(b"DOE" in path.read_bytes() for path in kept)
  assert b"DOE" not in client.get(f"/{session}/results.zip").content


def test_too_much_is_refused(client, session, monkeypatch):
  monkeypatch.setattr(server, "MAX_BYTES", 100)
  answer = _add(client, session, "a.png", _FILMS["0.png"])
  assert (answer.status_code, answer.json()["problem"]) == (413, "a.png has more than 100 bytes.")
  monkeypatch.undo()
  monkeypatch.setattr(server, "MAX_FILMS_OF_ALL", 0)
  assert "has to wait" in _add(client, session, "a.png", _FILMS["0.png"]).json()["problem"]
  monkeypatch.undo()
  monkeypatch.setattr(sessions, "MAX_FILMS", 1)
  _add(client, session, "a.png", _FILMS["0.png"])
  assert "comes after 1 others" in _add(client, session, "b.png", _FILMS["1.png"]).json()["problem"]


def test_removed_films_and_old_sessions_leave_nothing(client, session, tmp_path, monkeypatch):
  added = _add(client, session, "a.png", _FILMS["0.png"]).json()
  assert client.get(f"/{session}/results.zip").status_code == 200
  for _ in range(2):
    assert client.delete(f"/{session}/films/{added['id']}").status_code == 204
  assert not files_under(tmp_path / "kept")
  other = client.post("/sessions").json()["session"]
  _add(client, other, "a.png", _FILMS["0.png"])
  client.delete(f"/{other}")
  assert not files_under(tmp_path / "kept")
  _add(client, session, "a.png", _FILMS["0.png"])
  monkeypatch.setattr(sessions, "MAX_SESSIONS", 1)
  client.post("/sessions")
  assert not files_under(tmp_path / "kept")
  assert "reload" in _add(client, session, "a.png", _FILMS["0.png"]).json()["problem"]


@pytest.mark.parametrize("threshold", ["0", "1", "nan", "a"])
def test_a_threshold_that_is_none_is_refused(client, session, threshold):
  added = _add(client, session, "a.png", _FILMS["0.png"]).json()
  answer = client.get(f"/{session}/films/{added['id']}/values?threshold={threshold}")
  assert answer.status_code == 422 and "between 0 and 1" in answer.json()["problem"]
  refused = client.post(f"/{session}/films?name=b.png&threshold={threshold}", content=_FILMS["0.png"])
  assert refused.status_code == 422
  with zipfile.ZipFile(io.BytesIO(client.get(f"/{session}/results.zip").content)) as results:
    assert not any("b.png" in name for name in results.namelist())


def test_other_pages_and_names_of_this_machine_are_refused(client):
  for host in ("rebound.example", "[", ""):
    assert client.get("/", headers={"Host": host}).status_code == 403
  for origin in ("http://evil.example", "http://[", "null"):
    refused = client.post("/sessions", headers={"Origin": origin})
    assert refused.status_code == 403 and refused.json()["problem"]
  assert client.post("/sessions", headers={"Origin": "http://127.0.0.1"}).status_code == 200
  assert "default-src 'none'" in client.get("/").headers["Content-Security-Policy"]


def test_beyond_this_machine_a_password_is_needed(create_app):
  with TestClient(create_app(password="secret"), base_url="http://10.0.0.1") as client:
    assert client.get("/").status_code == client.post("/sessions").status_code == 401
    for password, status in (("wrong", 401), ("secret", 200)):
      token = base64.b64encode(f"covseg:{password}".encode()).decode()
      assert client.get("/", headers={"Authorization": f"Basic {token}"}).status_code == status


def test_new_visitors_are_let_in_where_the_folder_was_cleared_away(tmp_path):
  kept = tmp_path / "kept"
  found = sessions.Sessions(kept)
  assert found.get(found.create()).folder.is_dir()
  assert stat.S_IMODE(kept.stat().st_mode) == 0o700


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_prints_its_address_and_leaves_no_folder(recipe_run, tmp_path, number):
  command = [sys.executable, "-m", "covseg", "app", f"--model={recipe_run}", "--port=0"]
  command = ["nohup", *command] if number == signal.SIGTERM else command
  environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
  with contextlib.ExitStack() as stack:
    stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))  # Not as nohup has it.
    running = stack.enter_context(
      subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    )
    stack.callback(running.kill)  # Where it does not end.
    address = re.search(r"http://127.0.0.1:(\d+)/", running.stdout.readline())
    assert running.stdout.readline() == "The model is ready.\n"
    assert any(path.name.startswith("covseg-") for path in tmp_path.iterdir())
    if command[0] == "nohup":  # The terminal may be closed.
      running.send_signal(signal.SIGHUP)
      assert urllib.request.urlopen(address[0]).status == 200
      second = subprocess.run([*command[1:-1], f"--port={address[1]}"], cwd=ROOT, capture_output=True, text=True)
      assert second.returncode == 2 and "--port=0 takes one that is free" in " ".join(second.stderr.split())
    running.send_signal(number)
    running.wait(30)
  assert not any(path.name.startswith("covseg-") for path in tmp_path.iterdir())


def test_a_model_that_does_not_exist_is_told_before_the_page_opens():
  command = [sys.executable, "-m", "covseg", "app", "--model=no_such_model", "--port=0"]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert done.returncode != 0 and "no such model ships" in done.stderr and "http" not in done.stdout


def test_a_film_that_is_removed_meanwhile_is_left_out(client, session, tmp_path):
  ids = [_add(client, session, f"{i}.png", _FILMS[f"{i}.png"]).json()["id"] for i in range(2)]
  next((tmp_path / "kept").rglob(f"{ids[0]}.npy")).unlink()
  archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{session}/results.zip").content))
  assert [row["file"] for row in _rows(archive.read("predictions.csv").decode())] == ["1.png"]
  assert client.get(f"/{session}/films/{ids[0]}/values").status_code == 404


def test_a_full_disk_is_told_and_leaves_no_archive(client, session, tmp_path, monkeypatch):
  _add(client, session, "0.png", _FILMS["0.png"])
  before = files_under(tmp_path / "kept")

  def write(films, threshold, file, folder):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(server.archive, "write", write)
  answer = client.get(f"/{session}/results.zip")
  assert answer.status_code == 507 and "cannot be written: No space left" in answer.json()["problem"]
  assert files_under(tmp_path / "kept") == before


def test_the_package_does_not_import_the_web_server():
  code = "import sys, covseg; covseg.load; sys.exit('starlette' in sys.modules or 'uvicorn' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code], cwd=pathlib.Path(ROOT), check=False).returncode == 0
