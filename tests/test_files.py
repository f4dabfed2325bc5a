"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from revela import files
from revela.errors import RevelaError


def test_a_directory_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with files.atomic_directory(target) as partial:
        (partial / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert os.listdir(target.parent) == ["out"]


def test_a_new_directory_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("old.txt", "new.txt"):
        with files.atomic_directory(target) as partial:
            (partial / name).write_text(name)
    assert os.listdir(target) == ["new.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_the_old_directory_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_directory(target) as partial:
        (partial / "half.txt").write_text("ha")
        1 / 0  # noqa: B018
    assert os.listdir(target) == ["old.txt"]
    assert os.listdir(tmp_path) == ["out"]


def _pid_of_nobody() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_a_killed_process_are_swept_up(tmp_path: Path) -> None:
    (tmp_path / f".out.partial-{_pid_of_nobody()}").mkdir()
    alive = tmp_path / f".out.partial-{os.getppid()}"
    alive.mkdir()
    with files.atomic_directory(tmp_path / "out"):
        pass
    assert sorted(os.listdir(tmp_path)) == [alive.name, "out"]


def test_a_directory_caught_between_two_renames_comes_back(tmp_path: Path) -> None:
    replaced = tmp_path / f".out.replaced-{_pid_of_nobody()}"
    replaced.mkdir()
    (replaced / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_directory(tmp_path / "out"):
        1 / 0  # noqa: B018
    assert os.listdir(tmp_path / "out") == ["old.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_the_target(tmp_path: Path, code: int) -> None:
    target = tmp_path / "out"
    with pytest.raises(RevelaError, match=r"out: no space left on the disk"), files.atomic_directory(target):
        raise OSError(code, os.strerror(code))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_truly_full_device_is_explained() -> None:
    with pytest.raises(RevelaError, match="no space left"), files.explain_full_disk(Path("/dev/full")):
        Path("/dev/full").write_text("a")


@pytest.mark.parametrize(
    "fault",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    ],
    ids=["safetensors", "torch"],
)
def test_a_full_disk_is_known_by_what_compiled_writers_say_of_it(fault: Exception) -> None:
    # The two messages are what both libraries said of a file system of 1 MiB.
    with pytest.raises(RevelaError, match="no space left"), files.explain_full_disk(Path("model")):
        raise fault


def test_other_faults_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.atomic_directory(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "no")


def test_text_is_utf8_with_plain_line_ends_and_leaves_no_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    files.atomic_write_text(path, "né\n")
    assert path.read_bytes() == b"n\xc3\xa9\n"
    assert os.listdir(path.parent) == ["a.txt"]


def test_json_keeps_the_order_of_keys_and_ends_with_a_newline(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [0.5, "é"]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    0.5,\n    "é"\n  ]\n}\n'


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_a_trees_digest_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, ["a", "b"]), (other, ["b", "a"])):
        (folder / "sub").mkdir(parents=True)
        for name in names:
            (folder / "sub" / name).write_text(name)
    assert files.sha256_tree(one) == files.sha256_tree(other)
    (other / "sub" / "a").rename(other / "sub" / "c")
    assert files.sha256_tree(one) != files.sha256_tree(other)


def test_a_settled_file_has_its_final_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")
    files.settle(tmp_path / "new", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "new").exists()
