"""The figures of a step: means over its forwards, in one order, each step anew."""

from __future__ import annotations

import torch

from revela.training.figures import StepFigures


def forward(**values: float) -> dict[str, torch.Tensor]:
    return {key: torch.tensor(value, requires_grad=key == "loss") for key, value in values.items()}


def test_means_over_the_forwards_of_a_step():
    seen = StepFigures()
    seen.add(forward(loss=1.0, conditioned_loss=4.0), {"lm_tokens_cut_share": 0.0})
    seen.add(forward(loss=3.0, conditioned_loss=5.0), {"lm_tokens_cut_share": 0.5})
    figures, more = seen.read()
    assert figures == {"loss": 2.0, "conditioned_loss": 4.5, "lm_tokens_cut_share": 0.25}
    assert more == {}


def test_a_figure_is_the_mean_of_the_forwards_that_have_it():
    seen = StepFigures()
    seen.add(forward(loss=1.0, contrastive_loss=1.0), {})
    for value in (2.0, 4.0):
        seen.add(forward(conditioned_loss=value, gain=value / 4), {})
    assert seen.read()[0] == {"loss": 1.0, "conditioned_loss": 3.0, "gain": 0.75, "contrastive_loss": 1.0}


def test_only_known_figures_are_kept_the_loss_first():
    seen = StepFigures()
    seen.add(forward(skipped_weight=0.5, unknown=9.0, plain_loss=2.0, loss=1.0), {})
    assert list(seen.read()[0]) == ["loss", "plain_loss", "skipped_weight"]


def test_what_is_read_beside_them_is_as_it_is():
    seen = StepFigures()
    seen.add(forward(loss=1.0), {})
    figures, more = seen.read(grad_norm_retriever=torch.tensor(0.5), grad_norm_lm=torch.tensor(2.0))
    assert figures == {"loss": 1.0}
    assert more == {"grad_norm_retriever": 0.5, "grad_norm_lm": 2.0}


def test_reading_begins_anew():
    seen = StepFigures()
    seen.add(forward(loss=1.0), {"lm_tokens_cut_share": 0.5}, [["a.py", "b.py"]])
    seen.read()
    assert seen.read() == ({}, {})
    seen.add(forward(loss=3.0), {})
    assert seen.read()[0] == {"loss": 3.0}


def test_documents_are_those_of_every_group_of_every_forward():
    seen = StepFigures()
    seen.add(forward(loss=1.0), {}, [["a.py"], ["b.py"]])
    seen.add(forward(loss=1.0), {}, [["c.py"], ["d.py"]])
    assert seen.documents == [["a.py"], ["b.py"], ["c.py"], ["d.py"]]


def test_half_precision_is_widened_and_no_graph_is_kept():
    seen = StepFigures()
    outputs = {"loss": torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True) * 1.0}
    seen.add(outputs, {})
    assert outputs["loss"].requires_grad
    assert seen.read()[0] == {"loss": 1.0}
