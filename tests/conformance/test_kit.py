"""Each check of the kit finds its own fault and no other; parts without a fault pass them all."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rankloom import ComponentSpec, component
from rankloom.errors import PluginError
from rankloom.hookspecs import hookimpl
from rankloom.host import Host
from rankloom.host import default as host_default
from rankloom.testing import CHECKED_KINDS, checks_for, conformance_checks, run_check, run_checks


def module(name: str) -> ModuleType:
    """Import a file beside this one under its own name, so that targets resolve."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


MANIFEST = module("kit_manifest")
HEAVY = module("kit_heavy_manifest")
for file in ("kit_encoders", "kit_scorers", "kit_deciders"):
    module(file)

#: kind (``history``: an encoder of histories) → the file and the part without a fault.
SOUND = {
    "encoder": "kit_encoders:Words",
    "history": "kit_encoders:Running",
    "fusion": "kit_encoders:Sums",
    "scorer": "kit_scorers:Neighbours",
    "objective": "kit_scorers:CrossEntropy",
    "retriever": "kit_deciders:Search",
    "guard": "kit_deciders:Rule",
    "policy": "kit_deciders:Softmax",
}

#: What each check has to find.
FAULTY = {
    ("encoder", "check_deterministic"): "Drifts",
    ("encoder", "check_inputs_unmutated"): "Writes",
    ("encoder", "check_global_rng_untouched"): "Draws",
    ("encoder", "check_state_round_trip"): "Forgets",
    ("encoder", "check_batch_invariant"): "Centres",
    ("encoder", "check_gradients"): "Idle",
    ("encoder", "check_encoder_shapes"): "Unmasked",
    ("encoder", "check_encoder_missing_values"): "AllThere",
    ("encoder", "check_encoder_padding_invariant"): "OtherPadding",
    ("encoder", "check_encoder_empty_batch"): "NeverEmpty",
    ("encoder", "check_encoder_precompute_by_row"): "Offsets",
    ("encoder", "check_encoder_ignores_cold_items"): "KnowsCold",
    ("encoder", "check_encoder_fingerprint"): "Nameless",
    ("history", "check_history_shapes"): "OtherVector",
    ("history", "check_history_collate"): "ZeroPadding",
    ("history", "check_history_padding_invariant"): "ReadsPadding",
    ("history", "check_history_empty"): "NeedsEvents",
    ("history", "check_history_causal"): "SeesLater",
    ("fusion", "check_fusion_shapes"): "NumberMask",
    ("fusion", "check_fusion_masked_values"): "ReadsMasked",
    ("fusion", "check_fusion_nothing_present"): "DividesByNone",
    ("fusion", "check_fusion_masked_parameters_train"): "LeavesOut",
    ("scorer", "check_scorer_shapes"): "OtherScale",
    ("scorer", "check_scorer_shared_candidates"): "OwnDiffer",
    ("scorer", "check_scorer_permutation_equivariant"): "ReadsPlace",
    ("scorer", "check_scorer_padding_invariant"): "MindsPadding",
    ("scorer", "check_scorer_empty_candidates"): "NeedsWidth",
    ("scorer", "check_scorer_unknown_is_nan"): "UnknownIsZero",
    ("scorer", "check_scorer_samples"): "SampleIsFixed",
    ("scorer", "check_scorer_extends"): "StaysSmall",
    ("objective", "check_objective_declares"): "UnknownTarget",
    ("objective", "check_objective_differentiable"): "NotScalar",
    ("objective", "check_objective_weights"): "Unweighted",
    ("objective", "check_objective_parts"): "SaysMore",
    ("objective", "check_objective_row_order"): "FirstRowsMore",
    ("objective", "check_objective_direction"): "Upwards",
    ("retriever", "check_retriever_best_first"): "WorstFirst",
    ("retriever", "check_retriever_excludes"): "ExcludesLate",
    ("retriever", "check_retriever_short_rows"): "PadsWithZero",
    ("retriever", "check_retriever_refreshes_rows"): "KeepsOld",
    ("guard", "check_guard_reason"): "NoReason",
    ("guard", "check_guard_excludes"): "RowTooMany",
    ("guard", "check_guard_penalty"): "NotANumber",
    ("guard", "check_guard_empty_candidates"): "NeedsCandidates",
    ("guard", "check_guard_observes"): "NeedsFullSlates",
    ("policy", "check_policy_shapes"): "OtherScores",
    ("policy", "check_policy_never_masked"): "ShowsUnknown",
    ("policy", "check_policy_log_prob_agrees"): "SaysLess",
    ("policy", "check_policy_probabilities_sum_to_one"): "SecondSlotTooLikely",
    ("policy", "check_policy_frequencies"): "DrawsEvenly",
    ("policy", "check_policy_obeys_guards"): "Forgives",
    ("policy", "check_policy_penalty_lowers"): "OnlyForbids",
    ("policy", "check_policy_empty_candidates"): "NeedsChoice",
}

