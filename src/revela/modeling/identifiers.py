"""Identifiers taken apart before a tokenizer reads them: parseXml becomes two words that it knows.

A vocabulary of lower-case words loses the only mark between an identifier's words: `parsexml` is then five
pieces that mean nothing. The boundaries become spaces in the tokenizer's own normalisation, so that the model
is still an ordinary sentence-transformers folder, whose users need no code of ours.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Replace, Sequence
from transformers import AutoTokenizer

from revela.errors import RevelaError
from revela.files import read_json, write_json
from revela.modeling.tokenizer_files import READS_ITS_FILE

BOUNDARY = r"(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})"
"""Between get|Name and HTTP|Response, where :func:`revela.words.subwords` has one, too."""


def split_identifiers(folder: Path) -> None:
    """Let the tokenizer of a sentence-transformers folder split identifiers, in place.

    Raises:
        RevelaError: no tokenizer.json in it, so that there is no normalisation to add to.
    """
    found = sorted(folder.rglob("tokenizer.json"))
    if not found:
        raise RevelaError(
            "training.split_identifiers: the retriever's tokenizer has no tokenizer.json to write the rule "
            "into. Set training.split_identifiers: false, or choose an encoder with a fast tokenizer."
        )
    for path in found:
        tokenizer = Tokenizer.from_file(str(path))
        rule = Replace(Regex(BOUNDARY), " ")
        before = tokenizer.normalizer
        tokenizer.normalizer = rule if before is None else Sequence([rule, before])
        tokenizer.save(str(path))
        config = path.with_name("tokenizer_config.json")
        # Which a class knows of itself: not every model takes `token_type_ids`.
        inputs = AutoTokenizer.from_pretrained(path.parent, local_files_only=True).model_input_names
        said = {**read_json(config), "tokenizer_class": READS_ITS_FILE, "model_input_names": inputs}
        write_json(config, said)
