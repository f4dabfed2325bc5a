"""Pictures, archives and keys written as letters."""

import re

from revela.corpus.filters.base import Rule, View

_FEWEST = 64
_RUN = re.compile(
    rf"[A-Za-z0-9+/=]{{{_FEWEST},}}|(?:\\x[0-9a-fA-F]{{2}}){{16,}}|(?:\\u[0-9a-fA-F]{{4}}){{8,}}"
)
_HEX_LIST = re.compile(r"(?:0x[0-9a-fA-F]{1,16}[uUlL]*,\s*+){8,}")


class MaxEncodedShare(Rule):
    """Keeps documents in which encoded data holds at most `maximum` of the visible characters; every kind.

    Counted are runs of 64 and more base64 or hexadecimal digits, of 16 and more ``\\x`` and 8 and more
    ``\\u`` escapes, and lists of 8 and more hexadecimal numbers. Kinds of runs, lengths and 0.5 follow
    StarCoder2 (Lozhkov et al. 2024, arXiv 2402.19173), which also drops a file for one run above
    1024 characters: a real module with an icon in it is kept here.
    """

    reason = "encoded_data"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        encoded = 0
        long = [word for word in view.words if len(word) >= _FEWEST]
        if long:
            encoded += sum(len(found.group()) for word in long for found in _RUN.finditer(word))
        if view.text.count("0x") >= 8:
            encoded += sum(len("".join(found.group().split())) for found in _HEX_LIST.finditer(view.text))
        if encoded <= self.maximum * view.visible:
            return None
        return f"encoded share {encoded / view.visible:.2f}, at most {self.maximum:g} wanted"
