import errno
import os
import resource
import signal

import pytest

from flexpose_core.errors import DataError, OutputError
from flexpose_core.files import atomic_path, digest, read_json, write_json, write_text


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.txt"
    write_text(path, "old")

    def fail():
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / "out.txt"
    with (
        pytest.raises(OutputError, match=r"out\.txt: could not be written: No space left on device"),
        atomic_path(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_a_file_larger_than_what_is_left_is_named_and_leaves_the_old_one(tmp_path):
    """The system itself refuses, in the middle of a write, as a full disk does; tests/fault_run.py has real full disks."""
    path = tmp_path / "out.txt"
    write_text(path, "old")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"out\.txt: could not be written: File too large"):
            write_text(path, "x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_json_round_trip_and_refusal_of_nan(tmp_path):
    path = tmp_path / "deep" / "value.json"
    write_json(path, {"b": [1, 2.5], "a": "ü"})
    assert read_json(path) == {"a": "ü", "b": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("nan")})
    assert read_json(path) == {"a": "ü", "b": [1, 2.5]}


def test_keys_that_are_numbers_become_text(tmp_path):
    write_json(tmp_path / "a.json", {"a": {10: 1, 9: (2, None)}})
    assert read_json(tmp_path / "a.json") == {"a": {"10": 1, "9": [2, None]}}


def test_edited_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"mse": 45.25})
    path.write_text(path.read_text().replace("45.25", "45.24"))
    with pytest.raises(DataError, match=r"a\.json: damaged or edited: expected checksum"):
        read_json(path)
    path.write_text('{"mse": 45.25}')
    with pytest.raises(DataError, match=r"a\.json: expected a JSON object with 'checksum', found none"):
        read_json(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_broken_json_is_named(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.json: expected JSON"):
        read_json(path)


def test_missing_json_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_digest_depends_on_every_byte():
    assert digest(b"ab", b"c") == digest(b"abc") != digest(b"abd")
