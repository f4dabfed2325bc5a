"""A folder: one file is one document, and what cannot be read is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from opened import checked, documents, faults

from revela.corpus.schema import Malformed
from revela.corpus.sources import open_source
from revela.errors import RevelaError
from revela.settings import FolderSource

Notes = Callable[..., Path]


def test_files_below_the_folder_come_by_path_with_their_kind(notes: Notes) -> None:
    folder = notes(
        {"b.txt": "b", "a/x.md": "# x", "a/y.rst": "y", "c.py": "c", ".git/d.txt": "d", "skip.bin": "e"}
    )
    rows = documents(FolderSource(kind="folder", path=folder))
    assert [(row.id, row.kind) for row in rows] == [
        ("notes/a/x.md", "markdown"),
        ("notes/a/y.rst", "rst"),
        ("notes/b.txt", "text"),
        ("notes/c.py", "python"),
    ]
    assert {row.source for row in rows} == {"folder:notes"}


def test_text_is_kept_as_it_is_but_for_a_byte_order_mark(notes: Notes) -> None:
    folder = notes({"a.txt": b"\xef\xbb\xbfone\r\n\ttwo  \n\n"})
    assert documents(FolderSource(kind="folder", path=folder))[0].text == "one\r\n\ttwo  \n\n"


@pytest.mark.parametrize(
    ("content", "reason", "what"),
    [
        (b"caf\xe9", "bad_encoding", "not UTF-8: byte 0xe9 at byte 3"),
        (b"a\0b", "binary", "zero byte at byte 1: not a text"),
    ],
)
def test_unreadable_files_are_reported(notes: Notes, content: bytes, reason: str, what: str) -> None:
    folder = notes({"a.txt": content})
    row = Malformed("notes/a.txt", None, reason, what, "folder:notes")
    assert list(open_source(FolderSource(kind="folder", path=folder))) == [row]
    assert row.place == "notes/a.txt"


def test_exclude_leaves_paths_out(notes: Notes) -> None:
    folder = notes({"a.txt": "a", "old/b.txt": "b"})
    rows = documents(FolderSource(kind="folder", path=folder, exclude=["old/*"]))
    assert [row.id for row in rows] == ["notes/a.txt"]


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing", "no such folder"), ("notes/a.bin", "not a folder"), ("notes", "no file ending in")],
)
def test_faults_are_found_before_work_starts(notes: Notes, tmp_path: Path, path: str, message: str) -> None:
    notes({"a.bin": "a"})
    with pytest.raises(RevelaError, match=message):
        checked(FolderSource(kind="folder", path=tmp_path / path))


def test_files_come_by_path_however_the_folders_are_called(notes: Notes) -> None:
    folder = notes({"a/x.txt": "1", "a-b/x.txt": "2", "a.txt": "3", "a/b/c.txt": "4", "a0.txt": "5"})
    rows = documents(FolderSource(kind="folder", path=folder))
    assert [row.title for row in rows] == sorted(row.title for row in rows)
    assert len(rows) == 5


def test_a_long_file_is_refused_unread(notes: Notes) -> None:
    folder = notes({"a.txt": "a", "b.txt": "b"})
    with open(folder / "sparse.txt", "wb") as file:
        file.truncate(1 << 40)
    source = FolderSource(kind="folder", path=folder)
    assert faults(source) == [("notes/sparse.txt", "too_large")]
    assert len(list(open_source(source))) == 3


def test_utf_16_with_its_mark_is_text_as_windows_writes_it(notes: Notes) -> None:
    folder = notes(
        {"le.txt": "naïve\n".encode("utf-16"), "be.txt": b"\xfe\xff" + "naïve\n".encode("utf-16-be")}
    )
    assert {row.text for row in documents(FolderSource(kind="folder", path=folder))} == {"naïve\n"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfea", "bad_encoding"), (b"\xff\xfea\0\0\0", "binary"), (b"\xff\xfe\0\0a\0\0\0", "binary")],
)
def test_broken_utf_16_is_named(notes: Notes, content: bytes, reason: str) -> None:
    folder = notes({"a.txt": content})
    assert faults(FolderSource(kind="folder", path=folder)) == [("notes/a.txt", reason)]


def test_pipes_and_folders_that_look_like_files_are_passed_over(notes: Notes) -> None:
    folder = notes({"a.txt": "a", "folder.txt/b.txt": "b"})
    os.mkfifo(folder / "pipe.txt")
    rows = documents(FolderSource(kind="folder", path=folder))
    assert [row.title for row in rows] == ["a.txt", "folder.txt/b.txt"]


def test_links_are_followed_to_files_only_and_astray_ones_named(notes: Notes) -> None:
    folder = notes({"a.txt": "a"})
    (folder / "again").symlink_to(folder)
    (folder / "copy.txt").symlink_to("a.txt")
    (folder / "folder.txt").symlink_to(folder)
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "loop.txt").symlink_to("loop.txt")
    source = FolderSource(kind="folder", path=folder)
    assert [row.id for row in open_source(source) if not isinstance(row, Malformed)] == [
        "notes/a.txt",
        "notes/copy.txt",
    ]
    assert faults(source) == [("notes/gone.txt", "unreadable"), ("notes/loop.txt", "unreadable")]


def test_a_name_that_is_not_utf_8_is_spelled_out(notes: Notes) -> None:
    folder = notes({"a.txt": "a"})
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("b")
    assert [row.id for row in documents(FolderSource(kind="folder", path=folder))] == [
        "notes/a.txt",
        r"notes/caf\xe9.txt",
    ]


def test_files_and_folders_without_permission_are_named(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes({"a.txt": "a", "closed/b.txt": "b", "secret.txt": "c"})
    (folder / "secret.txt").chmod(0)
    (folder / "closed").chmod(0)
    # From within, so that only the folder's own permissions count.
    folder.parent.chmod(0o755)
    monkeypatch.chdir(folder.parent)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        found = faults(FolderSource(kind="folder", path=Path("notes")))
    finally:
        if root:
            os.seteuid(0)
        (folder / "closed").chmod(0o700)
    assert found == [("notes/closed/", "unreadable"), ("notes/secret.txt", "unreadable")]


def test_a_file_that_vanishes_while_others_are_read_is_named(notes: Notes) -> None:
    folder = notes({"a.txt": "a", "b.txt": "b"})
    rows = open_source(FolderSource(kind="folder", path=folder))
    next(rows)
    (folder / "b.txt").unlink()
    assert [(row.place, row.reason) for row in rows] == [("notes/b.txt", "unreadable")]


def test_a_tree_deeper_than_the_recursion_limit_is_read(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes({"a.txt": "a"})
    monkeypatch.chdir(folder)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("deep.txt").write_text("deep")
    try:
        assert [row.text for row in documents(FolderSource(kind="folder", path=folder))] == ["a", "deep"]
    finally:
        # Whoever tidies up behind the tests may well recurse.
        os.remove("deep.txt")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")


def test_html_becomes_its_main_text_and_keeps_its_title(notes: Notes) -> None:
    page = "<title>Install it</title><body><nav>Home</nav><main><h1>Install</h1><pre>a\n  b</pre></main>"
    folder = notes({"a.html": page, "b.htm": page.encode("utf-16")})
    for row in documents(FolderSource(kind="folder", path=folder)):
        assert (row.title, row.text, row.kind) == ("Install it", "Install\n\na\n  b", "text")
        assert row.metadata == '{"format": "html"}'


def test_a_page_may_name_its_own_encoding(notes: Notes) -> None:
    folder = notes(
        {
            "a.html": b'<meta charset="iso-8859-1"><p>caf\xe9',
            "b.html": b'<meta charset="nonsense"><p>caf\xe9',
            "c.html": b"<p>caf\xe9",
        }
    )
    source = FolderSource(kind="folder", path=folder)
    assert next(open_source(source)).text == "café"  # type: ignore[union-attr]
    assert faults(source) == [("notes/b.html", "bad_encoding"), ("notes/c.html", "bad_encoding")]
