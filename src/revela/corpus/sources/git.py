"""Tracked files of a git repository at a revision; one file is one document.

Only committed content is read, through git's plumbing: the working tree does not matter, and a bare
repository will do.
"""

from __future__ import annotations

import contextlib
import fnmatch
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.git_command import GitError, run_git, start_git
from revela.corpus.sources.reading import printable, too_large
from revela.corpus.sources.text import document_of_file, malformed
from revela.errors import RevelaError
from revela.settings import GitSource

# https://git-lfs.com: a small file that stands for a large one kept elsewhere.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

# https://github.com/github-linguist/linguist/blob/main/docs/overrides.md
_LEFT_OUT = ("linguist-generated", "linguist-vendored")


class _Blob(NamedTuple):
    path: bytes
    sha: bytes
    size: int


def check(settings: GitSource) -> None:
    """Raise :class:`RevelaError` for no repository, an unknown revision or no matching file."""
    if not _blobs(settings, _commit(settings)):
        raise RevelaError(
            f"corpus.sources: {settings.path}: no tracked file ending in {', '.join(settings.suffixes)} at "
            f"{settings.revision}. Adapt `suffixes` or `exclude`."
        )


def records(settings: GitSource, max_bytes: int) -> Iterator[Record]:
    """Files of the commit by path. A record's file is ``<repository's folder>/<path in it>``.

    Where `path` is a folder inside a repository, only the files below it are read. Submodules and
    links are passed over, and what ``.gitattributes`` calls linguist-generated or linguist-vendored.

    Raises:
        RevelaError: as :func:`check`, and for a repository that lacks a file's content.
    """
    commit = _commit(settings)
    name = _name(settings)
    source = f"git:{name}@{commit[:12]}"
    blobs = _blobs(settings, commit)
    with start_git(settings.path, "cat-file", "--batch") as process:
        for blob in blobs:
            file = printable(f"{name}/{blob.path.decode('utf-8', 'surrogateescape')}")
            if blob.size > max_bytes:
                yield Record(file, None, b"", source, too_large(blob.size, max_bytes))
            else:
                yield Record(file, None, _content(process, blob, file), source)


def parse(settings: GitSource, record: Record) -> Document | Malformed:
    """One file's document, with repository and commit in the metadata; its title is the path."""
    if record.payload.startswith(_LFS_POINTER):
        what = "a Git LFS pointer: the content is not in the repository"
        return malformed(record, "git_lfs_pointer", what)
    repository, _, commit = record.source.removeprefix("git:").rpartition("@")
    title = record.file.removeprefix(f"{repository}/")
    metadata = {"repository": repository, "commit": commit}
    return document_of_file(record, title, PurePosixPath(record.file).suffix, metadata)


def _name(settings: GitSource) -> str:
    return printable(settings.path.resolve().name.removesuffix(".git") or "repository")


def _commit(settings: GitSource) -> str:
    """The commit that the revision names, 40 or 64 hexadecimal digits."""
    if not settings.path.is_dir():
        raise RevelaError(f"corpus.sources: {settings.path}: no such folder.")
    run_git(settings.path, "rev-parse", "--git-dir")
    revision = f"{settings.revision}^{{commit}}"
    try:
        found = run_git(settings.path, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
    except GitError:
        raise RevelaError(
            f"corpus.sources: {settings.path}: no revision '{settings.revision}'. A clone of one branch or "
            "of limited depth may lack it: try `git fetch --all --tags`."
        ) from None
    return found.decode().split()[-1]


def _blobs(settings: GitSource, commit: str) -> list[_Blob]:
    """Wanted files by path, each some 200 bytes: in memory all at a time."""
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    listing = run_git(settings.path, "ls-tree", "-r", "-z", "--long", commit)
    blobs = []
    for line in filter(None, listing.split(b"\0")):
        about, _, path = line.partition(b"\t")
        mode, kind, sha, size = about.split()
        shown = path.decode("utf-8", "surrogateescape")
        # Mode 120000 is a link.
        if kind != b"blob" or mode == b"120000" or not shown.lower().endswith(suffixes):
            continue
        if not any(fnmatch.fnmatchcase(shown, pattern) for pattern in settings.exclude):
            # "BAD" where the content is missing: asking for it says so.
            blobs.append(_Blob(path, sha, int(size) if size.isdigit() else 0))
    left_out = _left_out(settings.path, commit, [blob.path for blob in blobs])
    return sorted(blob for blob in blobs if blob.path not in left_out)


def _left_out(repository: Path, commit: str, paths: list[bytes]) -> set[bytes]:
    """Paths that the commit's own ``.gitattributes`` call generated or vendored."""
    command = ["check-attr", "--cached", "--stdin", "-z", *_LEFT_OUT]
    with tempfile.TemporaryDirectory() as folder:
        # check-attr reads another commit's attributes only from git 2.40 on; from an index, always.
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        run_git(repository, "read-tree", commit, more=index)
        answer = run_git(repository, *command, more=index, given=b"\0".join(paths))
    fields = answer.split(b"\0")
    values = zip(fields[::3], fields[2::3], strict=False)
    return {path for path, value in values if value in (b"set", b"true")}


def _content(process: subprocess.Popen[bytes], blob: _Blob, file: str) -> bytes:
    """The blob's bytes, asked of a running ``git cat-file --batch``."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(blob.sha + b"\n")
        process.stdin.flush()
    # "<name> blob <size>", or "<name> missing", behind which nothing follows.
    there = process.stdout.readline().split()[1:2] == [b"blob"]
    content = process.stdout.read(blob.size + 1) if there else b""
    if len(content) != blob.size + 1:
        raise RevelaError(
            f"corpus.sources: {file}: its content ({blob.sha.decode()[:12]}) is not in the repository. "
            "Run `git fsck`, or clone it again without --filter."
        )
    return content[:-1]
