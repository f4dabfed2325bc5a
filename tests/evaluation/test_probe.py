"""The probe scores as the stage evaluate does, and leaves the model as it was."""

from __future__ import annotations

import pytest

from revela.evaluation.dense import dense_run
from revela.evaluation.loading import load_encoder
from revela.evaluation.probe import Probe
from revela.evaluation.scoring import mean_scores, score
from revela.settings import ProbeSettings

SETTINGS = ProbeSettings.model_validate(
    {"benchmark": {"kind": "docstrings", "limit": 30}, "every": 7, "max_tokens": 48}
)


def test_the_probe_is_the_benchmarks_ndcg(backbone_folder):
    probe = Probe(SETTINGS)
    encoder = load_encoder(backbone_folder / "retriever", max_tokens=64, precision="fp32").train()
    found = probe(encoder)
    run = dense_run(
        backbone_folder / "retriever", probe.benchmark, max_tokens=48, batch_size=8, precision="fp32"
    )
    assert found == pytest.approx(mean_scores(score(probe.benchmark.qrels, run))["ndcg_at_10"])
    assert probe.every == 7
    assert encoder.training and encoder.max_seq_length == 64
