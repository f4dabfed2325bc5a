"""Where the first part of a chunk, its query, ends."""

from __future__ import annotations


def query_end(text: str, offsets: list[tuple[int, int]], ratio: float) -> int | None:
    """The token boundary nearest to `ratio` of the tokens, with visible text on both sides.

    A character that is spread over several tokens is never cut.

    Args:
        text: the chunk.
        offsets: (start, end) characters of its tokens.
        ratio: share of the tokens that belongs to the query, between 0 and 1.

    Returns:
        a character index with ``text[:index]`` and ``text[index:]`` both visible, or None.
    """
    wanted = round(ratio * len(offsets))
    for token in sorted(range(1, len(offsets)), key=lambda token: abs(token - wanted)):
        position = offsets[token - 1][1]
        inside_character = position > offsets[token][0]
        if not inside_character and text[:position].strip() and text[position:].strip():
            return position
    return None
