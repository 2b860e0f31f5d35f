"""Writes that last, and files that are believed only whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import faults
import pytest

from progressgym.storage import (
    is_whole,
    read_sealed,
    seal_folder,
    write_sealed,
    write_text,
)

VALUES = {"numbers": [0.1, -1e300, 3], "text": "née", "none": None, "yes": True}


def test_a_file_and_its_new_folders_are_on_disk_before_anyone_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, bool]] = []
    path = tmp_path / "one" / "two" / "file"
    fsync = os.fsync

    def noted(handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        flushed.append((place.relative_to(tmp_path).as_posix(), path.exists()))
        fsync(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs Linux's /proc")
    monkeypatch.setattr(os, "fsync", noted)
    write_text(path, "content")
    (part,) = (name for name, _ in flushed if name.endswith(".part"))
    # Each new folder in the one above; the content under another name; then the name.
    assert flushed == [(".", False), ("one", False), (part, False), ("one/two", True)]
    assert path.read_text() == "content"
    assert os.listdir(path.parent) == ["file"]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path, "content")
    assert caught.value.filename == str(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=str(tmp_path / "file")) as below:
        write_text(tmp_path / "file/below", "content")
    assert ".part" not in str(below.value)


def test_a_sealed_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path, rng = tmp_path / "file.json", random.Random(0)
    digest = write_sealed(path, VALUES)
    assert read_sealed(path) == (VALUES, digest)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for other in (whole[place] ^ 1 << rng.randrange(8), 0):
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            with pytest.raises(ValueError, match="damaged"):
                read_sealed(path)
        path.write_bytes(whole[:place])
        with pytest.raises(ValueError, match="damaged"):
            read_sealed(path)


@pytest.mark.parametrize("damage", faults.DAMAGES)
def test_a_sealed_folder_is_whole_or_not(tmp_path: Path, damage: faults.Damage) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"content")
    assert not is_whole(tmp_path)
    seal_folder(tmp_path)
    assert is_whole(tmp_path)
    damage(tmp_path / "two", random.Random(1))
    assert not is_whole(tmp_path)
