"""A YAML file as checked settings; what is wrong with it is told by file and key, everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from revela.errors import RevelaError

FILE = "file"
"""What a model's validators find in their context: the name of the file that is read."""

Model = TypeVar("Model", bound=BaseModel)


def checked(path: Path, model: type[Model]) -> Model:
    """The content of a YAML file as `model`.

    Raises:
        RevelaError: the file is missing, is not YAML, is no mapping, or has faults; every fault is listed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RevelaError(f"{path}: no such file. Run from the project's root, or pass --params.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise RevelaError(f"{path}: not valid YAML: {fault}") from None
    if not isinstance(raw, dict):
        raise RevelaError(f"{path}: expected a mapping of sections, found {type(raw).__name__}.")
    try:
        return model.model_validate(raw, context={FILE: str(path)})
    except ValidationError as fault:
        lines = [_describe(error) for error in fault.errors()]
        raise RevelaError(
            f"{path}: {len(lines)} fault(s)\n" + "\n".join(f"  {line}" for line in lines)
        ) from None


def _describe(error: Any) -> str:
    """One pydantic error as `key: what is wrong (found …)`."""
    # A tag in parentheses says which form of a value was tried, and is no key.
    parts = [str(part) for part in error["loc"] if not str(part).startswith("(")]
    key = ".".join(parts) or "(top level)"
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key (found {error['input']!r}); check the spelling or remove it"
    if kind == "missing":
        return f"{key}: required, but missing"
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}"
    return f"{key}: {error['msg']} (found {error['input']!r})"
