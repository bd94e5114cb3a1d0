import os
import pathlib

import jax

from covseg.runtime import compilation


def test_an_option_that_this_jaxlib_lacks_is_done_without(monkeypatch, caplog):
  monkeypatch.setattr(compilation, "_CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
  compilation._compiler_options.cache_clear()
  assert compilation.jit(lambda x: x + 1)(1) == 2
  assert "lacks the fast CPU kernels" in caplog.text
  compilation._compiler_options.cache_clear()


def test_flags_of_the_environment_are_kept(monkeypatch):
  for given, expected in (
    ("", [compilation._XLA_FLAGS]),
    ("--xla_dump_to=a", ["--xla_dump_to=a", compilation._XLA_FLAGS]),
    ("--xla_backend_extra_options=b", ["--xla_backend_extra_options=b"]),
    ("flags.txt", ["flags.txt"]),
  ):
    monkeypatch.setenv("XLA_FLAGS", given)
    for _ in range(2):
      compilation.set_up()
      assert os.environ["XLA_FLAGS"].split() == expected


def test_the_cache_of_the_environment_is_kept(monkeypatch, tmp_path):
  before = jax.config.jax_compilation_cache_dir
  try:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    compilation.set_up()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.set_up()
    folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
    assert folder.is_relative_to(tmp_path / "cache" / "covseg")
  finally:
    jax.config.update("jax_compilation_cache_dir", before)
