"""What the diagnosis of methods at chance computes, against scipy and on scores whose cause is known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from blemish.metrics import auroc

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "at_chance.py"


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location("bench_at_chance", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rank_correlation_is_scipys(harness) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 60).astype(float), rng.normal(size=60)
    assert harness.follows(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert harness.follows(a, a**3) == pytest.approx(1)
    assert harness.follows(np.ones(5), np.arange(5.0)) == 0


def test_a_score_buried_in_a_nuisance_is_dug_out(harness) -> None:
    """Scores grow with a nuisance, defects double them: the fit sees good parts alone and leaves what defects add."""
    rng = np.random.default_rng(1)
    nuisance, free = rng.uniform(1, 10, 900), rng.uniform(size=900)
    labels = np.r_[np.zeros(600), np.ones(300)]
    scores = np.exp(nuisance / 2) * (1 + labels) * np.exp(0.05 * rng.normal(size=900))
    fit = np.arange(900) < 300
    left = harness.residuals(scores, np.stack([nuisance, free], axis=1), fit)
    test = ~fit
    assert auroc(labels[test], scores[test]) < 0.75
    assert auroc(labels[test], left[test]) > 0.97
    idle = harness.residuals(scores, free[:, None], fit)
    assert auroc(labels[test], idle[test]) == pytest.approx(auroc(labels[test], scores[test]), abs=0.03)


def test_nuisances_are_what_they_are_called(harness) -> None:
    flat = np.full((16, 16, 3), 0.25, np.float32)
    board = np.tile((np.indices((16, 16)).sum(0) % 2)[..., None], (1, 1, 3)).astype(np.float32)
    quiet, loud = harness.nuisances((30, 60), flat), harness.nuisances((30, 60), board)
    assert quiet == pytest.approx({"area": 1800, "aspect": 2, "brightness": 0.25, "contrast": 0, "grain": 0}, abs=1e-9)
    assert loud["brightness"] == loud["contrast"] == pytest.approx(0.5)
    assert loud["grain"] > 0.1


@pytest.mark.parametrize("defect", ["dark", "grey", "colour"])
def test_a_planted_defect_stays_in_its_square(harness, defect) -> None:
    seen = np.random.default_rng(2).uniform(0.3, 0.7, (40, 40, 3)).astype(np.float32)
    kept = seen.copy()
    changed = (harness.planted(seen, defect) != seen).any(axis=2)
    assert (seen == kept).all(), "the image given is not touched"
    assert changed[17:23, 17:23].all()
    assert changed.sum() == 36
    spread = np.ptp(harness.planted(seen.mean(2, keepdims=True).repeat(3, 2), defect), axis=2)
    assert bool(spread.max() > 0.5) == (defect == "colour")


def test_scores_that_follow_the_grain_are_found_out(harness) -> None:
    """Scores that follow the grain are found out and all numbers are shown."""
    rng = np.random.default_rng(3)

    def row(part: str, kind: str) -> dict:
        grain, bad = rng.uniform(1, 9), kind != "good"
        known = {"grain": grain, **{name: rng.uniform() for name in ("area", "aspect", "brightness", "contrast")}}
        about = {"part": part, "kind": kind, "label": int(bad), "score": np.exp(grain) * (5.0 if bad else 1.0)}
        return {**about, **known, **({"inside": 0.8} if bad else {})}

    asked = [("fresh", "good")] * 150 + [("test", "good")] * 150 + [("test", "crack")] * 150
    spread = np.exp(rng.uniform(1, 9, 40))
    cell = {"rows": [row(*each) for each in asked], "planted": [[s, 1.01 * s, 1e9, 0.0] for s in spread]}
    found = harness.analysed(cell)
    assert found["follows"]["grain"] == pytest.approx(1)
    assert found["auroc"] < 0.8
    assert found["left"] > 0.95
    assert found["kinds"]["crack"] == (found["auroc"], pytest.approx(0.8))
    seen, told = found["planted"]["dark"]
    assert seen == 1
    assert told == pytest.approx(0.5, abs=0.05), "every score rises, and yet the parts differ by more"
    assert found["planted"]["grey"] == (1, 1)
    assert found["planted"]["colour"] == (0, 0)
    assert found["counts"] == (150, 150, 40)
    text = harness.page({"ae": found}, 0, "\nBy hand: kept.\n")
    assert f"| ae | 1.00 / {told:.2f} | 1.00 / 1.00 | 0.00 / 0.00 | 40 |" in text
    assert text.endswith(harness.BY_HAND + "\n\nBy hand: kept.\n")
