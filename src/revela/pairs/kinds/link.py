"""Text of a link, and the heading that it stands under -> the page of the corpus that it points to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from revela.corpus.schema import Document
from revela.pairs.pair import Found, one_line

_MARKDOWN = re.compile(r"(?<!!)\[([^\[\]\n]+)\]\(([^()\s#?]+)(?:#[^()\s]*)?(?:\s+\"[^\"\n]*\")?\)")
_RST = re.compile(
    r":doc:`([^`<]{1,300}?)\s*<([^`>]+)>`|`([^`<\n]{1,300}?)\s*<([^`>\s:]+\.(?:rst|txt|html?|md))>`_"
)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def pairs_of(document: Document) -> Iterator[Found]:
    """Links in Markdown and reStructuredText to other files, as ids of documents; not all may exist."""
    if document.kind == "markdown":
        found = [(match[1], match[2]) for match in _MARKDOWN.finditer(document.text)]
    elif document.kind == "rst":
        found = [(match[1] or match[3], match[2] or match[4]) for match in _RST.finditer(document.text)]
    else:
        return
    # A file's title is its path below the source; what its id has before that is the source's name.
    root = document.id.removesuffix(document.title)
    root = "" if root == document.id else root
    for text, target in found:
        if not _ABSOLUTE.match(target):
            page = resolved(unquote(target), document.id, root)
            yield Found(one_line(text.strip("*_` ")), page, points_to=True)


def resolved(target: str, document_id: str, root: str) -> str:
    """A link's target as the id of a document, which is its path below `root`.

    >>> resolved("../setup.md", "docs/a/b.md", "docs/"), resolved("/api", "docs/a/b.rst", "docs/")
    ('docs/setup.md', 'docs/api.rst')
    """
    folder = root if target.startswith("/") else posixpath.dirname(document_id)
    path = posixpath.normpath(posixpath.join(folder, target.lstrip("/")))
    suffix = posixpath.splitext(document_id)[1]
    return path if posixpath.splitext(path)[1] else f"{path}{suffix}"
