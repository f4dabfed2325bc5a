"""E-mail addresses."""

import re

# Searched from the sign outwards, because a search from the left has to try every word of the text.
_DOMAIN = re.compile(r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![\w@-])")
_LOCAL = re.compile(r"(?<![\w.%+-])[A-Za-z0-9][\w.%+-]{0,63}\Z")
_LONGEST_LOCAL = 64  # RFC 5321, section 4.5.3.1
# The user of a URL is an account of a service.
_IN_URL = re.compile(r"://[^\s/]*\Z")
# Reserved for examples, RFC 2606.
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost)$", re.IGNORECASE
)


def find_emails(text: str) -> list[tuple[int, int]]:
    """Spans of addresses, angle brackets around them included.

    Left out are domains reserved for examples, users in URLs and ``git@``, which is nobody.
    """
    spans = []
    for domain in _DOMAIN.finditer(text):
        sign = domain.start()
        local = _LOCAL.search(text, max(0, sign - _LONGEST_LOCAL - 1), sign)
        if local is None or local.group() == "git" or _RESERVED.search(domain.group(1)):
            continue
        start, end = local.start(), domain.end()
        if _IN_URL.search(text, max(0, start - 200), start):
            continue
        if text[start - 1 : start] == "<" and text[end : end + 1] == ">":
            start, end = start - 1, end + 1
        spans.append((start, end))
    return spans
