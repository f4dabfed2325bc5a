"""From an HTML page to its main text, with code blocks as they stand and navigation left out."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

# Extraction looks at the ancestors of every element: 100 000 nested ones take minutes. Browsers flatten
# what is deeper than 512 (Blink's and WebKit's maximum depth of a document).
_DEEPEST = 1000

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([A-Za-z0-9_-]+)", re.IGNORECASE)
# Elements without an end tag, or whose end tag may be left out.
_NOT_NESTED = re.compile(
    r"(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
    r"|p|li|dt|dd|tr|td|th|thead|tbody|tfoot|colgroup|option|optgroup|body|html|head|rt|rp)",
    re.IGNORECASE,
)


# What is on a page beside its content, by HTML's own names for it, ARIA's roles, and the class names of
# Sphinx, MkDocs, Docusaurus, mdBook, rustdoc and Bootstrap. resiliparse's own `main_content` is not used:
# it leaves out every unordered list (2.0.1).
_BESIDE = [
    *("nav", "aside", "footer", "body > header", "dialog", "button", "form", "template"),
    *("[role=navigation]", "[role=banner]", "[role=contentinfo]", "[role=search]", "[role=complementary]"),
    *(".sidebar", ".sphinxsidebar", ".related", ".navbar", ".breadcrumb", ".breadcrumbs", ".pagination"),
    *(".footer", "#footer", ".headerlink", ".hash-link", ".skip-link", ".toc-backref", ".toctree-wrapper"),
    *("#mdbook-help-container", "#help-container", "#menu-bar", ".cookie-banner", "#cookie-banner"),
]


class TooDeepError(Exception):
    """Elements are nested so deep that extracting their text would take minutes."""


def declared_encoding(raw: bytes) -> str | None:
    """The encoding that a page's own ``<meta charset>`` names, as Python calls it.

    Looked for where browsers look (HTML standard, 13.2.3.2): in the first 1024 bytes.
    """
    found = _CHARSET.search(raw, 0, 1024)
    return map_encoding_to_html5(found[1].decode("ascii"), fallback_utf8=False) if found else None


def text_of_page(html: str) -> tuple[str, str]:
    """(title, main text) of a page; the title is empty where it has none.

    The main text is that of the page's element `main` where it has one, else of the whole page; of
    either without navigation, side bars, footers and the like.

    Raises:
        TooDeepError: elements are nested more than 1000 deep.
    """
    check_depth(html)
    tree = HTMLTree.parse(html)
    assert tree.document is not None  # what was parsed has one
    main = tree.document.query_selector("main, [role=main]")
    content = tree if main is None else main.outer_html
    text = extract_plain_text(content, preserve_formatting=True, skip_elements=_BESIDE)
    return " ".join((tree.title or "").split()), text


def text_of_fragment(html: str) -> str:
    """Text of a piece of HTML that is all content, such as the body of a post.

    Raises:
        TooDeepError: elements are nested more than 1000 deep.
    """
    check_depth(html)
    return extract_plain_text(html, preserve_formatting=True)


def check_depth(html: str) -> None:
    """Raise :class:`TooDeepError` where elements are nested more than 1000 deep.

    Tags are counted without parsing, so that end tags left out by mistake count as nesting.
    """
    depth = 0
    for closing, name in _TAG.findall(html):
        if _NOT_NESTED.fullmatch(name):
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        if depth > _DEEPEST:
            raise TooDeepError(f"elements nested more than {_DEEPEST} deep")
