"""The stage `train`: phase after phase, resumable, the retriever saved after each."""

from __future__ import annotations

import copy
import gc
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

import revela
from revela.errors import RevelaError
from revela.files import explain_full_disk
from revela.groups.reading import Groups
from revela.modeling.group_span import GroupSpan
from revela.modeling.precision import resolve_dtype
from revela.pairs.reading import Pairs
from revela.settings import Phase, Settings
from revela.training import checkpoints, processes
from revela.training.beginning import begin
from revela.training.collator import GroupCollator
from revela.training.flops import matmul_peak
from revela.training.forward_size import choose_groups_per_forward
from revela.training.group_slice import GroupSlice, groups_consumed
from revela.training.keeping import KEPT, Keeper, Validate, report_of
from revela.training.lm_check import LmCheck
from revela.training.model import JointModel
from revela.training.outputs import Record, outputs, write_training_report
from revela.training.pair_slice import PairSlice, pairs_consumed
from revela.training.passes import within_passes
from revela.training.phase_arguments import phase_arguments
from revela.training.processes import default_device
from revela.training.related_pairs import Points, by_words
from revela.training.resuming import keep_group_size, resume_position
from revela.training.seen_by import SeenBy
from revela.training.sharding import whole_state
from revela.training.trainer import Measure, PhaseTrainer

log = logging.getLogger(__name__)

_CHANGE_NO_RESULT = {"save_every", "parallel", "probe", "groups_per_forward", "loader_workers", "compile"}


def training_fingerprint(settings: Settings, backbone_dir: Path, groups_dir: Path) -> str:
    """What names this training's checkpoints: seed, objective, phases, models, groups and code.

    Not how many processes share the work, nor how: a checkpoint is the same under all of them.
    """
    params = {
        "seed": settings.seed,
        "objective": settings.objective.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json", exclude=_CHANGE_NO_RESULT),
    }
    code = Path(revela.__file__).parent
    return checkpoints.fingerprint(
        params,
        backbone_dir,
        groups_dir,
        *(code / package for package in ("modeling", "objectives", "training")),
    )


def train(
    settings: Settings,
    *,
    backbone_dir: Path,
    groups_dir: Path,
    models_dir: Path,
    report_dir: Path,
    checkpoints_dir: Path,
    run_name: str | None = None,
    run_tags: Mapping[str, str] | None = None,
    probe: Measure | None = None,
    validate: Validate | None = None,
) -> None:
    """Run every phase, or what an interrupted run left of them.

    Writes ``models_dir/retriever`` (a sentence-transformers folder), ``models_dir/phases/<name>``
    for the earlier phases that trained the retriever, ``models_dir/lm`` with `save_lm`, ``report_dir``
    (metrics.json, curve.csv, curve.png), and keeps checkpoints under ``checkpoints_dir/<fingerprint>``.
    Figures go to MLflow as they come, into a run named `run_name` and with `run_tags`; `probe` adds the
    retriever's quality to them. `validate` decides which state becomes the retriever, as `training.keep` has
    it; the last one is then saved as a phase, too. Under torchrun all processes call this, and only the first
    one writes.

    Raises:
        RevelaError: no groups or backbone, a non-finite loss, an unusable model or tracking store,
            processes that cannot share the work.
    """
    groups = Groups(groups_dir)
    if not (backbone_dir / "lm" / "config.json").is_file():
        raise RevelaError(f"{backbone_dir}: no backbone there; run `dvc repro prepare_backbone` first.")
    mark = training_fingerprint(settings, backbone_dir, groups_dir)
    settings = within_passes(settings, groups_dir)
    workspace = checkpoints_dir / mark
    log.info("checkpoints in %s", workspace)
    device = default_device()
    dtype = resolve_dtype(settings.training.precision, device)
    phases = settings.training.phases
    with processes.joined(device):
        processes.groups_per_process(settings.training.groups_per_step)
        position = resume_position(phases, workspace)
        processes.agree({"fingerprint": mark, "precision": str(dtype), "step to continue at": position})
        if settings.training.gather_group:
            keep_group_size(workspace)
        set_seed(settings.seed)
        beginning = begin(settings, backbone_dir, groups, workspace, device, dtype, validate)
        model = JointModel(backbone_dir, settings.training, settings.objective, dtype, beginning.retriever)
        _let_groups_span_processes(model, settings)
        lm_tokenizer = AutoTokenizer.from_pretrained(backbone_dir / "lm")
        if lm_tokenizer.pad_token is None:
            lm_tokenizer.pad_token = lm_tokenizer.eos_token

        check = None
        if settings.training.lm_check is not None:
            limit = settings.training.lm_max_tokens
            check = LmCheck(settings.training.lm_check, groups, lm_tokenizer, limit, workspace)
            if settings.training.parallel == "ddp":
                model.to(device)
            if processes.is_first():
                check.before(model.causal_lm)
        checked: dict[str, float] = {}
        with outputs(settings, mark, workspace, models_dir, position, run_name, run_tags) as (
            models,
            record,
            note,
        ):
            if models is not None:
                for prepared in beginning.states:
                    shutil.copytree(prepared, models / "phases" / prepared.name)
            for name, answer in beginning.compared.items():
                note({f"beginning/{name}/{key}": float(value) for key, value in answer.items()})
            keeper = None
            if validate is not None and settings.training.keep == "best" and processes.is_first():
                model.to(device)
                # Of two checkpoints that are kept the later one may be cut short.
                reach = 2 * settings.training.save_every
                keeper = Keeper(model, validate, workspace / KEPT, position, reach)
            start = first_group = first_pair = 0
            for index, phase in enumerate(phases):
                folder = workspace / f"{index}-{phase.name}"
                state = checkpoints.load_state(folder)
                if state is not None:
                    log.info("phase '%s' is finished already", phase.name)
                    model.load_trained_state(state)
                    if keeper is not None and "retriever" in phase.train:
                        keeper.measure_again(phase.name, start + phase.steps)
                else:
                    _run_phase(
                        phase,
                        settings,
                        model,
                        groups,
                        start,
                        first_group,
                        first_pair,
                        lm_tokenizer,
                        folder,
                        record,
                        probe,
                        keeper,
                        device,
                        dtype,
                    )
                    # A phase's DDP answers to its weights' gradients for as long as it lives, in the next
                    # phase too; a sharded copy would keep its memory. Both are cycles of references.
                    gc.collect()
                start += phase.steps
                first_group += groups_consumed(phase, settings.training.groups_per_step)
                first_pair += pairs_consumed(phase, settings.training.groups_per_step)
                is_last = index == len(phases) - 1
                if models is not None and "retriever" in phase.train and not (is_last and keeper is None):
                    model.retriever.save(models / "phases" / phase.name)
            kept = None
            if keeper is not None and settings.training.validation is not None:
                kept = keeper.settle(settings.training.validation.averages)
                note(
                    {
                        "kept/validation": kept.mean,
                        "kept/start": keeper.measured[0].mean,
                        "kept/step": kept.step,
                    }
                )
            if models is not None:
                model.retriever.save(models / "retriever")
            if check is not None and processes.is_first():
                checked = check.compared(model.causal_lm)
                note({f"lm_check/{key}": value for key, value in checked.items()})
            if models is not None and settings.training.save_lm:
                model.save_lm(models / "lm", lm_tokenizer)
        if processes.is_first():
            told = {
                "lm_check": checked,
                "kept": report_of(settings.training, keeper, kept),
                "beginning": beginning.compared,
            }
            write_training_report(workspace / "curve.csv", report_dir, told)


