"""From an HTML page to its main text, with code blocks as they stand and navigation left out."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

# Extraction looks at the ancestors of every element: 100 000 nested ones take minutes. Browsers flatten
# what is deeper than 512 (Blink's and WebKit's maximum depth of a document).
_DEEPEST = 1000

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
# Elements without an end tag, or whose end tag may be left out.
_NOT_NESTED = re.compile(
    r"(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
    r"|p|li|dt|dd|tr|td|th|thead|tbody|tfoot|colgroup|option|optgroup|body|html|head|rt|rp)",
    re.IGNORECASE,
)


def text_of_page(html: str) -> tuple[str, str]:
    """(title, main text) of a page; the title is empty where it has none.

    Navigation, headers, footers and side bars are left out by resiliparse's rules for main content,
    which go by element names and common class names. Where they leave nothing, the whole page's text
    is taken.

    Raises:
        ValueError: elements are nested more than 1000 deep.
    """
    check_depth(html)
    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, preserve_formatting=True, main_content=True)
    if not text.strip():
        text = extract_plain_text(tree, preserve_formatting=True)
    return " ".join((tree.title or "").split()), text


def text_of_fragment(html: str) -> str:
    """Text of a piece of HTML that is all content, such as the body of a post.

    Raises:
        ValueError: elements are nested more than 1000 deep.
    """
    check_depth(html)
    return extract_plain_text(html, preserve_formatting=True)


def check_depth(html: str) -> None:
    """Raise :class:`ValueError` where elements are nested more than 1000 deep.

    Tags are counted without parsing, so that end tags left out by mistake count as nesting.
    """
    depth = 0
    for closing, name in _TAG.findall(html):
        if _NOT_NESTED.fullmatch(name):
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        if depth > _DEEPEST:
            raise ValueError(f"elements nested more than {_DEEPEST} deep")
