"""Another description of a definition -> the code as it stands, docstring included.

An index holds code with its docstrings. A retriever that was taught on code without them alone loses on it:
after 40 steps nDCG@10 on CosQA fell by 0.015 (docs/experiments.md).
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator

from revela.corpus.schema import Document
from revela.pairs.code import commented_definitions, python_definitions
from revela.pairs.pair import Found, one_line, shorten, squash
from revela.pairs.python_source import sentences_of, source_of, usable_query
from revela.words import subwords

_NAME_WORDS = 3
_COMMENT = re.compile(r"(?m)^[ \t]*(?:#[ \t]|//[/!]*)[ \t]*(\S.*)$")
_CODE_IN_COMMENT = re.compile(r"[={}();]|->|TODO|FIXME|type:|noqa|pragma|pylint")


def pairs_of(document: Document) -> Iterator[Found]:
    """Name in words, a comment inside, or the second sentence of the docstring -> the whole definition.

    The query's own words are taken out of the code where they stand as a sentence or a comment; a name stays.
    """
    if document.kind != "python":
        for found in commented_definitions(document):
            yield from _described(found.name, sentences_of(found.comment), _comments(found.code), found.whole)
        return
    for name, node, lines in python_definitions(document.text):
        docstring = ast.get_docstring(node, clean=True)
        if docstring:
            code = source_of(node, lines)
            yield from _described(name.rpartition(".")[2], sentences_of(docstring), _comments(code), code)


def _described(name: str, sentences: list[str], comments: list[str], code: str) -> Iterator[Found]:
    """The one of what describes a definition that its own text draws."""
    code = shorten(code)  # what stands further below describes nothing of the passage
    queries = [(one, _without(one, code)) for one in [*sentences[1:2], *comments] if usable_query(one)]
    # Where a sentence is not found as it was read (escapes, markup), it could not be taken out.
    usable = [(query, rest) for query, rest in queries if rest != code and squash(query) not in squash(rest)]
    words = subwords(name)
    if len(words) >= _NAME_WORDS:
        usable.append((" ".join(words), code))
    if usable:
        draw = hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        yield Found(*usable[int.from_bytes(draw) % len(usable)])


def _comments(code: str) -> list[str]:
    """Lines that are comments in words, the first two."""
    found = [one_line(match[1]) for match in _COMMENT.finditer(code)]
    return [one for one in found if not _CODE_IN_COMMENT.search(one)][:2]


def _without(sentence: str, code: str) -> str:
    """The code without a sentence of it, which may run over several lines there."""
    pattern = r"\s+(?:(?:#+|//[/!]*|\*+)\s*)?".join(re.escape(word) for word in sentence.split())
    return re.sub(rf"[ \t]*(?:#+|//[/!]*)?[ \t]*{pattern}", "", code, count=1).strip("\n")
