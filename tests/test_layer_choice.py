"""`layers: auto`: the one candidate that can fit is found, held-out shots are not seen, and a choice that was cut short goes on."""

import json

import msgspec
import numpy as np
import pytest
import torch
from test_adaptation import FAST, files, run_stage, small_generator, small_regressor

from flexpose_core.errors import ConfigError
from flexpose_core.files import read_json
from flexpose_core.models.adapters import load_adapter
from flexpose_core.options.adaptation import (
    AdaptationOptions,
    AlignmentOptions,
    GuidanceOptions,
    LayerSearchOptions,
    PerceptualOptions,
)
from flexpose_core.stages import choose_layers as module
from flexpose_core.stages.choose_layers import choose_layers

assert files  # the fixture

SEARCH = LayerSearchOptions(candidates=(("f1",), ("f2",), ("f3",)), folds=3, steps_share=1.0, samples=200)
AUTO = msgspec.structs.replace(
    FAST, layers="auto", layer_search=SEARCH, pool=60, pair_steps=60, pair_batch=16, energy_steps=10, energy_batch=16
)
GUIDANCE = GuidanceOptions(mixup_size=40, space="bones", symmetry="auto")


def stiff_generator():
    """A generator of which f1 and f2 move the first joints alone; the other joints are where the last layer's bias puts them."""
    generator = small_generator()
    with torch.no_grad():
        generator.f.layers[-1].weight[6:] = 0
    return generator


def shots_elsewhere(generator, count=9):
    """Poses of the generator with its stiff joints moved, so that only a layer after the last weights can follow."""
    z = torch.randn(count, 8, generator=torch.Generator().manual_seed(3))
    poses = generator.pose(z).numpy()
    poses[:, 3:] += 0.3
    return poses


def choose(options, shots, work, generator=None, seed=0):
    generator = generator or stiff_generator()
    source = np.random.default_rng(1).uniform(0.1, 0.9, (80, 15, 2)).astype(np.float32)
    return choose_layers(options, GUIDANCE, generator, small_regressor(), source, shots, seed, str(work), "x")


def scores_of_shots(work):
    """What each trial fit wrote: {(candidate, fold): scores of the shots held out}."""
    return {
        tuple(map(int, path.parent.name.split("_"))): read_json(path)["scores"]
        for path in sorted(work.glob("layers/*/scores.json"))
    }


def test_the_only_layer_that_can_fit_is_chosen(tmp_path):
    quick = msgspec.structs.replace(AUTO, learning_rate=0.1)
    layers, search = choose(quick, shots_elsewhere(stiff_generator()), tmp_path)
    assert layers == ("f3",)
    assert [row["layers"] for row in search["candidates"]] == [("f1",), ("f2",), ("f3",)]
    unfit, also_unfit, best = search["candidates"]
    assert best["excess"] == 0
    # 12 of 15 joints are off by 0.3 √2 of 128 px each; what is drawn at random is far smaller.
    off = 0.3 * 128 * (12 * 2) ** 0.5
    for row in (unfit, also_unfit):
        assert row["excess"] == pytest.approx(row["score"] - best["score"])
        assert 0.25 * off < row["excess"] < 1.1 * off
        assert 0 < row["excess_error"] < 0.3 * row["excess"]
    kept = scores_of_shots(tmp_path)
    assert len(kept) == 9
    assert best["score"] == pytest.approx(np.concatenate([kept[2, fold] for fold in range(3)]).mean())


def test_the_order_of_the_candidates_does_not_matter(tmp_path):
    shots = shots_elsewhere(stiff_generator(), 6)
    turned = msgspec.structs.replace(SEARCH, candidates=SEARCH.candidates[::-1], folds=2)
    first = choose(
        msgspec.structs.replace(AUTO, layer_search=msgspec.structs.replace(SEARCH, folds=2)), shots, tmp_path / "a"
    )
    second = choose(msgspec.structs.replace(AUTO, layer_search=turned), shots, tmp_path / "b")
    assert first[0] == second[0]
    assert first[1]["candidates"] == second[1]["candidates"][::-1]


def test_a_shot_held_out_is_seen_by_no_fit_of_its_fold(tmp_path):
    options = msgspec.structs.replace(AUTO, alignment=AlignmentOptions(candidates=60, bone_rounds=1))
    shots = shots_elsewhere(stiff_generator())
    choose(options, shots, tmp_path / "a")
    other = shots.copy()
    other[4] = np.random.default_rng(9).uniform(0, 1, (15, 2))
    choose(options, other, tmp_path / "b")
    before, after = scores_of_shots(tmp_path / "a"), scores_of_shots(tmp_path / "b")
    changed = {key: [a != b for a, b in zip(before[key], after[key], strict=True)] for key in before}
    of_its_fold = [flags for flags in changed.values() if sum(flags) == 1]
    # With it held out, only its own score changes; with it among the shots left, mixup, symmetry and alignment all do.
    assert len(of_its_fold) == 3
    assert sum(all(flags) for flags in changed.values()) == 6


