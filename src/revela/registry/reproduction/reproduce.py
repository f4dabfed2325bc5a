"""`revela reproduce`: a registered version again, from its commit to its scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from filelock import FileLock

from revela import paths, tracking
from revela.errors import RevelaError
from revela.files import sha256_file
from revela.registry import gate, origin
from revela.registry.aliases import find_version
from revela.registry.candidate import DATA_SETS
from revela.registry.registered_run import fetch_model, requirements
from revela.registry.reproduction.checkout import Wanted, clone, get_data, link_inputs, verify
from revela.registry.reproduction.commands import environment, output
from revela.registry.reproduction.scores import Row, compare_scores
from revela.settings import RegistrySettings
from revela.tracking import provenance

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_DATA_SETS = """
import json, revela
from revela.registry.data_sets import content_digests
from revela.settings import load_settings
digests = content_digests(load_settings("params.yaml").evaluate)
print(json.dumps({"code": revela.__file__, "data_sets": digests}))
"""

Say = Callable[[str], object]


def reproduce(settings: RegistrySettings, version: str, say: Say, *, allow_dirty: bool = False) -> list[Row]:
    """Check a version out into ``cache/reproduce/<number>``, verify it, evaluate it again with its own code.

    The working tree is only read. The evaluation is a process of its own; its tables go to a log beside the
    checkout, which stays there to be looked at.

    Args:
        version: a number, or an alias such as ``@champion``.
        say: is told what was verified, a line at a time.
        allow_dirty: go on although the code is not known to be the one that made the version.

    Returns:
        Every metric of every model, then and now; those that do not agree say why.

    Raises:
        RevelaError: no such version, its commit or data cannot be had, or something is not what was
            registered.
    """
    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    found = find_version(client, settings.model_name, version, uri)
    name = f"{settings.model_name} version {found.version}"
    _refuse_dirty(found, name, say, allow_dirty)
    project = tracking.project_root().resolve()
    folder = project / paths.CACHE / "reproduce" / str(found.version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")), tempfile.TemporaryDirectory() as scratch:
        kept = origin.fetch_origin(client, found, Path(scratch))
        say("record     params.yaml, dvc.lock and per-query scores are those that were registered")
        wanted = Wanted(
            name,
            found.tags[origin.COMMIT],
            {key: kept[key] for key in (origin.PARAMS, origin.DVC_LOCK)},
            found.tags["model.sha256"],
        )
        root = clone(project, wanted, folder)
        say(f"commit     {wanted.commit} in {root}")
        get_data(root, wanted)
        site = Path(scratch) / "site"
        site.mkdir()
        changed = verify(root, wanted, site)
        if changed and not allow_dirty:
            raise RevelaError(
                f"{name} cannot be reproduced: the code at commit {wanted.commit} is not the code that made "
                f"it by its dvc.lock: {', '.join(changed)}. To see what this code gives: --allow-dirty"
            )
        say(f"code       {'OTHER than made it: ' + ', '.join(changed) if changed else 'as in dvc.lock'}")
        say("data       as in dvc.lock, every file hashed again")
        libraries = _check_logged(found, root / paths.MODELS / "retriever", Path(scratch), uri, name)
        say(f"model      sha256 {wanted.model_sha256}; the logged one has its weights and gives its vectors")
        say(f"libraries  {libraries or 'as registered'}")
        for path in link_inputs(project, root):
            say(f"input      {path} is in neither git nor DVC: taken from the project as it is now")
        reasons = _data_sets(found, root, say)
        log = folder.with_suffix(".log")
        _evaluate(root, log, name)
        say(f"evaluated  with its own code, in a process of its own; tables in {log}")
        if libraries:
            reasons = {one: reasons.get(one, libraries) for one in json.loads(found.tags["scores"])}
        now = pd.read_parquet(root / paths.EVALUATE_REPORT / "per_query.parquet")
        return compare_scores(pd.read_parquet(kept["per_query.parquet"]), now, reasons)


def _refuse_dirty(version: ModelVersion, name: str, say: Say, allow_dirty: bool) -> None:
    if version.tags.get(origin.COMMIT, provenance.UNKNOWN) == provenance.UNKNOWN:
        raise RevelaError(f"{name} was registered outside a git repository, or before commits were kept.")
    if version.tags.get(provenance.DIRTY) == "false":
        return
    changed = version.tags.get(provenance.CHANGED, provenance.UNKNOWN)
    if not allow_dirty:
        raise RevelaError(
            f"{name} was registered from a tree with changes that were not committed ({changed}), so its "
            "commit is not all of its code. To see what the commit alone gives: --allow-dirty"
        )
    say(f"WARNING    registered with changes that were not committed: {changed}")


def _check_logged(version: ModelVersion, model_dir: Path, scratch: Path, uri: str, name: str) -> str:
    """That the registered model is DVC's. Returns which libraries are others than it was registered with."""
    logged = fetch_model(version, scratch / "model", uri)
    for file in sorted(model_dir.rglob("*.safetensors")):
        twin = logged / file.relative_to(model_dir)
        if not twin.is_file() or sha256_file(twin) != sha256_file(file):
            raise RevelaError(
                f"{name} cannot be reproduced: {file.name} of the model in MLflow is not that of DVC."
            )
    limitless = RegistrySettings()
    (loads, *_) = gate.load_elsewhere(limitless, f"models:/{version.name}/{version.version}", model_dir, uri)
    if not loads.passed:
        raise RevelaError(f"{name} cannot be reproduced: the model in MLflow is not DVC's: {loads.said}")
    then = (logged.parent / "requirements.txt").read_text(encoding="utf-8").split()
    now = dict(one.split("==") for one in requirements())
    pairs = [(name, was, now.get(name, was)) for name, _, was in (one.partition("==") for one in then)]
    return ", ".join(f"{name} {was} then, {here} now" for name, was, here in pairs if here != was)


def _data_sets(version: ModelVersion, root: Path, say: Say) -> dict[str, str]:
    """Benchmark -> why it is another one now; those that are the same are left out."""
    found = output(
        sys.executable, "-c", _DATA_SETS, cwd=root, why="building the benchmarks", **_own_code(root)
    )  # fmt: skip
    answer = json.loads(found.splitlines()[-1])
    if not Path(answer["code"]).is_relative_to(root):
        raise RevelaError(f"the code in {root} is not what runs there, but {answer['code']}.")
    reasons = {}
    for benchmark, digest in json.loads(version.tags[DATA_SETS]).items():
        now = answer["data_sets"].get(benchmark, "none")
        if now == digest:
            say(f"data set   {benchmark} {digest}, as registered")
        else:
            say(f"data set   {benchmark} is {now} instead of {digest}")
            reasons[benchmark] = "another data set (its files, or the Python it is made of, have changed)"
    return reasons


def _evaluate(root: Path, log: Path, name: str) -> None:
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", "revela", "evaluate"],
            cwd=root, env=environment(**_own_code(root)), stdout=file, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise RevelaError(f"the evaluation of {name} ended with exit code {done.returncode}; see above.")


def _own_code(root: Path) -> dict[str, str]:
    """A process with these variables imports the checkout's package, not the installed one."""
    others = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(root / "src"), *([others] if others else [])])}
