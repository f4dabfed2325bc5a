"""Definitions with what is said of them, in any language that chunking knows."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from revela.chunks.languages import GRAMMARS, Grammar, parsed_best, touching
from revela.corpus.schema import Document
from revela.pairs.python_source import DocumentedNode, dedented, definitions, parse_python

_MARKS = re.compile(r"(?m)^[ \t]*(?:/\*[*!]*|\*+/|\*+|//[/!]*|#+!?)?[ \t]?|[ \t]*\*+/[ \t]*$")
_BRIEF = re.compile(r"(?m)^[ \t]*[@\\](?:brief|details|description|summary)\b[ \t]*")
_TAG = re.compile(r"(?m)^\s*(?:@\w+|\\\w+|:param|Args:|Returns:|# )")
# HTML's elements are written small; types in angle brackets (``List<String>``) are text.
_MARKUP = re.compile(r"\{@\w+\s+([^}]*)\}|</?[a-z][a-z0-9]*(?:\s[^<>\n]*)?/?>")
_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_BETWEEN = frozenset({"attribute_item", "decorator"})
# The definition that they hold has the name.
_WRAPPERS = frozenset({"export_statement", "template_declaration", "type_declaration"})


@dataclass(frozen=True)
class Commented:
    """A definition with the comment that stands directly above it.

    Attributes:
        name: as the code has it; empty where the grammar names none.
        comment: its text without comment marks.
        code: the definition with its attributes, dedented.
        whole: the comment as it stands and the code, dedented.
    """

    name: str
    comment: str
    code: str
    whole: str


@functools.lru_cache(maxsize=1)
def python_of(text: str) -> tuple[ast.Module, list[str]] | None:
    """Tree and lines; None where it is not Python of this interpreter's version. Several kinds ask for it."""
    try:
        return parse_python(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python_definitions(text: str) -> Iterator[tuple[str, DocumentedNode, list[str]]]:
    """Dotted name, node, and the source's lines; nothing where it is not Python of this interpreter."""
    parsed = python_of(text)
    if parsed is not None:
        tree, lines = parsed
        for name, node in definitions(tree):
            yield name, node, lines


def commented_definitions(document: Document) -> Iterator[Commented]:
    """The definitions of a document of another language than Python that have a comment above them."""
    if document.kind not in GRAMMARS:
        return
    content = document.text.encode("utf-8", "surrogatepass")
    parsed = parsed_best(content, document.kind)
    if parsed is None:
        return
    found = sorted(_below_comments(*parsed), key=lambda pair: pair[1].start_byte)
    yield from (_commented(above, definition, content) for above, definition in found)


def comment_text(source: str) -> str:
    """A comment without its marks, tags and markup.

    >>> comment_text("/** Opens a {@link File}.\\n  * @param name of it */")
    'Opens a File.'
    """
    bare = _BRIEF.sub("", inspect.cleandoc(_MARKS.sub("", source)).strip())
    return _MARKUP.sub(lambda match: match[1] or "", _TAG.split(bare, maxsplit=1)[0]).strip()


def _below_comments(root: Node, grammar: Grammar) -> Iterator[tuple[list[Node], Node]]:
    """Comments and the definition below them, level by level."""
    stack = [root]
    while stack:
        above: list[Node] = []
        for child in stack.pop().named_children:
            if child.type in _COMMENTS:
                if above and touching(above[-1], child):
                    above.append(child)
                else:
                    above = [child] if _alone(child) else []
            elif child.type in _BETWEEN:
                continue  # stands between a comment and what it is about
            else:
                if child.type in grammar.blocks and above and _reaches(above[-1], child):
                    yield above, child
                above = []
                if child.type in grammar.containers:
                    stack.append(child)


def _alone(comment: Node) -> bool:
    """Whether no code stands before it on its line: such a comment is about that code."""
    before = comment.prev_sibling
    return before is None or before.end_point.row < comment.start_point.row


def _reaches(comment: Node, definition: Node) -> bool:
    """Whether nothing but attributes stands between the two, and no blank line."""
    between: Node | None = comment
    while between is not None and between != definition:
        following = between.next_named_sibling
        if following is None or not touching(between, following):
            return False
        between = following
    return between is not None


def _commented(above: list[Node], definition: Node, content: bytes) -> Commented:
    first, last, end = above[0].start_byte, above[-1].end_byte, definition.end_byte
    name = _name(definition)
    named = "" if name is None else content[name.start_byte : name.end_byte].decode(errors="replace")
    return Commented(
        name=named.partition("(")[0].strip(),
        comment=comment_text(content[first:last].decode(errors="replace")),
        code=dedented(content[last:end].decode(errors="replace").lstrip("\r\n").split("\n")),
        whole=dedented(
            content[content.rfind(b"\n", 0, first) + 1 : end].decode(errors="replace").split("\n")
        ),
    )


def _name(definition: Node) -> Node | None:
    held: Node | None = definition
    while held is not None and held.type in _WRAPPERS:
        held = held.named_children[-1] if held.named_children else None
    return held and (held.child_by_field_name("name") or held.child_by_field_name("declarator"))
