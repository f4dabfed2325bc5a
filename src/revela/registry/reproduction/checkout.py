"""A version's code, settings and data in a folder of their own, each checked against what was registered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from revela import paths
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.registry.reproduction.commands import DVC, attempt, last_lines, output

STAGE = "evaluate"
_CODE = "src/"


@dataclass(frozen=True)
class Wanted:
    """What a version was made of.

    Attributes:
        name: of the version, for messages.
        kept: name -> file of what was kept with it (params.yaml, dvc.lock).
        model_sha256: of the retriever's folder.
    """

    name: str
    commit: str
    kept: Mapping[str, Path]
    model_sha256: str


def clone(project: Path, wanted: Wanted, folder: Path) -> Path:
    """The project at the version's commit, in `folder`, which is replaced; the user's tree is only read.

    Git objects and DVC's cache are shared with the project's.

    Returns:
        The project's root in there.

    Raises:
        RevelaError: the commit is not in the project's repository, or has no code of this project.
    """
    known = attempt("git", "cat-file", "-e", f"{wanted.commit}^{{commit}}", cwd=project)
    if known.returncode != 0:
        raise RevelaError(
            f"{wanted.name} was made at commit {wanted.commit}, which is not in the repository of {project}. "
            "Fetch it (`git fetch --all`, or `git fetch --unshallow`), or run this in the clone that has it."
        )
    why = f"checking out commit {wanted.commit}"
    top = output("git", "rev-parse", "--show-toplevel", cwd=project, why=why).strip()
    within = output("git", "rev-parse", "--show-prefix", cwd=project, why=why).strip()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    output("git", "clone", "-q", "--shared", "--no-checkout", top, str(folder), cwd=project, why=why)
    output("git", "checkout", "-q", "--detach", wanted.commit, cwd=folder, why=why)
    root = folder / within
    missing = [path for path in (".dvc", "dvc.yaml", f"{_CODE}revela") if not (root / path).exists()]
    if missing:
        raise RevelaError(f"{wanted.name}: commit {wanted.commit} has no {', no '.join(missing)}.")
    for name, file in wanted.kept.items():
        shutil.copyfile(file, root / name)
    _share_cache(project, root)
    return root


def _share_cache(project: Path, root: Path) -> None:
    """Give the checkout the project's cache and remotes, those of its local settings included."""
    why = "reading DVC's settings"
    listed = output(*DVC, "config", "--list", cwd=project, why=why).splitlines()
    cache = output(*DVC, "cache", "dir", cwd=project, why=why).strip()
    sections: dict[str, dict[str, str]] = {}
    for line in [*listed, f"cache.dir={cache}"]:
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        head, _, name = section.partition(".")
        # Quoted, for a bare comma would make a list of it.
        quoted = f"'{value}'" if '"' in value else f'"{value}"'
        sections.setdefault(f"'{head} \"{name}\"'" if name else head, {})[option] = quoted
    local = root / ".dvc" / "config.local"
    local.touch(mode=0o600)  # it may hold credentials
    lines = (
        f"[{section}]\n" + "".join(f"    {option} = {value}\n" for option, value in options.items())
        for section, options in sections.items()
    )
    local.write_text("".join(lines), encoding="utf-8")


def get_data(root: Path, wanted: Wanted) -> None:
    """Everything that dvc.lock and .dvc files name, from the cache, else from the remote.

    Raises:
        RevelaError: some of it is in neither.
    """
    done = attempt(*DVC, "checkout", "--force", cwd=root)
    if done.returncode == 0:
        return
    remotes = [line.split()[0] for line in attempt(*DVC, "remote", "list", cwd=root).stdout.splitlines()]
    if remotes:
        done = attempt(*DVC, "pull", "--force", cwd=root)
        if done.returncode == 0:
            return
    cache = attempt(*DVC, "cache", "dir", cwd=root).stdout.strip()
    where = f"nor in the remote ({', '.join(remotes)})" if remotes else "and there is no remote"
    raise RevelaError(
        f"data of {wanted.name} is not in DVC's cache {cache} {where}:\n{last_lines(done)}\n"
        "Whoever has it can `dvc push` it; or make it anew: `dvc repro` in the checkout "
        f"{root}, where equal settings give equal data."
    )


def verify(root: Path, wanted: Wanted, scratch: Path) -> list[str]:
    """Compare what is on the disk with dvc.lock, file by file.

    Args:
        scratch: an empty folder; DVC keeps in it what it hashes, so that nothing it remembers is believed.

    Returns:
        What of the code differs; the caller decides whether to go on.

    Raises:
        RevelaError: data, settings or the model are not what was registered.
    """
    shown = output(
        *DVC, "status", "--with-deps", STAGE, "--json", cwd=root,
        why=f"verifying the data of {wanted.name}", DVC_SITE_CACHE_DIR=str(scratch),
    )  # fmt: skip
    code, other = _changes(json.loads(shown))
    if other:
        raise RevelaError(
            f"{wanted.name} cannot be reproduced: not as its dvc.lock says: {', '.join(other)}. If a file "
            "in the cache was damaged, delete it there, and this command takes it from the remote."
        )
    found = sha256_tree(root / paths.MODELS / "retriever")
    if found != wanted.model_sha256:
        raise RevelaError(
            f"{wanted.name} cannot be reproduced: its dvc.lock gives another model than was registered "
            f"(sha256 {found} instead of {wanted.model_sha256}). The model was changed between `dvc repro` "
            "and `revela register`."
        )
    return code


def _changes(status: Mapping[str, list[Any]]) -> tuple[list[str], list[str]]:
    """What differs from dvc.lock: code, and everything else. Small results live in git, not in the data."""
    code: dict[str, None] = {}
    other: dict[str, None] = {}
    for stage, entries in status.items():
        for entry in entries:
            if not isinstance(entry, Mapping):
                code[f"the command of stage {stage}"] = None
                continue
            for path, state in (item for changed in entry.values() for item in changed.items()):
                if path.startswith(f"{paths.RESULTS.as_posix()}/"):
                    continue
                said = path if isinstance(state, Mapping) else f"{path} ({state})"
                (code if path.startswith(_CODE) else other)[said] = None
    return list(code), list(other)


def link_inputs(project: Path, root: Path) -> list[str]:
    """Benchmarks and encoders that params.yaml gives as relative paths and that neither git nor DVC has.

    They are taken from the project as they are now; data sets are checked by their digests.

    Returns:
        The paths.
    """
    section = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")).get("evaluate", {})
    named = [entry.get("path") for entry in section.get("benchmarks", [])]
    named += [entry["source"] for entry in section.get("encoders", []) if entry.get("kind") == "folder"]
    linked = []
    for path in (path for path in named if path and not Path(path).is_absolute()):
        if not (root / path).exists() and (project / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to((project / path).resolve())
            linked.append(path)
    return linked