def _let_groups_span_processes(model: JointModel, settings: Settings) -> None:
    gathered = settings.training.gather_group
    of_steps = any(phase.negatives == "step" for phase in settings.training.phases)
    if processes.world_size() > 1 and (gathered or of_steps):
        span = GroupSpan(processes.PATIENCE)
        model.span, model.step_span = span if gathered else None, span


def _run_phase(
    phase: Phase,
    settings: Settings,
    model: JointModel,
    groups: Groups,
    start: int,
    first_group: int,
    first_pair: int,
    lm_tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    record: Record,
    probe: Measure | None,
    keeper: Keeper | None,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Train one phase from its last checkpoint and leave its weights in `folder` and in `model`."""
    training = settings.training
    log.info(
        "phase '%s': %d steps, training %s on %s, %s on %s",
        phase.name, phase.steps, " and ".join(phase.train),
        ", ".join(f"{weight:g} x {term}" for term, weight in phase.terms.items()),
        str(dtype).removeprefix("torch."), device,
    )  # fmt: skip
    if training.compile:
        log.info("the first steps compile the models' layers, for a minute")
    model.enter(phase)
    sharded = training.parallel == "fsdp" and dist.is_initialized()
    # Sharding cannot be undone, and each phase trains other weights: so each shards a copy, and its outcome
    # is put back. The whole weights stay in the CPU's memory.
    trained = copy.deepcopy(model) if sharded else model
    items = phase.steps * training.groups_per_step
    dataset: GroupSlice | PairSlice
    if phase.pairs is None:
        dataset = GroupSlice(groups, phase, first_group, items)
    else:
        points: Points = by_words
        if phase.related_by == "retriever":
            points = SeenBy(model.retriever, folder / "seen", device)
        dataset = PairSlice(Pairs(groups.folder).trained(), phase, first_pair, items, settings.seed, points)
    collator = GroupCollator(model.retriever, lm_tokenizer, training.lm_max_tokens, phase, settings.seed)
    together = choose_groups_per_forward(training, phase, trained, dataset, collator, device, dtype)
    trainer = PhaseTrainer(
        model=trained,
        phase=phase,
        record=lambda step, figures: record(start + step, phase.name, figures),
        peak_flops=matmul_peak(device, dtype),
        gain_every=training.gain_every,
        probe=probe,
        keeper=keeper,
        start=start,
        sharded=sharded,
        args=phase_arguments(
            phase, training, seed=settings.seed, output_dir=folder,
            bf16=dtype == torch.bfloat16, cpu=device.type == "cpu", groups_per_forward=together,
        ),
        groups_per_forward=together,
        train_dataset=dataset,
        data_collator=collator,
    )  # fmt: skip
    checkpoint = checkpoints.last_checkpoint(folder)
    if checkpoint is not None:
        log.info("continuing phase '%s' at %s", phase.name, checkpoint.name)
    with explain_full_disk(folder):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        state = whole_state(trained.trained_state())
        if sharded:
            model.load_trained_state(state)
        if processes.is_first():
            checkpoints.save_state(state, folder)
            for finished in [*folder.glob("checkpoint-*"), *folder.glob("seen")]:
                shutil.rmtree(finished)