def test_a_choice_cut_short_goes_on_and_ends_alike(tmp_path, monkeypatch):
    shots = shots_elsewhere(stiff_generator(), 6)
    whole = choose(AUTO, shots, tmp_path / "whole")
    fits = []

    def train_until(limit):
        def train(fit, steps, stage, *more):
            if len(fits) == limit:
                raise KeyboardInterrupt
            fits.append(stage)
            return original(fit, steps, stage, *more)

        return train

    original = module.train
    monkeypatch.setattr(module, "train", train_until(5))
    with pytest.raises(KeyboardInterrupt):
        choose(AUTO, shots, tmp_path / "parts")
    monkeypatch.setattr(module, "train", train_until(-1))
    assert choose(AUTO, shots, tmp_path / "parts") == whole
    assert len(fits) == 9
    # Of other shots nothing is taken over, nor of a damaged file.
    (tmp_path / "parts/layers/0_0/scores.json").write_text("{")
    assert choose(AUTO, shots, tmp_path / "parts") == whole
    assert len(fits) == 10
    choose(AUTO, shots + np.float32(0.01), tmp_path / "parts")
    assert len(fits) == 19


def test_scores_of_other_arithmetic_are_not_compared(tmp_path, monkeypatch):
    shots, fits, original = shots_elsewhere(stiff_generator(), 6), [], module.train
    monkeypatch.setattr(module, "train", lambda *given: fits.append(given) or original(*given))
    choose(AUTO, shots, tmp_path)
    choose(AUTO, shots, tmp_path)
    assert len(fits) == 9
    monkeypatch.setattr(module, "arithmetic", lambda device, mixed: "another processor's")
    choose(AUTO, shots, tmp_path)
    assert len(fits) == 18


def test_the_stage_goes_on_with_the_layers_it_chose(files):
    options = msgspec.structs.replace(AUTO, layer_search=msgspec.structs.replace(SEARCH, folds=2))
    transfer, metrics, _ = run_stage(files, "auto", options, guidance_options=GUIDANCE)
    found = read_json(metrics)
    scores = [row["score"] for row in found["layer_search"]["candidates"]]
    assert found["layers"] == found["layer_search"]["candidates"][int(np.argmin(scores))]["layers"]
    assert found["layer_search"]["folds"] == 2
    assert found["layer_search"]["steps"] == 70
    fixed, fixed_metrics, _ = run_stage(files, "fixed", msgspec.structs.replace(FAST, **chosen_of(options, found)))
    assert transfer.read_bytes() == fixed.read_bytes()
    rest = read_json(fixed_metrics)
    assert {**rest, "layers": found["layers"], "layer_search": found["layer_search"]} == found


def chosen_of(options, found):
    """The options of a fit with the layers that were found, fixed."""
    fields = {name: getattr(options, name) for name in options.__struct_fields__}
    return {**fields, "layers": tuple(found["layers"]), "layer_search": LayerSearchOptions()}


@pytest.mark.parametrize("trained", ["transfer", "low-rank"])
def test_layers_are_chosen_by_images_too(files, trained):
    options = msgspec.structs.replace(
        AUTO,
        trained=trained,
        perceptual=PerceptualOptions(kind="regressor"),
        pairing="random",
        layer_search=LayerSearchOptions(folds=2, steps_share=0.1, samples=10),
        pair_steps=4,
        energy_steps=0,
    )
    transfer, metrics, _ = run_stage(files, "auto", options, guidance_options=GUIDANCE)
    found = read_json(metrics)
    named = [json.dumps(row["layers"]) for row in found["layer_search"]["candidates"]]
    styles = ["[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[1, 3]", "[3, 5]", '"all"']
    assert named == (styles if trained == "low-rank" else ['"mapping"', *styles])
    assert found["layer_search"]["steps"] == 1
    adapter = load_adapter(transfer, small_generator())
    expected = {"mapping": (), "all": (1, 2, 3, 4, 5, 6)}.get(str(found["layers"]), found["layers"])
    assert tuple(adapter.architecture.style) == tuple(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trained": "generator"}, "layers: expected none to choose, as 'generator' trains them all, found 'auto'"),
        (
            {"perceptual": {"kind": "pose"}, "candidates": ["mapping", ["f1", 3]]},
            r"candidates\[1\]: expected layers of f",
        ),
        ({"trained": "low-rank", "candidates": [[1], "mapping"]}, r"candidates\[1\]: expected style layers"),
    ],
    ids=["generator", "pose", "low-rank"],
)
def test_candidates_that_cannot_be_fitted_are_refused_with_the_options(options, message):
    rest = dict(options)
    search = {"candidates": rest.pop("candidates", [])}
    with pytest.raises(ConfigError, match=message):
        msgspec.convert({"layers": "auto", "layer_search": search, **rest}, AdaptationOptions)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"candidates": (("f1",), ("f9",))}, r"candidates\[1\]: expected 1\.\.6, f1\.\.f3, all or mapping, found 'f9'"),
        ({"candidates": ("auto",)}, r"candidates\[0\]: expected .* found 'auto'"),
        ({"candidates": ((),)}, r"candidates\[0\]: expected at least one layer"),
        ({"folds": 10}, r"folds: expected at most the 9 shots, found 10"),
    ],
    ids=["unknown", "auto", "empty", "folds"],
)
def test_what_the_generator_or_the_shots_lack_is_named(tmp_path, search, message):
    options = msgspec.structs.replace(AUTO, layer_search=LayerSearchOptions(**search))
    with pytest.raises(ConfigError, match=message):
        choose(options, shots_elsewhere(stiff_generator()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_stage_needs_the_guidances_options(files):
    with pytest.raises(ConfigError, match="expected the guidance's options for 'auto', found none"):
        run_stage(files, "none", AUTO)
