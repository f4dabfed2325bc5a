"""Put the parts of a bundle together again. Becomes join.sh: needs nothing beyond the standard library."""

import hashlib
import importlib.util
import io
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

WHEELS_FOR = (3, 12)

# What the machine itself has to bring: bench/gpu/wheels.txt holds the rest.
MACHINE = [
    "torch", "transformers", "sentence_transformers", "peft", "accelerate", "numpy", "pyarrow", "scipy",
    "sklearn", "typer", "rich", "filelock", "jinja2", "yaml",
]  # fmt: skip


class Chained(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._left = list(paths)
        self._file: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        while self._file or self._left:
            self._file = self._file or self._left.pop(0).open("rb")
            if count := self._file.readinto(buffer):
                return count
            self._file.close()
            self._file = None
        return 0


def in_order(parts: list[dict], given: list[Path]) -> list[Path]:
    """The files in the order of the parts, told apart by their content: their names do not matter.

    Exits with a message that names each part that is missing or damaged.
    """
    unreadable = [str(path) for path in given if not path.is_file()]
    by_digest = {digest(path): path for path in given if path.is_file()}
    known = {part["sha256"] for part in parts}
    strange = [path for found, path in by_digest.items() if found not in known]
    faults = [f"{path}: no such file" for path in unreadable]
    for number, part in enumerate(parts, start=1):
        if part["sha256"] in by_digest:
            continue
        fault = f"part {number} of {len(parts)} ({part['name']}) is missing"
        for path in strange:
            if path.name == part["name"]:
                size = f"{path.stat().st_size} bytes, {part['bytes']} expected"
                fault = f"part {number} of {len(parts)} is damaged: {path} ({size}); send it again"
        faults.append(fault)
    names = {part["name"] for part in parts}
    faults += [f"{path}: no part of this bundle" for path in strange if path.name not in names]
    stop_at(faults)
    return [by_digest[part["sha256"]] for part in parts]


def unpack(files: list[Path], target: Path) -> dict:
    """Unpack into `target`, check every file, and return the manifest."""
    target.mkdir(parents=True, exist_ok=True)
    compressed = io.BufferedReader(Chained(files), 1 << 20)
    # Several streams one after another, which tarfile itself would not read on.
    with lzma.open(compressed) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        archive.extractall(target, filter="data")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    faults = []
    for name, facts in manifest["files"].items():
        path = target / name
        if not path.is_file() or digest(path) != facts["sha256"]:
            faults.append(f"{path}: not what was packed; is the disk full?")
    stop_at(faults)
    return manifest


def install(target: Path) -> None:
    """Install the wheels into `target`/site."""
    wheels = sorted(map(str, (target / "wheels").glob("*.whl")))
    site = target / "site"
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    if not wheels:
        return
    if sys.version_info[:2] != WHEELS_FOR:
        stop_at([f"the wheels are for Python {WHEELS_FOR}, this is {sys.version}: set PYTHON to another one"])
    # The bytecode of what is never imported would take seconds.
    options = ["--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), *wheels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        stop_at([f"pip could not install the wheels:\n{done.stderr}"])


def check_machine() -> None:
    """See that the packages are there that this machine has to bring."""
    missing = [name for name in MACHINE if importlib.util.find_spec(name) is None]
    stop_at(
        [f"{name}: this machine has no such package, and the bundle does not hold it" for name in missing]
    )


def digest(path: Path) -> str:
    """SHA-256, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stop_at(faults: list[str]) -> None:
    """Exit when there are any."""
    if faults:
        sys.exit("\n".join(faults))


def main(parts: list[dict], arguments: list[str]) -> None:
    """`arguments`: the folder to unpack into, and the files."""
    if len(arguments) < 2:
        sys.exit("usage: bash join.sh DEST PART...")
    began = time.perf_counter()
    target = Path(arguments[0]).resolve()
    unpack(in_order(parts, [Path(argument) for argument in arguments[1:]]), target)
    install(target)
    sys.path.insert(0, str(target / "site"))
    check_machine()
    path = ":".join(str(target / name) for name in ("site", "code/src", "code"))
    print(f"{target}: complete after {time.perf_counter() - began:.1f} s")
    print(f"export PYTHONPATH={path}")
