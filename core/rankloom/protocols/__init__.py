"""The contracts between core and plugins, and the batch types they exchange."""

from __future__ import annotations

from rankloom.protocols.batches import CandidateBatch, QueryBatch
from rankloom.protocols.build import Build
from rankloom.protocols.command import Command
from rankloom.protocols.decisions import Decisions, Transition
from rankloom.protocols.encoder import Encoder, HistoryEncoder
from rankloom.protocols.features import Encoded, Features
from rankloom.protocols.fusion import Fusion
from rankloom.protocols.guard import Guard, GuardBase
from rankloom.protocols.history import History
from rankloom.protocols.metric import Metric, RankedBlock
from rankloom.protocols.objective import CandidateRegime, Objective
from rankloom.protocols.policy import Policy
from rankloom.protocols.ragged import RaggedIndices
from rankloom.protocols.retriever import Retriever
from rankloom.protocols.sampler import Sampler
from rankloom.protocols.scorer import Scorer
from rankloom.protocols.scores import Context, Scale, ScoredCandidates, Scores
from rankloom.protocols.simulator import Estimator, Simulator
from rankloom.protocols.slates import Slates
from rankloom.protocols.source import Source, Split
from rankloom.protocols.state import State, Stateful
from rankloom.protocols.training import (
    ScoreFunction,
    TargetKind,
    TrainBatch,
    TrainData,
    ValidationBlock,
    ValidationData,
)

__all__ = [
    "Build",
    "CandidateBatch",
    "CandidateRegime",
    "Command",
    "Context",
    "Decisions",
    "Encoded",
    "Encoder",
    "Estimator",
    "Features",
    "Fusion",
    "Guard",
    "GuardBase",
    "History",
    "HistoryEncoder",
    "Metric",
    "Objective",
    "Policy",
    "QueryBatch",
    "RaggedIndices",
    "RankedBlock",
    "Retriever",
    "Sampler",
    "Scale",
    "ScoreFunction",
    "ScoredCandidates",
    "Scorer",
    "Scores",
    "Simulator",
    "Slates",
    "Source",
    "Split",
    "State",
    "Stateful",
    "TargetKind",
    "TrainBatch",
    "TrainData",
    "Transition",
    "ValidationBlock",
    "ValidationData",
]
