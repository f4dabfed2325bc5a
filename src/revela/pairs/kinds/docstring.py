"""Docstring -> the code that it documents, in Python by its syntax tree, elsewhere by tree-sitter.

The docstring is a query that somebody wrote without thinking of searching. Its code is shown without it: an
answer that holds the question teaches nothing. The kind ``definition`` shows code with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from revela.corpus.schema import Document
from revela.pairs.code import commented_definitions, python_definitions
from revela.pairs.pair import Found, squash
from revela.pairs.python_source import first_sentence, source_without_docstring


def pairs_of(document: Document) -> Iterator[Found]:
    """First sentence of a docstring, or of the comment above a definition -> the code without it."""
    if document.kind != "python":
        for found in commented_definitions(document):
            query = first_sentence(found.comment)
            if query is not None and squash(query) not in squash(found.code):
                yield Found(query, found.code)
        return
    for _, node, lines in python_definitions(document.text):
        query = first_sentence(ast.get_docstring(node, clean=True) or "")
        code = source_without_docstring(node, lines) if query is not None else None
        # Repeated in a comment or an error message: the answer would be given away.
        if query is not None and code is not None and squash(query) not in squash(code):
            yield Found(query, code)
