"""A git repository: what is committed at a revision, whatever the working tree holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from opened import checked, documents, faults

from revela.corpus.sources import open_source
from revela.errors import RevelaError
from revela.settings import GitSource

Notes = Callable[..., Path]


def git(folder: Path, *arguments: str) -> str:
    name = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
    name |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org"}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=os.environ | name, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """The commit of everything in the folder, made a repository where it is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "state")
    return git(folder, "rev-parse", "HEAD")


def source(folder: Path, **rest: object) -> GitSource:
    return GitSource(kind="git", path=folder, **rest)


def test_files_of_the_commit_come_by_path_with_the_commit_on_record(notes: Notes) -> None:
    folder = notes({"b.md": "# b", "a/x.py": "x = 1\n", "a-b/y.py": "y", "skip.bin": "e", "é.txt": "e"})
    commit = committed(folder)
    (folder / "b.md").write_text("not committed")
    (folder / "new.md").write_text("not tracked")
    rows = documents(source(folder))
    assert [(row.id, row.title, row.kind) for row in rows] == [
        ("notes/a-b/y.py", "a-b/y.py", "python"),
        ("notes/a/x.py", "a/x.py", "python"),
        ("notes/b.md", "b.md", "markdown"),
        ("notes/é.txt", "é.txt", "text"),
    ]
    assert rows[2].text == "# b"
    assert {row.source for row in rows} == {f"git:notes@{commit[:12]}"}
    assert json.loads(rows[0].metadata) == {"repository": "notes", "commit": commit[:12]}


def test_a_revision_is_read_from_a_bare_repository_too(notes: Notes, tmp_path: Path) -> None:
    folder = notes({"a.txt": "old"})
    committed(folder)
    git(folder, "tag", "v1")
    (folder / "a.txt").write_text("new")
    committed(folder)
    git(tmp_path, "clone", "--quiet", "--bare", str(folder), "mirror.git")
    for revision, text in {"v1": "old", "HEAD": "new", "HEAD~1": "old"}.items():
        (row,) = documents(source(tmp_path / "mirror.git", revision=revision))
        assert (row.id, row.text) == ("mirror/a.txt", text)


def test_a_folder_inside_a_repository_gives_what_is_below_it(notes: Notes) -> None:
    attributes = "docs/gen.txt linguist-generated"
    folder = notes({"a.txt": "a", "docs/b.txt": "b", "docs/gen.txt": "g", ".gitattributes": attributes})
    committed(folder)
    assert [row.id for row in documents(source(folder / "docs"))] == ["docs/b.txt"]


def test_generated_and_vendored_files_links_and_submodules_are_left_out(notes: Notes, tmp_path: Path) -> None:
    attributes = [
        "*.gen.py linguist-generated",
        "vendor/** linguist-vendored=true",
        "vendor/ours.py -linguist-vendored",
    ]
    files = {name: name for name in ("a.py", "b.gen.py", "vendor/c.py", "vendor/ours.py")}
    folder = notes({".gitattributes": "\n".join(attributes), **files})
    (folder / "link.py").symlink_to("a.py")
    shutil.copytree(folder, tmp_path / "other")
    committed(tmp_path / "other")
    git(folder, "init", "--quiet")
    git(
        folder,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(tmp_path / "other"),
        "sub.py",
    )
    commit = committed(folder)
    # The commit's own attributes count, not those of the working tree.
    (folder / ".gitattributes").write_text("* linguist-generated")
    assert [row.title for row in documents(source(folder, revision=commit))] == ["a.py", "vendor/ours.py"]


def test_what_is_no_text_is_named(notes: Notes) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    folder = notes({"a.txt": b"\xff", "b.txt": b"\0", "c.txt": "c" * 2000, "d.txt": pointer, "e.txt": "e"})
    committed(folder)
    assert faults(source(folder), 1000) == [
        ("notes/a.txt", "bad_encoding"),
        ("notes/b.txt", "binary"),
        ("notes/c.txt", "too_large"),
        ("notes/d.txt", "git_lfs_pointer"),
    ]


def test_names_that_are_not_utf_8_or_hold_a_line_end_are_read(notes: Notes) -> None:
    folder = notes({"two\nlines.txt": "a"})
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("b")
    committed(folder)
    assert [row.title for row in documents(source(folder))] == [r"caf\xe9.txt", "two\nlines.txt"]


def test_a_hook_of_another_repository_does_not_lead_astray(
    notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes({"a.txt": "a"})
    committed(folder)
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert [row.id for row in documents(source(folder))] == ["notes/a.txt"]


def test_faults_are_found_before_work_starts(notes: Notes, tmp_path: Path) -> None:
    folder = notes({"a.txt": "a"})
    with pytest.raises(RevelaError, match=r"notes: not a git repository.*kind: folder"):
        checked(source(folder))
    with pytest.raises(RevelaError, match="missing: no such folder"):
        checked(source(tmp_path / "missing"))
    git(folder, "init", "--quiet")
    with pytest.raises(RevelaError, match="no revision 'HEAD'"):
        checked(source(folder))
    committed(folder)
    for revision in ("nope", "--help", "-x"):
        with pytest.raises(RevelaError, match=rf"no revision '{revision}'.*git fetch"):
            checked(source(folder, revision=revision))
    with pytest.raises(RevelaError, match=r"no tracked file ending in \.rs at HEAD"):
        checked(source(folder, suffixes=[".rs"]))


def test_without_git_the_message_says_so(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = notes({"a.txt": "a"})
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(RevelaError, match="git is not installed"):
        checked(source(folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_user_is_explained(notes: Notes) -> None:
    folder = notes({"a.txt": "a"})
    committed(folder)
    for path in (folder, folder / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(RevelaError, match=r"another user.*safe\.directory"):
        checked(source(folder))


def test_content_that_the_repository_lacks_is_named(notes: Notes) -> None:
    folder = notes({"a.txt": "a", "b.txt": "b"})
    committed(folder)
    blob = git(folder, "rev-parse", "HEAD:b.txt")
    (folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(RevelaError, match=r"notes/b\.txt: its content .* is not in the repository"):
        list(open_source(source(folder)))
