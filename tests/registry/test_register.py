"""Registration on a real SQLite store, with a retriever small enough to build in a second."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from revela import tracking
from revela.errors import RevelaError
from revela.registry.aliases import rollback
from revela.registry.lineage import lineage
from revela.registry.register import Registered, register
from revela.settings import RegistrySettings

SETTINGS = RegistrySettings()
DATA_SETS = {"docstrings": "d0", "classes": "c0"}
PARAMS = {"seed": 0, "evaluate": {"benchmarks": [{"kind": "docstrings", "limit": None}]}}
TEXTS = ["Return the mean of a list.", "def mean(xs):\n    return sum(xs) / len(xs)", "Open a file"]


def build_retriever(folder: Path) -> Path:
    """A random two-layer Llama that pools at an appended <eos>, as the pipeline saves its retrievers."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<unk>", "<eos>", "<pad>"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>"
    )
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=2, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaModel(config).save_pretrained(folder / "backbone")
    fast.save_pretrained(folder / "backbone")
    transformer = Transformer(str(folder / "backbone"), max_seq_length=64)
    model = SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="lasttoken"), Normalize()],
        prompts={"query": "query: ", "document": "passage: "},
        device="cpu",
    )
    model.save(str(folder / "retriever"))
    return folder / "retriever"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_retriever(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, to be copied: creating them takes a second or two."""
    folder = tmp_path_factory.mktemp("store")
    tracking.prepare_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with an empty store of its own, as the working directory."""
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(prepared, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # mlflow.set_tracking_uri writes the variable too, so setting it here is also what takes it back.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_results(project: Path, score: float, guarded: dict[str, float] | None = None) -> Path:
    """What the stages leave; the retriever's scores vary from query to query around their mean."""
    guarded = guarded or {}
    results = project / "results"
    files = {
        "filter_corpus": {"documents": 12, "dropped": {"too_short": 3}, "note": "text is no metric"},
        "build_batches": {"groups": 7},
        "evaluate": {
            "docstrings": {
                "bm25": {"ndcg_at_10": 0.49},
                "retriever": {"ndcg_at_10": score, "mrr_at_10": 0.3},
            },
            **{name: {"retriever": {"ndcg_at_10": value}} for name, value in guarded.items()},
        },
    }
    for stage, content in files.items():
        (results / stage).mkdir(parents=True, exist_ok=True)
        (results / stage / "metrics.json").write_text(json.dumps(content))
    means = {"docstrings": score, **guarded}
    noise = np.random.default_rng(int(np.nan_to_num(score) * 1000)).normal(0, 0.05, 60)
    queries = pd.DataFrame({"model": "retriever", "query_id": [f"q{number}" for number in range(60)]})
    tables = [
        queries.assign(benchmark=name, ndcg_at_10=mean + noise - noise.mean()) for name, mean in means.items()
    ]
    pd.concat(tables).to_parquet(results / "evaluate" / "per_query.parquet")
    Image.new("RGB", (8, 8)).save(results / "evaluate" / "scores.png")
    (results / "evaluate" / "report.md").write_text("# Scores")
    return results


def register_here(
    project: Path, model_dir: Path, score: float, guarded: dict[str, float] | None = None, **arguments
) -> Registered:
    results = write_results(project, score, guarded)
    settings = arguments.pop("settings", SETTINGS)
    keywords = {"params": PARAMS, "data_sets": lambda: DATA_SETS} | arguments
    return register(settings, model_dir=model_dir, results_dir=results, **keywords)


def test_first_version_is_champion_with_all_its_provenance(project: Path, model_dir: Path) -> None:
    lock = project / "dvc.lock"
    lock.write_text(
        "schema: '2.0'\nstages:\n  filter_corpus:\n    cmd: x\n    outs:\n"
        "    - path: data/corpus\n      hash: md5\n      md5: abc.dir\n"
    )
    extra = project / "ablation.md"
    extra.write_text("# Ablation")
    done = register_here(project, model_dir, 0.5, dvc_lock=lock, extra_reports=[extra])

    assert (done.version, done.aliases) == ("1", ("challenger", "champion"))
    assert done.model_uri == "models:/revela-retriever/1"
    assert "first" in done.verdict
    client = MlflowClient(done.tracking_uri)
    run = client.get_run(done.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dvc.data/corpus"] == "abc.dir"
    assert run.data.params["evaluate.benchmarks.0.kind"] == "docstrings"
    assert run.data.metrics["corpus/dropped/too_short"] == 3
    assert run.data.metrics["batches/groups"] == 7
    assert run.data.metrics["docstrings/bm25/ndcg_at_10"] == 0.49
    assert run.data.metrics["docstrings/retriever/ndcg_at_10"] == 0.5
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("docstrings", "d0")
    kept = [file.path for file in client.list_artifacts(done.run_id, "results/evaluate")]
    assert sorted(kept) == [
        "results/evaluate/per_query.parquet",
        "results/evaluate/report.md",
        "results/evaluate/scores.png",
    ]
    assert [file.path for file in client.list_artifacts(done.run_id, "reports")] == ["reports/ablation.md"]

    version = client.get_model_version("revela-retriever", "1")
    assert version.description == version.tags["verdict"] == done.verdict
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    tied = {
        metric.key: (metric.value, metric.dataset_name, metric.dataset_digest) for metric in logged.metrics
    }
    assert tied["docstrings/retriever/ndcg_at_10"] == (0.5, "docstrings", "d0")
    assert not any("bm25" in key for key in tied)
    (requirements,) = (project / "mlartifacts").rglob("requirements.txt")
    listed = requirements.read_text().splitlines()
    assert any(line.startswith("sentence-transformers==") for line in listed)
    assert all("==" in line and "+" not in line for line in listed)


def test_champion_changes_only_for_a_better_score(project: Path, model_dir: Path) -> None:
    register_here(project, model_dir, 0.5)
    worse = register_here(project, model_dir, 0.4)
    assert (worse.version, worse.aliases) == ("2", ("challenger",))
    assert "against version 1" in worse.verdict and "0.4000 against 0.5000" in worse.verdict
    better = register_here(project, model_dir, 0.6)
    assert (better.version, better.aliases) == ("3", ("challenger", "champion"))

    tags = MlflowClient(better.tracking_uri).get_model_version("revela-retriever", "3").tags
    assert tags["gate.primary"].startswith("passed: ndcg_at_10 on docstrings 0.6000 against 0.5000 (p = ")
    assert tags["gate.guarded"] == "passed: no other benchmark"
    assert tags["gate.loads"].startswith("passed: vectors of a fresh process differ by ")
    previous = MlflowClient(better.tracking_uri).get_model_version_by_alias("revela-retriever", "previous")
    assert str(previous.version) == "1"

    other = register_here(project, model_dir, 0.9, data_sets=lambda: {"docstrings": "easier"})
    assert other.aliases == ("challenger",)
    assert "other data of docstrings, so the scores do not compare" in other.verdict
    tags = MlflowClient(better.tracking_uri).get_model_version("revela-retriever", "4").tags
    assert tags["gate.primary"].startswith("failed: ") and tags["gate.loads"].startswith("not tried: ")


def test_a_gain_that_the_queries_cannot_tell_from_chance_is_no_gain(project: Path, model_dir: Path) -> None:
    register_here(project, model_dir, 0.5)
    hardly = register_here(project, model_dir, 0.501)
    assert hardly.aliases == ("challenger",)
    assert "primary: ndcg_at_10 on docstrings 0.5010 against 0.5000 (p = " in hardly.verdict


def test_better_there_and_worse_elsewhere_is_refused_unless_it_is_not_guarded(
    project: Path, model_dir: Path
) -> None:
    params = {"evaluate": {"benchmarks": [{"kind": "docstrings"}, {"kind": "classes"}]}}
    register_here(project, model_dir, 0.5, {"classes": 0.5}, params=params)
    worse = register_here(project, model_dir, 0.6, {"classes": 0.4}, params=params)
    assert worse.aliases == ("challenger",)
    assert "guarded: significantly worse: classes -0.1" in worse.verdict
    unguarded = RegistrySettings(guarded=[])
    free = register_here(project, model_dir, 0.61, {"classes": 0.4}, params=params, settings=unguarded)
    assert "champion" in free.aliases


def test_a_guarded_benchmark_scored_on_other_data_cannot_pass_unseen(project: Path, model_dir: Path) -> None:
    params = {"evaluate": {"benchmarks": [{"kind": "docstrings"}, {"kind": "classes"}]}}
    register_here(project, model_dir, 0.5, {"classes": 0.5}, params=params)
    changed = {"params": params, "data_sets": lambda: DATA_SETS | {"classes": "c1"}}
    named = RegistrySettings(guarded=["classes"])
    refused = register_here(project, model_dir, 0.6, {"classes": 0.5}, settings=named, **changed)
    assert refused.aliases == ("challenger",)
    assert "guarded: not scored on the same data by both: classes" in refused.verdict
    # Guarded because all are, a benchmark that the champion never saw stops nobody, but is named.
    champion = register_here(project, model_dir, 0.61, {"classes": 0.5}, **changed)
    assert "champion" in champion.aliases
    assert "not scored on the same data by both: classes" in champion.verdict


def test_a_model_beyond_its_limits_is_refused(project: Path, model_dir: Path) -> None:
    tight = RegistrySettings(max_megabytes=0.001, min_texts_per_second=1e9)
    refused = register_here(project, model_dir, 0.5, settings=tight)
    assert refused.aliases == ("challenger",)
    assert (
        "size: 0 MB, at most 0.001" in refused.verdict and "texts a second, at least 1e+09" in refused.verdict
    )
    again = register_here(project, model_dir, 0.5, settings=tight)
    assert again.aliases == ("challenger",), "there is no champion, and still it may not be one"


def test_what_was_asked_to_stay_a_challenger_stays_one(project: Path, model_dir: Path) -> None:
    kept = register_here(project, model_dir, 0.5, promote=False)
    assert kept.aliases == ("challenger",)
    assert kept.verdict.startswith("challenger only, as asked for; it would be champion: the first")


def test_what_was_held_back_goes_through_the_gate_when_it_may(project: Path, model_dir: Path) -> None:
    first = register_here(project, model_dir, 0.5)
    held = register_here(project, model_dir, 0.6, promote=False)
    assert held.aliases == ("challenger",)
    again = register_here(project, model_dir, 0.6)
    assert (again.version, again.aliases) == (held.version, ("challenger", "champion"))
    assert again.verdict.startswith(f"already registered as version {held.version}; now champion: against")
    assert again.checks["primary"].startswith("passed")
    # A rollback is not undone by registering the same retriever once more.
    rollback(SETTINGS)
    after = register_here(project, model_dir, 0.6)
    assert after.aliases == ("challenger",)
    client = MlflowClient(after.tracking_uri)
    champion = client.get_model_version_by_alias(SETTINGS.model_name, "champion")
    assert str(champion.version) == first.version


def test_lineage_names_commit_hashes_settings_and_scores(project: Path, model_dir: Path) -> None:
    lock = project / "dvc.lock"
    lock.write_text(
        "schema: '2.0'\nstages:\n  filter_corpus:\n    cmd: x\n    outs:\n"
        "    - path: data/documents\n      hash: md5\n      md5: abc.dir\n"
    )
    register_here(project, model_dir, 0.5, dvc_lock=lock)
    lines = lineage(SETTINGS, "@champion").splitlines()
    assert lines[0] == "revela-retriever version 1 (@challenger, @champion)"
    assert "  abc.dir  data/documents" in lines
    assert "  docstrings: mrr_at_10 0.3000, ndcg_at_10 0.5000" in lines
    assert "  seed: 0" in lines
    assert any(line.startswith("  commit    ") for line in lines)
    assert lineage(SETTINGS, "1").splitlines() == lines
    with pytest.raises(RevelaError, match="has no version 7"):
        lineage(SETTINGS, "7")
    with pytest.raises(RevelaError, match="has no @previous"):
        lineage(SETTINGS, "@previous")


def test_the_same_model_is_registered_once(project: Path, model_dir: Path) -> None:
    first = register_here(project, model_dir, 0.5)
    again = register_here(project, model_dir, 0.5)
    assert (again.version, again.run_id) == (first.version, first.run_id)
    assert "already registered as version 1" in again.verdict
    client = MlflowClient(first.tracking_uri)
    assert len(client.search_model_versions("name = 'revela-retriever'")) == 1
    client.delete_registered_model_alias("revela-retriever", "champion")
    assert "champion" in register_here(project, model_dir, 0.5).aliases


def test_goes_on_with_the_training_run(project: Path, model_dir: Path) -> None:
    with tracking.start_run("revela", "train", {}, PARAMS) as run:
        run.log({"train/loss": 2.0}, step=1)
    done = register_here(project, model_dir, 0.5, train_run=lambda: run.run_id)
    assert done.run_id == run.run_id
    metrics = MlflowClient(done.tracking_uri).get_run(run.run_id).data.metrics
    assert {"train/loss", "docstrings/retriever/ndcg_at_10"} <= set(metrics)


def test_a_training_run_that_a_version_has_is_left_to_it(project: Path, model_dir: Path) -> None:
    with tracking.start_run("revela", "train", {"stage": "train"}, PARAMS) as run:
        pass
    first = register_here(project, model_dir, 0.5, train_run=lambda: run.run_id)
    second = register_here(project, model_dir, 0.4, train_run=lambda: run.run_id)
    assert first.run_id == run.run_id != second.run_id
    client = MlflowClient(first.tracking_uri)
    tags = client.get_run(second.run_id).data.tags
    assert (tags["stage"], tags["trained_in"]) == ("register", run.run_id)
    kept = client.download_artifacts(first.run_id, "results/evaluate/per_query.parquet", str(project))
    assert pd.read_parquet(kept)["ndcg_at_10"].mean() == pytest.approx(0.5)


LOAD = """
import sys, numpy, mlflow
model = mlflow.sentence_transformers.load_model("models:/revela-retriever@champion")
texts = sys.argv[2:]
served = mlflow.pyfunc.load_model("models:/revela-retriever@champion")
numpy.savez(
    sys.argv[1],
    query=model.encode_query(texts),
    document=model.encode_document(texts),
    served=served.predict(texts),
    served_document=served.predict(texts, params={"prompt_name": "document"}),
)
"""


def test_loads_elsewhere_with_the_same_vectors(project: Path, model_dir: Path) -> None:
    register_here(project, model_dir, 0.5)
    subprocess.run(
        [sys.executable, "-c", LOAD, str(project / "vectors.npz"), *TEXTS], check=True, timeout=120
    )
    loaded = np.load(project / "vectors.npz")
    here = SentenceTransformer(str(model_dir), device="cpu")
    queries, documents = here.encode_query(TEXTS), here.encode_document(TEXTS)
    np.testing.assert_allclose(loaded["query"], queries, atol=1e-6)
    np.testing.assert_allclose(loaded["document"], documents, atol=1e-6)
    np.testing.assert_allclose(loaded["served"], queries, atol=1e-6)
    np.testing.assert_allclose(loaded["served_document"], documents, atol=1e-6)
    assert np.abs(queries - documents).max() > 1e-3, "prompts make no difference: the test proves nothing"


REGISTER = """
import sys, mlflow, sentence_transformers
from pathlib import Path
from revela.registry.register import register
from revela.settings import RegistrySettings
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
done = register(
    RegistrySettings(), model_dir=Path(sys.argv[1]), results_dir=Path(sys.argv[2]), params={},
    data_sets=lambda: {"docstrings": "d0"},
)
sys.stdout.write(done.version)
"""


def test_two_registrations_at_once(project: Path, model_dir: Path) -> None:
    there = write_results(project / "there", 0.6)
    (project / "mlflow.db").unlink()  # so that both also meet a store without tables
    command = [sys.executable, "-c", REGISTER, str(model_dir), str(there)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        here = register_here(project, model_dir, 0.4, params={})
        version, _ = other.communicate(timeout=120)
    assert other.returncode == 0
    assert sorted([version, here.version]) == ["1", "2"]
    client = MlflowClient(here.tracking_uri)
    champion = client.get_model_version_by_alias("revela-retriever", "champion")
    assert str(champion.version) == version


def test_faults_name_the_file_and_the_remedy(project: Path, model_dir: Path) -> None:
    with pytest.raises(RevelaError, match=r"evaluate.metrics\.json: no such file.*dvc repro evaluate"):
        register(SETTINGS, model_dir=model_dir, results_dir=project / "none", params={}, data_sets=dict)
    results = write_results(project, float("nan"))
    with pytest.raises(RevelaError, match="no finite ndcg_at_10 of 'retriever' on 'docstrings'"):
        register(SETTINGS, model_dir=model_dir, results_dir=results, params={}, data_sets=dict)
    with pytest.raises(RevelaError, match=r"no modules\.json"):
        register(
            SETTINGS, model_dir=project, results_dir=write_results(project, 0.5), params={}, data_sets=dict
        )
    client = MlflowClient(tracking.tracking_uri())
    assert client.get_experiment_by_name("revela") is None, "a faulty registration leaves no trace"


def test_a_store_that_refuses_half_way(
    project: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "create_model_version", refuse)
        with pytest.raises(RevelaError, match=r"disk full(.|\n)*revela register"):
            register_here(project, model_dir, 0.5)
    client = MlflowClient(tracking.tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("revela").experiment_id])
    assert run.info.status == "FAILED"
    assert register_here(project, model_dir, 0.5).version == "1"


def test_what_a_cut_off_registration_lacked_is_made_good(
    project: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_here(project, model_dir, 0.5)

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("connection lost")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "set_registered_model_alias", refuse)
        with pytest.raises(RevelaError, match="connection lost"):
            register_here(project, model_dir, 0.6)
    again = register_here(project, model_dir, 0.6)
    assert (again.version, again.aliases) == ("2", ("challenger", "champion"))
    assert "made champion, its registration had been cut off" in again.verdict
    assert "nothing was changed" in register_here(project, model_dir, 0.6).verdict
