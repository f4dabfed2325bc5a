"""Encoders from their folders, and which of them share a transformer."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
from transformers import T5Config, T5EncoderModel

from revela.errors import RevelaError
from revela.evaluation.loading import by_transformer, encoder_digest, load_encoder


def test_more_tokens_than_positions_is_refused(encoder_dir: Path):
    with pytest.raises(RevelaError, match=r"evaluate\.max_tokens is 129, but .* has only 128 positions"):
        load_encoder(encoder_dir, max_tokens=129, device="cpu")


def saying(encoder_dir: Path, folder: Path, **lengths: int | None) -> Path:
    """The encoder with other lengths: `own`, of the tokenizer and of the transformer's positions."""
    shutil.copytree(encoder_dir, folder)
    for file, key, value in (
        ("sentence_bert_config.json", "max_seq_length", lengths.get("own")),
        ("tokenizer_config.json", "model_max_length", lengths.get("tokenizer")),
        ("config.json", "max_position_embeddings", lengths.get("positions")),
    ):
        content = json.loads((folder / file).read_text())
        content[key] = value
        if value is None:
            del content[key]
        (folder / file).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("lengths", "read"),
    [
        ({"own": 48, "tokenizer": 64, "positions": 128}, 48),
        ({"own": 300, "tokenizer": 64, "positions": 128}, 128),
        ({"tokenizer": 64, "positions": 128}, 64),
        ({"positions": 128}, 128),
    ],
)
def test_without_max_tokens_an_encoder_reads_what_its_folder_says(encoder_dir, tmp_path, lengths, read):
    folder = saying(encoder_dir, tmp_path / "encoder", **lengths)
    assert load_encoder(folder, max_tokens=None, device="cpu").max_seq_length == read


def test_an_encoder_without_any_limit_is_named(encoder_dir, tmp_path):
    shutil.copytree(encoder_dir, tmp_path / "backbone")
    config = T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(tmp_path / "backbone")
    transformer = Transformer(str(tmp_path / "backbone"))
    model = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    model.max_seq_length = None
    model.save(str(tmp_path / "relative"), create_model_card=False)
    with pytest.raises(
        RevelaError, match=r"relative does not say how many tokens it reads .* evaluate\.max_tokens"
    ):
        load_encoder(tmp_path / "relative", max_tokens=None, device="cpu")
    assert load_encoder(tmp_path / "relative", max_tokens=20, device="cpu").max_seq_length == 20


def test_a_folder_that_is_no_sentence_transformer_is_refused(encoder_dir: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    shutil.copytree(encoder_dir, bare)
    (bare / "modules.json").unlink()
    with pytest.raises(RevelaError, match=r"bare: not a saved SentenceTransformer"):
        load_encoder(bare, max_tokens=16)
    broken = tmp_path / "broken"
    shutil.copytree(encoder_dir, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(RevelaError, match="broken: cannot be loaded"):
        load_encoder(broken, max_tokens=16)


@pytest.fixture
def whitened(encoder_dir: Path, tmp_path: Path) -> Path:
    """The same transformer, stored in another precision, with one module more."""
    model = SentenceTransformer(str(encoder_dir), device="cpu")
    model.insert(2, Dense(32, 16))
    model.save(str(tmp_path / "whitened"), create_model_card=False)
    return tmp_path / "whitened"


def change(folder: Path, name: str, key: str, value: object) -> Path:
    content = json.loads((folder / name).read_text())
    content[key] = value
    (folder / name).write_text(json.dumps(content))
    return folder


def test_models_before_and_after_whitening_share_their_transformer(
    encoder_dir: Path, other_encoder_dir: Path, whitened: Path
):
    models = {"untrained": encoder_dir, "other": other_encoder_dir, "after_whitened": whitened}
    groups = [list(group) for group in by_transformer(models, torch.float32)]
    assert groups == [["untrained", "after_whitened"], ["other"]]


def test_how_weights_are_stored_makes_no_other_transformer(encoder_dir: Path, tmp_path: Path):
    half, whole = tmp_path / "half", tmp_path / "whole"
    shutil.copytree(encoder_dir, half)
    weights = {key: value.bfloat16() for key, value in load_file(half / "model.safetensors").items()}
    save_file(weights, half / "model.safetensors", metadata={"format": "pt"})
    shutil.copytree(half, whole)
    save_file(
        {key: value.float() for key, value in weights.items()},
        whole / "model.safetensors",
        metadata={"format": "pt"},
    )
    change(half, "config.json", "dtype", "bfloat16")
    assert len(by_transformer({"half": half, "whole": whole}, torch.float32)) == 1
    assert len(by_transformer({"before": encoder_dir, "rounded": whole}, torch.float32)) == 2
    assert len(by_transformer({"before": encoder_dir, "rounded": whole}, torch.bfloat16)) == 1


def test_a_weight_without_dimensions_counts_like_any_other(encoder_dir: Path, tmp_path: Path):
    models = {}
    for name, scale in (("one", 1.0), ("other", 2.0), ("one again", 1.0)):
        models[name] = Path(shutil.copytree(encoder_dir, tmp_path / name))
        weights = load_file(models[name] / "model.safetensors") | {"logit_scale": torch.tensor(scale)}
        save_file(weights, models[name] / "model.safetensors", metadata={"format": "pt"})
    groups = [list(group) for group in by_transformer(models, torch.float32)]
    assert groups == [["one", "one again"], ["other"]]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.json", "rms_norm_eps", 1e-3),
        ("config_sentence_transformers.json", "prompts", {"query": "other: ", "document": "passage: "}),
        ("tokenizer_config.json", "padding_side", "left"),
    ],
)
def test_another_setting_is_another_transformer(
    encoder_dir: Path, tmp_path: Path, name: str, key: str, value
):
    changed = change(Path(shutil.copytree(encoder_dir, tmp_path / "changed")), name, key, value)
    assert len(by_transformer({"one": encoder_dir, "other": changed}, torch.float32)) == 2
    digests = {encoder_digest(folder, torch.float32, 64, "cpu") for folder in (encoder_dir, changed)}
    assert len(digests) == 2


def test_modules_that_choose_their_input_share_with_none(encoder_dir: Path, tmp_path: Path):
    folder = Path(shutil.copytree(encoder_dir, tmp_path / "router"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "somewhere.Router"
    (folder / "modules.json").write_text(json.dumps(modules))
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert len(by_transformer({"one": folder, "other": copy}, torch.float32)) == 2


def test_all_that_decides_a_vector_is_in_the_digest(encoder_dir: Path, whitened: Path):
    one = encoder_digest(whitened, torch.float32, 64, "cpu")
    assert one == encoder_digest(whitened, torch.float32, 64, "cpu")
    others = [
        encoder_digest(encoder_dir, torch.float32, 64, "cpu"),
        encoder_digest(whitened, torch.bfloat16, 64, "cpu"),
        encoder_digest(whitened, torch.float32, 65, "cpu"),
        encoder_digest(whitened, torch.float32, 64, "cuda"),
    ]
    dense = whitened / "2_Dense" / "model.safetensors"
    save_file({key: 2 * value for key, value in load_file(dense).items()}, dense)
    others.append(encoder_digest(whitened, torch.float32, 64, "cpu"))
    assert len({one, *others}) == 6
