"""Files appear whole, where a user means them, or not at all; nothing is left beside them."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pathwayae.core import files
from pathwayae.core.files import whole_or_nothing

WRITER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off for what runs in the background
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pathwayae.core.files import whole_or_nothing
with whole_or_nothing(sys.argv[1]) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def write(path, text):
    with whole_or_nothing(path) as part:
        part.write_text(text)


def killed_while_writing(path, sent):
    """Exit code of a process that gets a signal while it writes."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(sent)
        return process.wait(timeout=30)


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    for link, target in (("link.txt", "far/file.txt"), ("hanging.txt", "far/new.txt")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "far/file.txt").write_text("old")
    for link in ("link.txt", "hanging.txt"):
        write(tmp_path / link, "new")
        assert (tmp_path / link).is_symlink()
    assert {path.name: path.read_text() for path in (tmp_path / "far").iterdir()} == {
        "file.txt": "new",
        "new.txt": "new",
    }


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write(tmp_path / "new.txt", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == mode


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")
    path.chmod(0o664)
    write(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("~/a.txt", "here")
    assert (tmp_path / "a.txt").read_text() == "here"


def test_a_zarr_is_not_written_into(tmp_path):
    (tmp_path / "a.zarr/X").mkdir(parents=True)
    (tmp_path / "a.zarr/.zgroup").write_text("{}")
    (tmp_path / "beside").symlink_to("a.zarr/X")
    for inside in ("a.zarr/out.txt", "a.zarr/X/out.txt", "beside/out.txt"):
        with pytest.raises(ValueError, match="write beside it"):
            write(tmp_path / inside, "new")
    assert sorted(os.listdir(tmp_path / "a.zarr")) == [".zgroup", "X"]


def test_places_cannot_be_guessed_nor_lead_elsewhere(tmp_path):
    seen = []
    for _ in range(2):
        with whole_or_nothing(tmp_path / "a.txt") as part:
            part.write_text("new")
            seen.append(part)
            assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
    assert seen[0] != seen[1]
    assert not any(path.parent.exists() for path in seen)


@pytest.mark.parametrize("name", ["é" * 100 + ".txt", "a[b]*?.txt", "a b\n.txt", ".txt"])
def test_any_name_will_do(tmp_path, name):
    write(tmp_path / name, "old")
    write(tmp_path / name, "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "new"}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), SystemExit(1)]
)
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_or_nothing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"
    if isinstance(error, OSError):
        assert caught.value.filename == str(path)


def test_errors_name_the_file_that_was_meant(tmp_path):
    for path in (tmp_path / "nowhere/a.txt", Path("/proc/a.txt")):
        with pytest.raises(OSError, match="a.txt") as caught:
            write(path, "new")
        assert caught.value.filename == str(path)
        assert "None" not in str(caught.value)


def test_a_pipe_is_written_to(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write(path, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_the_old_file_and_no_other(tmp_path, sent):
    path = tmp_path / "a.txt"
    path.write_text("old")
    number = getattr(signal, sent)
    code = killed_while_writing(path, number)
    assert code == (-number if sent == "SIGINT" else 128 + number)
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_what_a_killed_run_left_goes_with_the_next(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    assert killed_while_writing(path, signal.SIGKILL) == -9
    assert len(os.listdir(tmp_path)) == 2
    with whole_or_nothing(path) as part:
        part.write_text("new")
        monkeypatch.setattr(files, "NEW", -1.0)
        with whole_or_nothing(path) as other:  # a run beside it is left alone
            other.write_text("newer")
        assert part.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text() == "new"


def test_what_was_being_replaced_is_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(files, "NEW", -1.0)
    left = tmp_path / f".a.zarr.{files.HOST}.xyz.tmp"
    (left / "a.zarr.old").mkdir(parents=True)
    write(tmp_path / "a.zarr", "new")
    assert left.exists()
    assert str(left) in caplog.text


def test_the_program_keeps_its_own_plans_for_signals(tmp_path):
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with whole_or_nothing(tmp_path / "a.txt") as part:
            part.write_text("new")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_folder_that_takes_no_files_is_said_with_the_next_step(tmp_path, monkeypatch):
    """As for a user without rights, whom these tests may not be run by."""

    def refused(*names):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / f"{names[1]}x{names[0]}"))

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(PermissionError, match=r"takes no files; choose another, or change its rights: '.*a\.txt'"):
        write(tmp_path / "a.txt", "new")
    assert os.listdir(tmp_path) == []
