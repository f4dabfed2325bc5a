"""The retriever that is saved is the retriever that was trained."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.modeling.retriever import Retriever
from revela.modeling.untrained import build_retriever
from revela.settings import RetrieverSource

LONG = "the quick brown fox jumps over the lazy dog " * 30
TEXTS = ["def read(path): return open(path).read()", "naïve café 😀", "  indented\n\n", LONG]

ENCODE = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
texts = json.loads(sys.argv[2])
print(json.dumps([model.encode_query(texts).tolist(), model.encode_document(texts).tolist()]))
"""


def embed(retriever: Retriever, kind: str) -> np.ndarray:
    with torch.no_grad():
        return retriever(**retriever.tokenize(TEXTS, kind)).numpy()


@pytest.fixture
def trained(backbone_folder):
    """A retriever whose adapters are not zero any more."""
    retriever = Retriever(backbone_folder / "retriever")
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    retriever.wrap_transformer(lambda model: get_peft_model(model, lora))
    return retriever.eval()


def test_a_fresh_process_gives_the_embeddings_that_training_used(trained, tmp_path):
    trained.save(tmp_path / "saved")
    result = subprocess.run(
        [sys.executable, "-c", ENCODE, str(tmp_path / "saved"), json.dumps(TEXTS)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    queries, documents = json.loads(result.stdout.splitlines()[-1])
    np.testing.assert_allclose(queries, embed(trained, "query"), atol=2e-6)
    np.testing.assert_allclose(documents, embed(trained, "document"), atol=2e-6)
    assert np.abs(np.array(queries) - np.array(documents)).max() > 1e-3, (
        "query and passage prefixes must differ"
    )


def test_saving_leaves_the_training_model_as_it_was(trained, tmp_path):
    before = embed(trained, "query")
    trained.save(tmp_path / "saved")
    np.testing.assert_array_equal(embed(trained, "query"), before)
    assert any("lora" in name for name, _ in trained.named_parameters())


def test_what_was_encoded_before_saving_does_not_change_the_bytes(trained, tmp_path):
    trained.save(tmp_path / "fresh")
    embed(trained, "query")
    trained.save(tmp_path / "used")
    assert sha256_tree(tmp_path / "fresh") == sha256_tree(tmp_path / "used")


def test_the_saved_folder_has_no_adapter_left_to_look_for(trained, tmp_path):
    trained.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").rglob("*")}
    assert {"modules.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any("adapter" in name for name in names)


@pytest.mark.parametrize(("kind", "prefix"), [("query", "query: "), ("document", "passage: ")])
def test_every_text_is_prefix_text_eos_truncated_or_not(backbone_folder, kind, prefix):
    retriever = Retriever(backbone_folder / "retriever")
    tokenizer = AutoTokenizer.from_pretrained(backbone_folder / "lm")
    features = retriever.tokenize(TEXTS, kind)
    for text, ids, mask in zip(TEXTS, features["input_ids"], features["attention_mask"], strict=True):
        found = ids[mask.bool()].tolist()
        whole = tokenizer(prefix + text, add_special_tokens=False).input_ids
        assert found == [*whole[:63], tokenizer.eos_token_id]


def test_embeddings_are_float32_of_unit_length_whatever_the_weights_are(backbone_folder):
    retriever = Retriever(backbone_folder / "retriever", dtype=torch.bfloat16)
    found = embed(retriever, "query")
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_a_chat_template_does_not_get_into_the_text(causal_lm_folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(causal_lm_folder)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    folder = tmp_path / "chat"
    folder.mkdir()
    for file in causal_lm_folder.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer.json").unlink()
    tokenizer.save_pretrained(folder)
    retriever = build_retriever(folder, RetrieverSource(kind="folder", name=str(folder)))
    ids = retriever[0].preprocess(["hello"], prompt="query: ")["input_ids"][0].tolist()
    assert tokenizer.decode(ids) == "query: hello<eos>"


def test_pooling_at_eos_needs_an_eos_token(causal_lm_folder, tmp_path):
    for file in causal_lm_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(RevelaError, match="no eos token"):
        build_retriever(tmp_path, RetrieverSource(kind="folder", name=str(tmp_path)))
    mean = build_retriever(tmp_path, RetrieverSource(kind="folder", name=str(tmp_path), pooling="mean"))
    assert mean.encode("text").shape == (32,)


def test_training_may_read_less_of_a_text_than_the_model_that_is_saved(backbone_folder, tmp_path):
    whole, short = (Retriever(backbone_folder / "retriever", max_tokens=most) for most in (None, 8))
    text = "def area(radius): return 3.14159 * radius * radius  # of a circle"
    assert whole.tokenize([text], "document")["input_ids"].shape[1] > 8
    found = short.tokenize([text, "x"], "document")
    assert found["input_ids"].shape[1] == 8 and found["lengths"][0] == 8
    assert found["input_ids"][0, -1] == whole.tokenize([text], "document")["input_ids"][0, -1], "<eos>"
    short.save(tmp_path / "saved")
    assert SentenceTransformer(str(tmp_path / "saved")).max_seq_length == whole.encoder.max_seq_length
