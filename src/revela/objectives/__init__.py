"""The losses: each an nn.Module in a file of its own, embeddings in, losses out."""

from revela.objectives.contrastive import ContrastiveObjective
from revela.objectives.replug import ReplugObjective
from revela.objectives.revela import RevelaObjective

__all__ = ["ContrastiveObjective", "ReplugObjective", "RevelaObjective"]
