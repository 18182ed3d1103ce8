"""The package itself: its types, its documentation, and the list of errors."""

import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import kafka_errors
import pytest

import tidelog
from tidelog import errors

HERE = Path(__file__).parent


def test_errors_are_those_the_native_part_knows():
    assert kafka_errors.FILE.read_text() == kafka_errors.text(), "run python tests/kafka_errors.py"
    assert issubclass(errors.OffsetOutOfRangeError, tidelog.BrokerError)
    assert errors.refusal(1, "Fetch", "…").name == "OFFSET_OUT_OF_RANGE"
    unknown = errors.refusal(9999, "Fetch", "…")
    assert type(unknown) is tidelog.BrokerError and (unknown.code, unknown.name) == (9999, "UNKNOWN")


@pytest.mark.parametrize("name", tidelog.__all__)
def test_everything_public_is_documented(name):
    thing = getattr(tidelog, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_types_are_complete(tmp_path):
    installed = Path(tidelog.__file__).parent
    assert (installed / "py.typed").exists()
    settings = ["--strict", "--no-incremental", "--ignore-missing-imports"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, "-p", "tidelog", "-m", "typed_use"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_version():
    assert version("tidelog")
