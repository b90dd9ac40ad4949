"""What the diagnosis of methods near chance computes, against scipy and on scores whose cause is known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "nuisance.py"


@pytest.fixture(scope="module")
def nuisance():
    spec = importlib.util.spec_from_file_location("bench_nuisance", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rank_correlation_is_scipys(nuisance) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 50).astype(float), rng.normal(size=50)
    assert nuisance.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert nuisance.spearman(a, a**3) == pytest.approx(1)
    assert nuisance.spearman(np.ones(5), np.arange(5.0)) == 0


def test_what_a_nuisance_says_of_the_score_is_taken_off(nuisance) -> None:
    """Scores are a nuisance plus a defect: buried before, plain after; and a nuisance of no influence changes little."""
    rng = np.random.default_rng(1)
    company, known = rng.uniform(0, 10, (300, 1)), rng.uniform(0, 10, (400, 1))
    labels = np.r_[np.zeros(200, int), np.ones(200, int)]
    company_scores, scores = company[:, 0], known[:, 0] + labels
    left = nuisance.placed(scores, company_scores) - nuisance.explained(company, company_scores, known)
    before, after = nuisance.auroc(labels, scores), nuisance.auroc(labels, left)
    assert before < 0.7
    assert after > 0.9
    free = rng.uniform(0, 10, 400) + 5 * labels
    idle = nuisance.explained(company, rng.uniform(0, 10, 300), known)
    assert abs(nuisance.auroc(labels, free) - nuisance.auroc(labels, nuisance.placed(free, free) - idle)) < 0.05


def test_the_page_shows_every_number(nuisance) -> None:
    cell = {
        "correlations": dict.fromkeys(nuisance.NUISANCES, 0.5),
        "explained": 0.625,
        "auroc": 0.541,
        "auroc_left": 0.612,
        "kinds": {"Crack": 0.7, "Fray": 0.3},
    }
    page = nuisance.page({"ae": cell})
    assert "| ae | +0.50 | +0.50 | +0.50 | +0.50 | +0.50 | +0.62 | 0.541 | 0.612 |" in page
    assert "| ae | 0.700 | 0.300 |" in page
