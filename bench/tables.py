"""Where a small benchmark's table goes."""

from __future__ import annotations

from pathlib import Path

from revela.files import atomic_write_text


def publish(text: str, out: Path, name: str) -> None:
    """Write the table to ``out/name.md`` and print it."""
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / f"{name}.md", text)
    print(text, flush=True)
