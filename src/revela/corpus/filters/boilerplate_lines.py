"""Lines that every page of a site carries: menus, cookie banners, footers."""

from __future__ import annotations

import re

from revela.corpus.filters.base import Cleaner
from revela.corpus.schema import PROSE_KINDS, Document

# Whole short lines, not phrases within sentences: C4 removes every line with the word Javascript or "use
# cookies" (arXiv 1910.10683, section 2.2, and its code), which would gut manuals of web frameworks.
_NOTICE = re.compile(
    r"""(?:please\ )?(?:enable|turn\ on|activate)\ javascript\b.*
    |(?:you\ (?:must|need\ to)\ (?:have|enable)\ )?javascript\ (?:is|must\ be|seems\ to\ be|has\ been)
        \ (?:currently\ )?
        (?:disabled|enabled|required|turned\ off)\b.*
    |your\ browser\ does\ not\ support\ javascript\b.*
    |(?:we|(?:this|our)\ (?:web\ ?)?site)\ (?:also\ )?uses?\ cookies\b.*
    |(?:by\ (?:continuing|using|browsing)\b.{0,60}\b)(?:use\ of\ cookies|cookie\ policy|our\ cookies).*
    |(?:i\ )?(?:accept|reject|allow|manage)\ (?:all\ )?cookies?(?:\ (?:settings|preferences))?[.!]?
    |cookie\ (?:settings|preferences|policy|notice)
    |(?:copyright\ |©\ |\(c\)\ )?.{0,80}\ball\ rights\ reserved[.!]?(?:\ (?:privacy|terms|contact).*)?
    |skip\ to\ (?:the\ )?(?:main\ )?(?:content|navigation)
    |(?:back|return)\ to\ (?:the\ )?top
    |jump\ to\ (?:navigation|search|content)
    |(?:subscribe|sign\ up)\ (?:to|for)\ (?:our\ )?newsletter.{0,20}
    |share\ (?:this|on)\ (?:page|article|post|facebook|twitter|linkedin).{0,20}
    |prev(?:ious)?\ up.{0,120}home(?:\ ?next)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
# One of these stands in every notice; to look for them is cheap.
_TRIGGERS = (
    "javascript", "cookie", "rights reserved", "skip to", "to top", "to the top", "jump to", "newsletter",
    "share ", "prev",
)  # fmt: skip
_LONGEST = 200

_ITEMS = (
    "home", "index", "modules", "up", "next", "prev", "previous", "contents", "table of contents", "about",
    "about us", "contact", "contact us", "log in", "login", "log out", "logout", "sign in", "sign up",
    "register", "sitemap", "site map", "search", "menu", "faq", "privacy",
    "privacy policy", "terms", "terms of use", "terms of service", "legal", "legal notice", "imprint",
    "feedback", "careers", "jobs", "press", "help", "support", "download", "news", "blog",
    "top", "share", "print",
)  # fmt: skip
_SEPARATORS = "|•·»«\u2039\u203a/←→"
_ITEM = re.compile("|".join(sorted(_ITEMS, key=len, reverse=True)))
_MENU_LINE = re.compile(rf"(?:(?:{_ITEM.pattern})(?!\w)|[\s{_SEPARATORS}])+")
# The first word of every menu line, so that most lines are done with at once.
_FIRST_WORDS = frozenset({item.split()[0] for item in _ITEMS} | set(_SEPARATORS))
_FEWEST_ITEMS = 3


class BoilerplateLines(Cleaner):
    """Removes lines of prose that are a menu, a cookie or JavaScript notice, or a copyright footer.

    A menu is a run of lines made of words like home, next, contact and separators alone, with three
    such words or more. Only lines of at most 200 characters are looked at; code is left alone.
    """

    name = "boilerplate_lines"

    def __call__(self, document: Document) -> tuple[str, int]:
        if document.kind not in PROSE_KINDS:
            return document.text, 0
        lines = document.text.split("\n")
        removed = _notices(lines, document.text.lower()) | _menus(lines)
        if not removed:
            return document.text, 0
        return "\n".join(line for row, line in enumerate(lines) if row not in removed), len(removed)


def _notices(lines: list[str], text: str) -> set[int]:
    """Numbers of the lines that are a notice as a whole; `text` is all of them in lower case."""
    triggers = [trigger for trigger in _TRIGGERS if trigger in text]
    if not triggers:
        return set()
    return {
        row
        for row, line in enumerate(lines)
        if len(line) <= _LONGEST and _has(line, triggers) and _NOTICE.fullmatch(" ".join(line.split()))
    }


def _has(line: str, triggers: list[str]) -> bool:
    lowered = line.lower()
    return any(trigger in lowered for trigger in triggers)


def _menus(lines: list[str]) -> set[int]:
    """Numbers of the lines in runs of menu lines with at least three items; blank lines do not end a run."""
    found: set[int] = set()
    run: list[int] = []
    items = 0
    for row, line in enumerate([*lines, "end"]):
        first = line.split(None, 1)[:1]
        if not first:
            continue
        if first[0].lower() in _FIRST_WORDS and len(line) <= _LONGEST and _MENU_LINE.fullmatch(line.lower()):
            run.append(row)
            items += len(_ITEM.findall(line.lower()))
        elif run:
            if items >= _FEWEST_ITEMS:
                found.update(run)
            run, items = [], 0
    return found
