"""Retriever and language model as one trainable module."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from revela.errors import RevelaError
from revela.files import atomic_directory
from revela.modeling.group_span import GroupSpan
from revela.modeling.lm import load_lm
from revela.modeling.retriever import Retriever
from revela.modeling.tokenizer_files import forget_loading
from revela.objectives import ContrastiveObjective, ReplugObjective, RevelaObjective
from revela.settings import LoraSettings, ObjectiveSettings, Part, Phase, Term, TrainingSettings

_UNUSED = r".*pooler.*"
"""Modules whose output nobody reads: an encoder's own pooler, sentence-transformers pooling by itself."""

_PART_OF: Mapping[str, Part] = {"retriever": "retriever", "lm": "lm", "revela": "lm"}
"""Gates belong to the language model that they are in."""


class JointModel(nn.Module):
    """Holds both models and computes a phase's weighted sum of terms on one group.

    Args:
        backbone_dir: folder with ``retriever`` and ``lm`` as the stage prepare_backbone writes it.
        dtype: the precision computed in. Frozen base weights under LoRA are kept in it; whatever
            trains is kept in float32.
        retriever_dir: the retriever to start from; None is the one in `backbone_dir`.

    Attributes:
        span: set to let the groups of several processes be one.
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
        base_dtype = dtype if training.lora is not None else torch.float32
        self.retriever = Retriever(
            retriever_dir or backbone_dir / "retriever",
            dtype=base_dtype,
            mini_batch=training.retriever_mini_batch,
        )
        self.lm: nn.Module = load_lm(backbone_dir / "lm", dtype=base_dtype)
        if training.gradient_checkpointing:
            for model in (self.retriever.transformer, self.lm):
                model.activation_checkpointing_enable({"use_reentrant": False})
                if training.lora is not None:
                    # Without a trainable input the checkpointed blocks would see nothing to differentiate.
                    model.enable_input_require_grads()
        for name, weight in self.retriever.named_parameters():
            if re.fullmatch(_UNUSED, name):
                # It never gets a gradient, and a trained weight without one looks like a fault.
                weight.requires_grad_(False)
        if training.lora is not None:
            self.retriever.wrap_transformer(
                lambda model: _with_lora(model, training.lora, "FEATURE_EXTRACTION")
            )
            self.lm = _with_lora(self.lm, training.lora, "CAUSAL_LM")
        self.revela = RevelaObjective(objective, self.causal_lm.config.get_text_config().num_hidden_layers)
        self.contrastive = ContrastiveObjective(
            objective.contrastive_temperature, symmetric=objective.contrastive_symmetric
        )
        self.replug = ReplugObjective(objective.replug_temperature, objective.replug_lm_temperature)
        self.span: GroupSpan | None = None
        self.terms: Mapping[Term, float] = {}
        self._trained_names = [name for name, weight in self.named_parameters() if weight.requires_grad]

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The transformers model itself; adapters live inside its layers."""
        return self.lm.get_base_model() if hasattr(self.lm, "get_base_model") else self.lm

    def enter(self, phase: Phase) -> None:
        """Set what trains and which terms count."""
        self.terms = dict(phase.terms)
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
        with torch.no_grad():
            for name, value in state.items():
                self.get_parameter(name).copy_(value)

    def save_lm(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write the language model as transformers loads it, adapters merged, in the backbone's dtype."""
        merged = copy.deepcopy(self.lm).to("cpu")
        if isinstance(merged, PeftModel):
            merged = merged.merge_and_unload()
        with atomic_directory(folder) as target:
            merged.save_pretrained(target)
            forget_loading(tokenizer)
            tokenizer.save_pretrained(target)

    def forward(
        self,
        query: dict[str, Tensor] | None = None,
        passage: dict[str, Tensor] | None = None,
        view: dict[str, Tensor] | None = None,
        rest: dict[str, Tensor] | None = None,
        lm: dict[str, Tensor] | None = None,
        continuation: Tensor | None = None,
        measure_gain: bool = False,
        temperature: float | None = None,
        given: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One group's total ``loss`` and, without gradient, each term's figures.

        Args:
            query, passage, view, rest, lm, continuation: as :class:`GroupCollator` makes them, (B, L) each.
            measure_gain: also the figures ``plain_loss`` and ``gain`` of the term ``revela``.
            temperature: of the term ``revela``, instead of the objective's.
            given: (B, B) similarities for the term ``revela`` instead of the retriever's.
        """
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and any(True for _ in self.parameters_of("retriever"))
        ):
            batches = {"query": query, "passage": passage, "view": view, "rest": rest}
            embedded = self.retriever.embed({name: batch for name, batch in batches.items() if batch})
        figures: dict[str, Tensor] = {}
        queries, passages = embedded.get("query"), embedded.get("passage")
        total: Tensor | float = 0.0
        if "contrastive" in self.terms:
            found = self.contrastive(embedded.get("view", queries), embedded["rest"], self.span)
            total = total + self.terms["contrastive"] * found.pop("loss")
            figures |= found
        if "revela" in self.terms:
            found = self.revela(
                self.causal_lm, **lm, queries=queries, passages=passages,
                measure_gain=measure_gain, span=self.span, temperature=temperature, given=given,
            )  # fmt: skip
            total = total + self.terms["revela"] * found.pop("loss")
            figures |= found
        if "replug" in self.terms:
            found = self.replug(
                self.causal_lm, lm["input_ids"], lm["attention_mask"], continuation,
                queries=queries, passages=passages,
            )  # fmt: skip
            total = total + self.terms["replug"] * found.pop("loss")
            figures |= found
        return {"loss": total, **figures}


def _with_lora(model: nn.Module, lora: LoraSettings, task: str) -> nn.Module:
    unused = any(re.fullmatch(_UNUSED, name) for name, _ in model.named_modules())
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        exclude_modules=_UNUSED if unused else None,
        task_type=task,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as fault:
        raise RevelaError(
            f"training.lora.targets {lora.targets} do not fit a model of type "
            f"'{model.config.model_type}': {fault}\nName modules of that model, or set `targets: all-linear`."
        ) from fault
