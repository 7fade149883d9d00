"""Every public name of `lesa_framework` itself, which gets them from here when the first one is asked for."""

from lesa_framework.api import accelerate, attach_strategy
from lesa_framework.backbones import AdapterMatch, find_adapter
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import dump_config, load_config
from lesa_framework.config.nested import AnyPredictor
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import (
    ArtifactError,
    ConfigError,
    LesaError,
    LesaWarning,
    MetricUnavailableError,
    PeerError,
    PluginContractError,
    UnknownPluginError,
    UnsupportedBackboneError,
    did_you_mean,
    in_one_line,
    is_out_of_memory,
)
from lesa_framework.hub.card import CardFacts
from lesa_framework.hub.saving import from_pretrained, push_to_hub, save_pretrained
from lesa_framework.interfaces.backbone import Arguments, BackboneAdapter, BackboneConfig, CustomBackboneConfig
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.fit import Batch, Fit, FitSize, FitTask, Progress, TrainingConfig
from lesa_framework.interfaces.host import Host, HostCall
from lesa_framework.interfaces.metric import LoadedMetric, Metric
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.paths import ConfigPath
from lesa_framework.interfaces.peer import (
    HasTransformer,
    Peer,
    PeerFamily,
    PeerSettings,
    PeerWorkload,
    ToldPeerFamily,
)
from lesa_framework.interfaces.predictor import AffinePredictor, Predictor, PredictorConfig, Reuse
from lesa_framework.interfaces.published import Imported, Published
from lesa_framework.interfaces.router import OneStage, RouterConfig, StageRouter
from lesa_framework.interfaces.schedule import Always, NoiseLevels, ScheduleConfig, SchedulePolicy, steps_at
from lesa_framework.model_info import ModelInfo
from lesa_framework.plugin.manager import add_plugin
from lesa_framework.plugin.markers import hookimpl
from lesa_framework.plugin.registry import DemoPromptSource, NamedModel, PromptSource, Registrar
from lesa_framework.processes import World
from lesa_framework.report import CallReport, RunReport
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.session import Session
from lesa_framework.types import (
    Choice,
    Decision,
    EntryInfo,
    Filter,
    HistoryPlace,
    HistoryView,
    Reason,
    RunInfo,
    Samples,
    StepContext,
    StepRecord,
    Tap,
    Tuning,
)

__all__ = [
    "AdapterMatch",
    "AffinePredictor",
    "Always",
    "AnyPredictor",
    "Arguments",
    "ArtifactError",
    "BackboneAdapter",
    "BackboneConfig",
    "Batch",
    "CallReport",
    "CardFacts",
    "Choice",
    "ConfigError",
    "ConfigPath",
    "CustomBackboneConfig",
    "Decision",
    "DemoPromptSource",
    "EntryInfo",
    "Filter",
    "Fit",
    "FitSize",
    "FitTask",
    "HasTransformer",
    "HistoryPlace",
    "HistoryView",
    "Host",
    "HostCall",
    "Imported",
    "LesaConfig",
    "LesaError",
    "LesaWarning",
    "LoadedMetric",
    "Metric",
    "MetricUnavailableError",
    "ModelInfo",
    "NamedModel",
    "NoiseLevels",
    "Observer",
    "OneStage",
    "Peer",
    "PeerError",
    "PeerFamily",
    "PeerSettings",
    "PeerWorkload",
    "PluginConfig",
    "PluginContractError",
    "Predictor",
    "PredictorConfig",
    "Progress",
    "PromptSource",
    "Published",
    "Reason",
    "Recorder",
    "Registrar",
    "Reuse",
    "RouterConfig",
    "RunInfo",
    "RunPlan",
    "RunReport",
    "Samples",
    "ScheduleConfig",
    "SchedulePolicy",
    "Session",
    "StageRouter",
    "StepContext",
    "StepRecord",
    "Strategy",
    "Tap",
    "ToldPeerFamily",
    "TrainingConfig",
    "Tuning",
    "UnknownPluginError",
    "UnsupportedBackboneError",
    "World",
    "accelerate",
    "add_plugin",
    "attach_strategy",
    "build_strategy",
    "did_you_mean",
    "dump_config",
    "find_adapter",
    "from_pretrained",
    "hookimpl",
    "in_one_line",
    "is_out_of_memory",
    "load_config",
    "push_to_hub",
    "save_pretrained",
    "steps_at",
]
