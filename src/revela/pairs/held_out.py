"""Which documents are kept from training, so that there is something to validate on."""

from __future__ import annotations

import hashlib


def is_held_out(document_id: str, share: float, seed: int) -> bool:
    """Whether a document belongs to the share that is never trained on; all pairs of a document go together.

    A matter of its id and the seed alone: a corpus that grows keeps what it held out.
    """
    draw = hashlib.blake2b(f"{seed} {document_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(draw) < share * 2**64