#: Settings with one fault each, on a guard without any.
FAULTY_CONFIGS = {
    "check_config_builds": MANIFEST.NeedsSomething,
    "check_config_frozen": MANIFEST.Assignable,
    "check_config_forbids_unknown": MANIFEST.IgnoresUnknown,
    "check_config_round_trips": MANIFEST.Rounds,
    "check_config_described": MANIFEST.Undescribed,
    "check_config_pickles": MANIFEST.HoldsCode,
    "check_manifest_light": HEAVY.HeavyConfig,
}


def spec_of(kind: str, target: str, config: Any = None) -> ComponentSpec:
    if kind in ("encoder", "history"):
        config = config or MANIFEST.PlainEncoderConfig
    options: dict[str, Any] = {}
    if kind == "encoder":
        options = {"modality": "text"}
    elif kind == "history":
        options = {"side": "history", "causal": True}
    spec = component(config or MANIFEST.PlainConfig, target, **options)
    return spec.bound("encoder" if kind == "history" else kind, "kit")


def faults(spec: ComponentSpec) -> dict[str, str]:
    results = [run_check("part", name, check) for name, check in checks_for(spec)]
    assert results
    return {result.check: result.message for result in results if result.outcome == "failed"}


@pytest.mark.parametrize("kind", SOUND)
def test_a_part_without_a_fault_passes(kind: str) -> None:
    spec = spec_of(kind, SOUND[kind])
    results = [run_check("part", name, check) for name, check in checks_for(spec)]
    assert {result.outcome for result in results} == {"passed"}, results


@pytest.mark.parametrize(("kind", "check"), FAULTY, ids=lambda value: value)
def test_each_fault_fails_its_check_alone(kind: str, check: str) -> None:
    file = SOUND[kind].partition(":")[0]
    found = faults(spec_of(kind, f"{file}:{FAULTY[kind, check]}"))
    assert set(found) == {check}, found
    assert len(found[check]) > 15  # says what is wrong


@pytest.mark.parametrize("check", FAULTY_CONFIGS)
def test_each_fault_of_settings_fails_its_check_alone(check: str) -> None:
    found = faults(spec_of("guard", SOUND["guard"], FAULTY_CONFIGS[check]))
    assert set(found) == {check}, found


def test_a_target_that_is_not_there_fails_the_factory_and_blocks_the_rest() -> None:
    spec = spec_of("guard", "kit_deciders:Missing")
    results = [run_check("part", name, check) for name, check in checks_for(spec)]
    failed = [result.check for result in results if result.outcome == "failed"]
    assert failed == ["check_factory_builds"]
    blocked = {result.check for result in results if result.outcome == "blocked"}
    assert "check_guard_excludes" in blocked
    assert "check_config_frozen" not in blocked


def test_every_check_has_a_part_that_fails_it() -> None:
    tried = {check for _, check in FAULTY} | set(FAULTY_CONFIGS) | {"check_factory_builds"}
    every = {name for kind in SOUND for name, _ in checks_for(spec_of(kind, SOUND[kind]))}
    assert every == tried
    assert set(SOUND) - {"history"} == set(CHECKED_KINDS)


@pytest.fixture
def kit_plugin(monkeypatch: pytest.MonkeyPatch) -> str:
    @hookimpl
    def register_guards() -> list[ComponentSpec]:
        return [
            component(MANIFEST.PlainConfig, "kit_deciders:NoReason"),
        ]

    plugin = SimpleNamespace(__name__="kit", register_guards=register_guards)
    monkeypatch.setattr(host_default, "_host", Host.load([plugin], installed=[]))
    return "kit"


def test_running_a_plugins_checks_by_name(kit_plugin: str) -> None:
    results = run_checks(kit_plugin)
    assert {result.component for result in results} == {"guard:plain"}
    assert [r.check for r in results if r.outcome != "passed"] == ["check_guard_reason"]
    with pytest.raises(PluginError, match=r"No plugin 'kid' is installed. Did you mean 'kit'"):
        run_checks("kid")


def test_pytest_adapter_marks_expected_failures(kit_plugin: str) -> None:
    name = "guard:plain:check_guard_reason"

    @conformance_checks(plugin=kit_plugin, expected_failures={name: "by design"})
    def test(check: Any) -> None:
        check()

    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    marked = {parameter.id: [m.name for m in parameter.marks] for parameter in mark.args[1]}
    assert marked[name] == ["xfail"]
    assert sum(bool(marks) for marks in marked.values()) == 1
    with pytest.raises(PluginError, match="Did you mean 'check_guard_reason'"):
        conformance_checks(plugin=kit_plugin, expected_failures={"check_guard_raeson": "typo"})
