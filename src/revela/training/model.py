"""Retriever and language model as one trainable module."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from revela.errors import RevelaError
from revela.files import atomic_directory
from revela.modeling.batch import Batch
from revela.modeling.group_span import GroupSpan
from revela.modeling.layers import compile_layers
from revela.modeling.lm import load_lm
from revela.modeling.norms import fuse_norms
from revela.modeling.retriever import Retriever
from revela.modeling.tokenizer_files import forget_loading, name_for_all_versions
from revela.modeling.versions import checkpoint_activations
from revela.objectives import ContrastiveObjective, ReplugObjective, RevelaObjective
from revela.settings import ObjectiveSettings, Part, Phase, Term, TrainingSettings
from revela.training.lora import UNUSED, with_lora

_PART_OF: Mapping[str, Part] = {"retriever": "retriever", "lm": "lm", "revela": "lm"}
"""Gates belong to the language model that they are in."""


PARTS: tuple[Part, ...] = get_args(Part)


class JointModel(nn.Module):
    """Holds both models and computes a phase's weighted sum of terms on the groups of a forward.

    Args:
        backbone_dir: folder with ``retriever`` and ``lm`` as the stage prepare_backbone writes it.
        dtype: the precision computed in. Frozen base weights under LoRA are kept in it; whatever
            trains is kept in float32.
        retriever_dir: the retriever to start from; None is the one in `backbone_dir`.

    Attributes:
        span: set to let the groups of several processes be one.
        step_span: the processes whose chunks are contrasted in phases with ``negatives: step``.
    """

    def __init__(
        self,
        backbone_dir: Path,
        training: TrainingSettings,
        objective: ObjectiveSettings,
        dtype: torch.dtype,
        retriever_dir: Path | None = None,
    ) -> None:
        super().__init__()
        kept_in = {part: dtype if training.lora_of(part) else torch.float32 for part in PARTS}
        self.retriever = Retriever(
            retriever_dir or backbone_dir / "retriever",
            dtype=kept_in["retriever"],
            mini_batch=training.retriever_mini_batch,
            max_tokens=training.max_tokens,
        )
        lm = load_lm(backbone_dir / "lm", dtype=kept_in["lm"])
        self.lm: nn.Module = lm
        if training.gradient_checkpointing:
            models: dict[Part, PreTrainedModel] = {"retriever": self.retriever.transformer, "lm": lm}
            for part, model in models.items():
                checkpoint_activations(model)
                if training.lora_of(part) is not None:
                    # Without a trainable input the checkpointed blocks would see nothing to differentiate.
                    model.enable_input_require_grads()
        fuse_norms(self)
        self._start_penalty = objective.start_penalty
        # In a list, so that it is no part of this module: neither trained, nor saved, nor sharded.
        self._start = [_frozen_copy(self.retriever)] if objective.start_penalty else []
        for name, weight in self.retriever.named_parameters():
            if re.fullmatch(UNUSED, name):
                # It never gets a gradient, and a trained weight without one looks like a fault.
                weight.requires_grad_(False)
        if (lora := training.lora_of("retriever")) is not None:
            self.retriever.wrap_transformer(lambda model: with_lora(model, lora, "FEATURE_EXTRACTION"))
        if (lora_of_lm := training.lora_of("lm")) is not None:
            self.lm = with_lora(lm, lora_of_lm, "CAUSAL_LM")
        if training.compile:
            self._compile()
        self.revela = RevelaObjective(objective, self.causal_lm.config.get_text_config().num_hidden_layers)
        self.contrastive = ContrastiveObjective(
            objective.contrastive_temperature, symmetric=objective.contrastive_symmetric
        )
        self.replug = ReplugObjective(objective.replug_temperature, objective.replug_lm_temperature)
        self.span: GroupSpan | None = None
        self.step_span: GroupSpan | None = None
        self._contrast_span: GroupSpan | None = None
        self.rows_are_parts = False
        self._lm_pairs: int | None = None
        self.terms: Mapping[Term, float] = {}
        self._trained_names = [name for name, weight in self.named_parameters() if weight.requires_grad]

    def _compile(self) -> None:
        for part, model in (("retriever", self.retriever.transformer), ("lm", self.causal_lm)):
            if not compile_layers(model):
                raise RevelaError(
                    f"training.compile: transformers does not name the layers of the {part}, a model of type "
                    f"'{model.config.model_type}'. Set training.compile: false."
                )

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The transformers model itself; adapters live inside its layers."""
        unwrap = getattr(self.lm, "get_base_model", None)
        return cast(PreTrainedModel, self.lm if unwrap is None else unwrap())

    def enter(self, phase: Phase) -> None:
        """Set what trains and which terms count."""
        self.terms = dict(phase.terms)
        self.rows_are_parts = phase.rows == "parts"
        self._lm_pairs = phase.lm_pairs
        self._contrast_span = self.step_span if phase.negatives == "step" else self.span
        for name in self._trained_names:
            module = name.split(".", 1)[0]
            self.get_parameter(name).requires_grad_(_PART_OF[module] in phase.train)

    def parameters_of(self, part: Part) -> Iterator[nn.Parameter]:
        """The parameters of `part` that train in the current phase."""
        modules = (getattr(self, module) for module, owner in _PART_OF.items() if owner == part)
        return (weight for module in modules for weight in module.parameters() if weight.requires_grad)

    def trained_state(self) -> dict[str, Tensor]:
        """Everything that any phase may change (adapters, or all weights without LoRA)."""
        return {name: self.get_parameter(name).detach().contiguous() for name in self._trained_names}

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`trained_state` gave.

        Raises:
            RevelaError: names that do not fit this model.
        """
        if set(state) != set(self._trained_names):
            raise RevelaError("the checkpoint belongs to another model; delete it to train from the start.")
        self.load_part(state)

    def load_part(self, state: Mapping[str, Tensor]) -> None:
        """Put back some of what :meth:`trained_state` gave."""
        with torch.no_grad():
            for name, value in state.items():
                self.get_parameter(name).copy_(value)

    def save_lm(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write the language model as transformers loads it, adapters merged, in the backbone's dtype."""
        copied = copy.deepcopy(self.lm).to("cpu")
        merged = cast(PreTrainedModel, copied.merge_and_unload() if isinstance(copied, PeftModel) else copied)
        with atomic_directory(folder) as target:
            merged.save_pretrained(target)
            forget_loading(tokenizer)
            tokenizer.save_pretrained(target)
            name_for_all_versions(target)

    def forward(
        self,
        query: Batch | None = None,
        passage: Batch | None = None,
        view: Batch | None = None,
        rest: Batch | None = None,
        lm: dict[str, Any] | None = None,
        continuation: Tensor | None = None,
        measure_gain: bool = False,
        temperature: float | None = None,
        given: Tensor | None = None,
        sizes: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """The groups' mean total ``loss`` and, without gradient, each term's figures.

        Args:
            query, passage, view, rest, lm, continuation: as :class:`GroupCollator` makes them, rows of L
                tokens each, group after group.
            measure_gain: also the figures ``plain_loss`` and ``gain`` of the term ``revela``.
            temperature: of the term ``revela``, instead of the objective's.
            given: (G, B, B) similarities for the term ``revela`` instead of the retriever's.
            sizes: chunks of every group; None is one group.
        """
        batches = {"query": query, "passage": passage, "view": view, "rest": rest}
        embedded = self.embed(batches)
        distance = self.start_distance(batches, embedded) if self._start else None
        found = self.contrast(embedded, sizes) if "contrastive" in self.terms else {}
        predicted = self.predict(
            embedded, lm, continuation, measure_gain=measure_gain, temperature=temperature, given=given,
            groups=len(sizes or [0]),
        )  # fmt: skip
        losses = [part.pop("loss") for part in (found, predicted) if part]
        total = cast(Tensor, sum(losses))  # every phase has a term
        if distance is None:
            return {"loss": total, **found, **predicted}
        total = total + self._start_penalty * distance
        return {"loss": total, **found, **predicted, "start_distance": distance.detach()}

    def embed(self, batches: Mapping[str, Batch | None]) -> dict[str, Tensor]:
        """The retriever's embeddings, (rows, D) by name; without gradient where it does not train."""
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and any(True for _ in self.parameters_of("retriever"))
        ):
            return self.retriever.embed({name: batch for name, batch in batches.items() if batch})

    def start_distance(
        self, batches: Mapping[str, Batch | None], embedded: Mapping[str, Tensor]
    ) -> Tensor | None:
        """How far texts have moved since the start: () mean of 1 - cosine; None where the retriever is still.

        What was learnt before on other text is kept best where the embeddings of any text stay near.
        """
        moved = {name: rows for name, rows in embedded.items() if rows.requires_grad}
        if not moved:
            return None
        start = self._start[0]
        device = next(iter(moved.values())).device
        start.to(device)
        with torch.no_grad():
            before = start.embed({name: batch for name, batch in batches.items() if batch})
        cosines = torch.cat([(moved[name] * before[name]).sum(dim=-1) for name in moved])
        return 1 - cosines.mean()

    def contrast(self, embedded: Mapping[str, Tensor], sizes: Sequence[int] | None) -> dict[str, Tensor]:
        """The term ``contrastive``, weighted, each group by itself."""
        queries, rests = embedded["view" if "view" in embedded else "query"], embedded["rest"]
        sizes = list(sizes or [len(rests)])
        if len(set(sizes)) == 1:
            pairs = [tuple(rows.unflatten(0, (len(sizes), -1)) for rows in (queries, rests))]
        else:
            # Of some groups more chunks have a partner than of others.
            pairs = list(zip(queries.split(sizes), rests.split(sizes), strict=True))
        found = _mean([self.contrastive(*pair, self._contrast_span) for pair in pairs])
        return found | {"loss": self.terms["contrastive"] * found["loss"]}

    def predict(
        self,
        embedded: Mapping[str, Tensor],
        lm: dict[str, Any] | None,
        continuation: Tensor | None = None,
        *,
        measure_gain: bool = False,
        temperature: float | None = None,
        given: Tensor | None = None,
        groups: int = 1,
    ) -> dict[str, Tensor]:
        """The terms that the language model computes, weighted; nothing where a phase has none."""
        figures: dict[str, Tensor] = {}
        losses = []
        queries, passages = embedded.get("query"), embedded.get("passage")
        if "revela" in self.terms:
            assert lm is not None
            if self.rows_are_parts and given is None:
                assert queries is not None
                queries = passages = self._parts(queries, embedded["rest"], groups)
            found = self.revela(
                self.causal_lm, **lm, queries=queries, passages=passages, measure_gain=measure_gain,
                span=self.span, temperature=temperature, given=given, groups=groups,
            )  # fmt: skip
            losses.append(self.terms["revela"] * found.pop("loss"))
            figures |= found
        if "replug" in self.terms:
            assert lm is not None and continuation is not None
            assert queries is not None and passages is not None
            pieces = [lm["input_ids"], lm["attention_mask"], continuation, queries, passages]
            parts = zip(*(piece.chunk(groups) for piece in pieces), strict=True)
            found = _mean([self.replug(self.causal_lm, *part) for part in parts])
            losses.append(self.terms["replug"] * found.pop("loss"))
            figures |= found
        return {"loss": sum(losses), **figures} if losses else {}

    def _parts(self, firsts: Tensor, rests: Tensor, groups: int) -> Tensor:
        """Rows that are a group's parts: a chunk's two one after the other, each may read any row's text."""
        pairs = torch.stack([firsts, rests], dim=1).unflatten(0, (groups, -1))
        return pairs[:, : self._lm_pairs].flatten(0, 2)


def _frozen_copy(retriever: Retriever) -> Retriever:
    copied = copy.deepcopy(retriever).eval()
    copied.requires_grad_(False)
    return copied


def _mean(figures: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    if len(figures) == 1:
        return figures[0]
    return {key: torch.stack([each[key] for each in figures]).mean() for key in figures[0]}
