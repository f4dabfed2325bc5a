"""Small real corpora on disk."""

from __future__ import annotations

from pathlib import Path

from revela.corpus.schema import Document
from revela.settings import CorpusSettings, FilterSettings


def prose(words: int, start: int = 0) -> str:
    """So many different words on lines of eight; another `start` gives another text."""
    names = [_word(number) for number in range(start, start + words)]
    return "\n".join(" ".join(names[line : line + 8]) for line in range(0, words, 8)) + "\n"


def _word(number: int) -> str:
    """Another word of letters for every number below 26**3."""
    return "w" + "".join(chr(97 + number // 26**place % 26) for place in range(3))


def document(text: str, id: str = "notes/a.txt", kind: str = "text") -> Document:
    return Document(id=id, title="", text=text, source="folder:notes", kind=kind)


# Nothing is dropped and nothing is changed.
ALL_OFF = FilterSettings(
    **{
        name: "keep"
        if name in ("emails", "secrets", "ip_addresses")
        else False
        if field.annotation is bool
        else None
        for name, field in FilterSettings.model_fields.items()
    }
)


def corpus_of(folder: Path, filters: FilterSettings = ALL_OFF, **rest: object) -> CorpusSettings:
    """Settings for one folder, all rules off unless said."""
    return CorpusSettings(sources=[{"kind": "folder", "path": folder}], filters=filters, **rest)
