"""From ``<row …/>`` elements of a StackExchange dump to a document."""

from __future__ import annotations

import json
import re
from xml.parsers import expat

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.text import UnreadableError, malformed
from revela.corpus.sources.web_page import TooDeepError, text_of_fragment

_TAG = re.compile(r"[^<>|]+")
_BEGINS = 60
"""Characters by which an answer is found again in its thread."""


def document_of_posts(record: Record, site: str) -> Document | Malformed:
    """The document of a post, or of a question and the answers that follow it, one row a line.

    Its text is the posts' one after the other, an empty line between; the title is the question's. A
    damaged answer makes the whole thread malformed: left out, it would be missing without a trace.
    """
    if record.fault is not None:
        return malformed(record, *record.fault)
    try:
        posts = [_attributes(row) for row in record.payload.split(b"\n") if row.strip()]
        texts = [_body(post) for post in posts]
        first, answers = posts[0], posts[1:]
        metadata = {
            "score": _number(first, "Score"),
            "tags": _TAG.findall(first.get("Tags", "")),
            **({"question": _number(first, "ParentId")} if "ParentId" in first else {}),
            **(
                {
                    "answers": [
                        _answer(post, first, body) for post, body in zip(answers, texts[1:], strict=True)
                    ]
                }
                if answers
                else {}
            ),
        }
        id = _number(first, "Id")
    except UnreadableError as fault:
        return malformed(record, fault.reason, fault.what)
    text = "\n\n".join(filter(None, texts))
    if not text:
        return malformed(record, "empty_text", "no Body with text")
    return Document(
        id=f"{site}/{id}",
        title=first.get("Title", ""),
        text=text,
        source=record.source,
        kind="text",
        metadata=json.dumps(metadata),
    )


def _answer(post: dict[str, str], question: dict[str, str], text: str) -> dict[str, object]:
    """What is known of an answer; `begins` tells where in the thread's text it stands."""
    accepted = {"accepted": True} if question.get("AcceptedAnswerId") == post.get("Id") else {}
    begins = {"begins": text[:_BEGINS]} if text else {}
    return {"id": _number(post, "Id"), "score": _number(post, "Score"), **accepted, **begins}


def _body(post: dict[str, str]) -> str:
    try:
        return text_of_fragment(post.get("Body", "")).strip()
    except TooDeepError as fault:
        raise UnreadableError("bad_html", f"post {post.get('Id')}: {fault}") from None


def _number(post: dict[str, str], name: str) -> int:
    """An attribute as a whole number; a score that is not given is 0.

    Raises:
        UnreadableError: ``wrong_type``, ``missing_field``.
    """
    if name not in post and name != "Score":
        raise UnreadableError("missing_field", f"a row without {name}")
    try:
        return int(post.get(name, 0))
    except ValueError:
        raise UnreadableError("wrong_type", f"{name} is no whole number") from None


def _attributes(row: bytes) -> dict[str, str]:
    """Attributes of one element. There is no document type, so that only XML's own entities are known.

    Raises:
        UnreadableError: ``bad_xml``.
    """
    found: dict[str, str] = {}
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda _, attributes: found.update(attributes)
    try:
        parser.Parse(row, True)
    except expat.ExpatError as fault:
        beginning = row.strip()[:40].decode(errors="replace")
        raise UnreadableError("bad_xml", f"{fault}, in the row that begins {beginning!r}") from None
    return found
