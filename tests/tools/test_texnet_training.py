"""What texnet is trained on and for: defects, episodes, the ranking, and a run that learns, stops and continues."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from blemish.features import extractor
from blemish.features.texnet import SIZES, TexNet, load_weights, read_weights

pytestmark = pytest.mark.slow

Tools = dict[str, ModuleType]


@pytest.fixture(scope="module")
def pieces(tools: Tools) -> np.ndarray:
    return np.stack([tools["recipes"].instances(recipe, 4, 0, 48) for recipe in range(6)])


@pytest.fixture
def plan(tools: Tools) -> object:
    sizes = {"recipes": 6, "pieces": 4, "size": 48, "crop": 48, "view": 32, "views": 6, "materials": 2}
    return tools["learner"].Plan(**sizes, queries=1, references=1, rate=0.002)


# --- defects


def test_each_fault_changes_the_region_only(tools: Tools) -> None:
    defects = tools["defects"]
    rng = np.random.default_rng(0)
    image, other = (rng.random((48, 48, 3)).astype(np.float32) * 0.5 + 0.25 for _ in range(2))
    alpha = np.zeros((48, 48), np.float32)
    alpha[10:30, 12:40] = 1
    reach = np.zeros_like(alpha)
    reach[:42, :] = 1  # a dent's flanks lie up to twelve pixels beside it: three times the widest blur
    for fault in defects.FAULTS:
        change = np.broadcast_to(fault(rng, image, alpha, other), image.shape)
        assert np.abs(change[alpha > 0]).mean() > 0.005, fault.__name__
        outside = reach if fault.__name__ == "dent" else alpha
        assert np.abs(change[outside == 0]).max() < 1e-6, fault.__name__


def test_foreign_matter_and_stains_are_what_they_say(tools: Tools) -> None:
    defects = tools["defects"]
    image, other = np.full((8, 8, 3), 0.5, np.float32), np.full((8, 8, 3), 0.9, np.float32)
    alpha = np.ones((8, 8), np.float32)
    np.testing.assert_allclose(image + defects.foreign(np.random.default_rng(0), image, alpha, other), other)
    smeared = defects.smeared(np.random.default_rng(0), image, alpha, other)
    np.testing.assert_allclose(smeared, 0, atol=1e-6)  # a flat place has nothing to smear


def test_regions_are_of_many_shapes_and_sizes_and_mostly_small(tools: Tools) -> None:
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        alpha = tools["defects"].region(rng, 64, 80)
        assert alpha.shape == (64, 80)
        assert alpha.dtype == np.float32
        assert 0 <= alpha.min() <= alpha.max() <= 1
        areas.append(float((alpha > 0.5).mean()))
    assert np.median(areas) < 0.08
    assert np.quantile(areas, 0.95) > 0.25


def test_the_mask_is_where_the_picture_changed_visibly(tools: Tools) -> None:
    rng = np.random.default_rng(0)
    image, other = (rng.random((64, 64, 3)).astype(np.float32) for _ in range(2))
    spoilt = 0
    for _ in range(60):
        new, mask = tools["defects"].spoil(rng, image, other)
        assert new.dtype == np.float32
        assert 0 <= new.min() <= new.max() <= 1
        changed = np.abs(new - image).mean(2)
        assert changed[~mask].max(initial=0) < 9 * tools["defects"].SEEN  # the mean over 3 x 3 stays below SEEN
        if mask.any():
            assert changed[mask].mean() > tools["defects"].SEEN / 2
            spoilt += 1
    assert spoilt > 50


# --- episodes


def test_an_episode_is_decided_by_its_seed(tools: Tools, pieces: np.ndarray) -> None:
    """An episode is decided by its seed and only queries are spoilt."""
    draw = tools["episodes"].episode
    one, same, other = (draw(pieces, np.random.default_rng(seed), 4, 2, 2, 40) for seed in (1, 1, 2))
    assert one.images.shape == (4, 4, 3, 40, 40)
    assert one.masks.shape == (4, 2, 40, 40)
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)
    assert 0 <= one.images.min() <= one.images.max() <= 1
    spoilt = [draw(pieces, np.random.default_rng(s), 4, 1, 2, 40).masks.flatten(2).any(2) for s in range(12)]
    assert 0.5 < torch.stack(spoilt).float().mean() < 0.9  # three of four, a few too faint to be seen


def test_a_coarse_camera_blurs_faults_as_it_blurs_the_part(tools: Tools, pieces: np.ndarray) -> None:
    """No two neighbours differ as they do in a sharp picture, and masks are as large as the pictures."""
    draw, views = tools["episodes"].episode, tools["episodes"].views

    def rough(images: torch.Tensor) -> float:
        """How large the second differences are beside the first."""
        first = images.diff(dim=-1)
        return float(first.diff(dim=-1).square().mean() / first.square().mean())

    sharp, soft = (draw(pieces, np.random.default_rng(3), 6, 1, 2, 48, share) for share in (0.0, 1.0))
    assert sharp.images.shape == soft.images.shape
    assert sharp.masks.shape == soft.masks.shape
    assert soft.masks.any()
    assert rough(soft.images) < 0.75 * rough(sharp.images)
    seen = [views(pieces, np.random.default_rng(3), 6, 32, share)[0] for share in (0.0, 1.0)]
    assert rough(seen[1]) < 0.75 * rough(seen[0])


def test_what_glare_hides_is_no_fault(tools: Tools, pieces: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = tools["episodes"]
    assert episodes.episode(pieces, np.random.default_rng(1), 4, 1, 2, 40).masks.any()
    monkeypatch.setattr(episodes, "_shade", lambda rng, strength, side: np.full((side, side, 1), 1e6, np.float32))
    white = pieces // 2 + 120
    assert not episodes.episode(white, np.random.default_rng(1), 4, 1, 2, 40).masks.any()


def test_views_are_cut_from_the_material_that_they_name(tools: Tools) -> None:
    tones = np.linspace(10, 240, 8).astype(np.uint8)
    flat = np.broadcast_to(tones[:, None, None, None, None], (8, 3, 64, 64, 3))
    images, recipes = tools["episodes"].views(flat, np.random.default_rng(0), 8, 32)
    assert images.shape == (8, 3, 32, 32)
    assert sorted(recipes.tolist()) == list(range(8))  # each once
    brightness, tone = images.mean((1, 2, 3)), torch.from_numpy(tones.astype(np.float32))[recipes]
    assert torch.corrcoef(torch.stack([brightness, tone]))[0, 1] > 0.7  # light and contrast differ, the order stays


# --- the objective, against slow references


def test_log_distances_are_those_of_a_loop(tools: Tools) -> None:
    features = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    found = tools["objective"].log_distances(features, 2)
    for task in range(2):
        bank, asked = features[task, :2].reshape(-1, 4), features[task, 2:].reshape(-1, 4)
        for i, patch in enumerate(asked):
            nearest = min(float((patch - row).norm()) for row in bank)
            assert found[task, i] == pytest.approx(np.log(nearest), abs=1e-3)


def test_rank_is_its_formula_and_does_not_depend_on_scale(tools: Tools) -> None:
    distances = torch.tensor([[0.1, 0.9, 0.4, 0.2], [0.3, 0.1, 0.2, 0.6]])
    spoilt = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    good = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]]).bool()
    rank, sharp = tools["objective"].rank, tools["objective"].SHARPNESS
    expected = np.log1p((np.exp(sharp * (0.1 - 0.9)) + np.exp(sharp * (0.4 - 0.9))) / 2)
    assert float(rank(distances, spoilt, good)) == pytest.approx(
        expected, rel=1e-5
    )  # the task without defect is left out
    assert float(rank(distances + np.log(7), spoilt, good)) == pytest.approx(expected, rel=1e-5)
    assert float(rank(distances, good & False, good)) == 0


def test_peaks_compare_the_worst_patches_of_whole_parts(tools: Tools) -> None:
    """A slow reference, with plain powers; a part without a defect adds good places only, a task without one nothing."""
    generator = torch.Generator().manual_seed(0)
    logs = torch.rand(3, 3 * 8, generator=generator)
    spoilt, good = torch.rand(3, 24, generator=generator) < 0.3, torch.ones(3, 24, dtype=torch.bool)
    spoilt[0, 8:16], spoilt[2] = False, False
    good &= ~spoilt
    objective, losses = tools["objective"], []
    for row, bad, fine in zip(logs.double().exp().numpy(), spoilt.numpy(), good.numpy(), strict=True):
        for part in range(3):
            own = [d for d, hit in zip(row[8 * part :][:8], bad[8 * part :][:8], strict=True) if hit]
            if own:
                power = objective.STEEPNESS
                highest, peak = (sum(d**power for d in some) ** (1 / power) for some in (row[fine], own))
                assert max(own) <= peak <= max(own) * len(own) ** (1 / power)
                losses.append(np.log1p((highest / peak) ** objective.SHARPNESS))
    assert len(losses) == 5
    assert float(objective.peaks(logs, spoilt, good, 3)) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(objective.peaks(logs, spoilt & False, good, 3)) == 0


def test_separation_is_an_auroc(tools: Tools) -> None:
    from blemish.metrics import auroc

    generator = torch.Generator().manual_seed(0)
    distances, spoilt = torch.rand(1, 50, generator=generator), torch.rand(1, 50, generator=generator) < 0.3
    found = tools["objective"].separation(distances, spoilt, ~spoilt)
    assert float(found) == pytest.approx(auroc(spoilt[0].numpy(), distances[0].numpy()))


def test_a_patch_is_spoilt_good_or_neither(tools: Tools) -> None:
    masks = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    masks[0, 0, 8:16, 8:16] = True
    spoilt, good = (m.view(4, 4) for m in tools["objective"].truth(masks, (4, 4)))
    assert spoilt.nonzero().tolist() == [[1, 1]]
    assert not good[:3, :3].any()
    assert good[3].all()
    assert good[:, 3].all()
    small = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    small[0, 0, 2:4, 2:4] = True  # a sixteenth of its patch, and all there is
    assert tools["objective"].truth(small, (4, 4))[0].sum() == 1


def test_mixing_is_small_when_every_task_has_its_own_place(tools: Tools) -> None:
    apart = torch.randn(3, 3, 6, 4) * 0.01 + torch.arange(3.0).view(3, 1, 1, 1) * 10
    good = torch.ones(3, 6, dtype=torch.bool)

    def loss(features: torch.Tensor) -> float:
        return float(tools["objective"].mixing(features, 2, good, torch.Generator().manual_seed(0)))

    assert loss(apart) < 1e-3
    assert loss(torch.randn(3, 3, 6, 4)) > 0.5


def test_neighbourhoods_are_those_of_patchcore(tools: Tools) -> None:
    map = torch.randn(2, 4, 8, 8)
    pooled = F.avg_pool2d(map, 3, 1, 1)
    of = tools["objective"].neighbourhood
    torch.testing.assert_close(of(map, (8, 8)), pooled)
    torch.testing.assert_close(of(map, (4, 4)), F.avg_pool2d(pooled, 2))
    torch.testing.assert_close(of(map, (16, 16)), F.interpolate(pooled, (16, 16), mode="bilinear"))


# --- training


def test_steps_lower_the_loss_of_naming(tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path) -> None:
    train, seen = tools["train"], []
    plain = replace(plan, bf16=False)  # in software, bfloat16 is ten times slower
    train.train(
        pieces,
        plain,
        tools["progress"].Clock(total=80),
        tmp_path,
        1000,
        lambda step, values: seen.append(values["naming"]),
    )
    assert len(seen) == 80
    assert np.mean(seen[-20:]) < 0.85 * np.mean(seen[:20])


def test_steps_on_one_episode_lower_the_loss_of_ranking(tools: Tools, pieces: np.ndarray, plan: object) -> None:
    torch.manual_seed(0)
    learner, drawn = tools["learner"].Learner(plan), tools["learner"].draw(pieces, plan, 0)
    assert drawn.episode.masks.any()
    optimiser, seen = torch.optim.AdamW(learner.parameters(), 1e-3), []
    for step in range(25):
        values = tools["learner"].losses(learner, plan, drawn, step)
        optimiser.zero_grad()
        values["ranking"].backward()
        optimiser.step()
        seen.append((float(values["rank"].detach()), float(values["auroc"])))
    assert seen[-1][0] < 0.5 * seen[0][0]
    assert seen[-1][1] > max(0.9, seen[0][1])


def test_a_killed_run_continues_to_the_very_same_weights(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    whole = train.train(pieces, plan, tools["progress"].Clock(total=6), tmp_path / "whole", 2)

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(pieces, plan, tools["progress"].Clock(total=6), tmp_path / "killed", 2, kill)
    steps: list[int] = []
    again = train.train(  # by more threads, too
        pieces,
        plan,
        tools["progress"].Clock(total=6),
        tmp_path / "killed",
        2,
        lambda step, values: steps.append(step),
        drawers=3,
    )
    assert steps == [5, 6]  # the last checkpoint was written after step 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert len((tmp_path / "killed" / "log.csv").read_text().splitlines()) == 2  # a heading and the last step
    with pytest.raises(SystemExit, match="another --work"):
        train.train(pieces, tools["learner"].Plan(), tools["progress"].Clock(total=9), tmp_path / "killed")


def test_a_run_can_start_from_another_ones_weights(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    first = train.train(pieces, plan, tools["progress"].Clock(total=3), tmp_path / "first", 3)
    still = replace(plan, rate=1e-12, naming=0.1)
    second = train.train(
        pieces,
        still,
        tools["progress"].Clock(total=1),
        tmp_path / "second",
        start=tmp_path / "first" / "checkpoint.safetensors",
    )
    for (name, value), other in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(value, other, msg=name)


def test_a_run_can_start_from_shipped_weights(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folded network's function comes back, and classifiers that know the materials, which shipped weights lack."""
    train, path = tools["train"], tmp_path / "w.safetensors"
    before = train.train(pieces, plan, tools["progress"].Clock(total=12), tmp_path / "first", 100)
    tools["shipping"].export(before, pieces, plan, path, "9", {"start_steps": 5, "steps": 12})
    assert tools["progress"].steps_of(path) == 17
    learner = tools["learner"].Learner(plan)
    monkeypatch.setattr(tools["starts"], "NAMED", 40)  # of six materials only
    tools["starts"].unfold(learner, tools["progress"].read_checkpoint(path)[0], pieces, plan)
    shipped, image = TexNet(SIZES["texnet_s"]).eval(), torch.rand(2, 3, 48, 48)
    load_weights(shipped, path)
    assert learner.training
    with torch.no_grad():
        for map, other in zip(learner.eval().net(image), shipped(image), strict=True):
            torch.testing.assert_close(map, other, rtol=1e-3, atol=1e-3)
        right = [
            float(tools["learner"].losses(learner, plan, tools["learner"].draw(pieces, plan, step), step)["accuracy"])
            for step in range(3, 23)
        ]
    assert np.mean(right) > 0.3  # of 120 views, at once; guessing among six names 0.17, with a deviation of 0.03
    train.train(
        pieces, replace(plan, peak=0.3), tools["progress"].Clock(total=1), tmp_path / "second", start=path, drawers=3
    )


def test_the_discriminant_tells_gaussian_classes_apart(tools: Tools) -> None:
    generator = torch.Generator().manual_seed(0)
    answers = torch.arange(300) % 3  # of four classes, the last never seen
    mixing = torch.randn(5, 5, generator=generator)
    features = (torch.eye(3, 5)[answers] * 4 + torch.randn(300, 5, generator=generator)) @ mixing
    head = torch.nn.Linear(5, 4)
    tools["starts"].discriminate(head, features, answers)
    assert float((head(features)[:, :3].argmax(1) == answers).float().mean()) > 0.95
    assert not head.weight[3].any()
    assert not head.bias[3].any()


def test_context_can_be_added_and_changes_nothing_at_first(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path
) -> None:
    """Context can be added to a run without it and changes nothing at first."""
    train = tools["train"]
    bare = train.train(pieces, replace(plan, context=False), tools["progress"].Clock(total=3), tmp_path / "bare", 3)
    learner = tools["learner"].Learner(plan)
    weights = tools["progress"].learner_weights(
        tools["progress"].read_checkpoint(tmp_path / "bare" / "checkpoint.safetensors")[0]
    )
    tools["starts"].take_over(learner, weights)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before, after = bare.eval()(image), learner.eval()(image)
    for old, new in zip([*before.ranked, before.named[0]], [*after.ranked, after.named[0]], strict=True):
        torch.testing.assert_close(old, new)
    assert (before.named[1].shape[1:], after.named[1].shape[1:]) == ((128, 2, 2), (64, 4, 4))


def test_what_is_ranked_is_what_is_shipped(tools: Tools) -> None:
    """Each part beside the ranked maps has `share`^2 of their summed variance, as `balance` leaves it."""
    generator = torch.Generator().manual_seed(0)
    grids = [torch.randn(3, 4, 20, 5, generator=generator) * 3, torch.randn(3, 4, 20, 7, generator=generator)]
    others = [torch.randn(3, 4, 20, 9, generator=generator) * 100]
    (found,) = tools["objective"].weighed(grids, others, 0.5)

    def spread(grid: torch.Tensor) -> float:
        return float(np.var(grid.reshape(-1, grid.shape[-1]).numpy(), axis=0, ddof=1).sum())

    assert spread(found) == pytest.approx(0.25 * sum(map(spread, grids)), rel=1e-4)
    assert torch.allclose(found / others[0], (found / others[0])[0, 0, 0, 0])


def test_a_continued_log_holds_each_step_once(tools: Tools, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for step in (50, 100, 150):
        tools["progress"].log(log, {"loss": 0.5, "step": step})
    tools["progress"].shorten(log, 100)
    tools["progress"].log(log, {"loss": 0.25, "step": 150})
    assert log.read_text().split() == ["loss,step", "0.5,50", "0.5,100", "0.25,150"]


def test_minutes_and_steps_give_the_same_schedule(tools: Tools) -> None:
    """Minutes and the steps they came to give the same schedule."""
    timed = tools["progress"].Clock(minutes=1.0)
    rates = []
    while not timed.done:
        rates.append(timed.factor())
        timed.step, timed.seconds = timed.step + 1, timed.seconds + 0.1
        timed.settle()
    assert timed.total == 600
    assert timed.seconds == pytest.approx(60)
    counted = tools["progress"].Clock(total=timed.total)
    again = []
    while not counted.done:
        again.append(counted.factor())
        counted.step += 1
    assert rates == again
    assert rates[0] == pytest.approx(1 / 200)
    assert max(rates) == 1
    assert 0 < rates[-1] < 0.01


def test_folding_keeps_the_function_and_export_balances_it(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    learner = train.train(pieces, plan, tools["progress"].Clock(total=3), tmp_path, 100)
    images = torch.from_numpy(pieces[:, 0].copy()).permute(0, 3, 1, 2).float() / 255
    normalised = (images - 0.5) / 0.25
    with torch.no_grad():
        expected = learner.net(normalised)
        for map, other in zip(tools["shipping"].fold(learner.net)(normalised), expected, strict=True):
            torch.testing.assert_close(map, other, rtol=1e-3, atol=1e-3)
        tools["shipping"].export(learner, pieces, plan, tmp_path / "w.safetensors", "9", {"steps": 3})
        net = TexNet(SIZES["texnet_s"]).eval()
        load_weights(net, tmp_path / "w.safetensors")
        maps = net(normalised)
    for map, other in zip(maps[:2], expected[:2], strict=True):  # one factor a stage, so nothing but scale has changed
        scale = (map * other).sum() / other.square().sum()
        assert (map - scale * other).abs().mean() < 0.01 * map.abs().mean()
    spread, size = [map.var((0, 2, 3)) for map in maps], SIZES["texnet_s"]
    joint = torch.cat([spread[1], spread[2][: size.ranked]])
    assert float(joint.mean()) == pytest.approx(1, rel=0.02)
    for named in (spread[2][size.ranked : size.necks[2]], spread[2][size.necks[2] :]):
        assert float(named.sum() / joint.sum()) == pytest.approx(plan.share**2, rel=0.02)
    assert read_weights(tmp_path / "w.safetensors")[1]["version"] == "9"


def test_other_draws_are_other_batches_of_the_same_images(tools: Tools, pieces: np.ndarray, plan: object) -> None:
    draw = tools["learner"].draw
    first, again, other = (draw(pieces, replace(plan, draws=draws), 3) for draws in (0, 0, 1))
    before = tools["episodes"].views(
        pieces, np.random.default_rng([plan.seed, 3, 1]), plan.views, plan.view, plan.coarse
    )
    assert torch.equal(first.views, before[0])  # runs from before there was a choice are repeated
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.episode.images, again.episode.images)
    assert not torch.equal(first.views, other.views)
    assert not torch.equal(first.episode.images, other.episode.images)


def test_an_average_is_that_of_the_weights_and_says_of_which(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average, paths = tools["average"], [tmp_path / "one.safetensors", tmp_path / "two" / "checkpoint.safetensors"]
    first = tools["train"].train(pieces, plan, tools["progress"].Clock(total=1), tmp_path / "one", 100)
    tools["shipping"].export(first, pieces, plan, paths[0], "9", {"start_steps": 0, "steps": 1})
    tools["train"].train(pieces, plan, tools["progress"].Clock(total=2), tmp_path / "two", 100)
    one, two = (average.folded(path)[0] for path in paths)
    state = average.averaged(SIZES["texnet_s"], [one, two], [0.3, 0.9], "stage4_neck").state_dict()
    torch.testing.assert_close(
        state["stem.layer.0.weight"],
        0.25 * one["stem.layer.0.weight"].float() + 0.75 * two["stem.layer.0.weight"].float(),
    )
    assert torch.equal(state["stage4_neck.0.weight"], two["stage4_neck.0.weight"].float())
    with pytest.raises(SystemExit, match="give 2 positive numbers"):
        average.averaged(SIZES["texnet_s"], [one, two], [1.0])
    with pytest.raises(SystemExit, match="differ"):
        average.averaged(SIZES["texnet_s"], [one, {"stem.layer.0.weight": two["stem.layer.0.weight"]}], [1.0, 1.0])
    with pytest.raises(SystemExit, match="differ"):
        average.averaged(SIZES["texnet_m"], [one, two], [1.0, 1.0])
    monkeypatch.setattr(average, "cached", lambda folder, plan, workers: pieces)
    asked = ["average.py", "--cache", "no", "--out", str(tmp_path / "mean.safetensors"), "--weights", *map(str, paths)]
    monkeypatch.setattr("sys.argv", asked)
    average.main()
    load_weights(TexNet(SIZES["texnet_s"]), tmp_path / "mean.safetensors")
    made = json.loads(read_weights(tmp_path / "mean.safetensors")[1]["trained"])
    assert [(part["part"], part["steps"]) for part in made["average"]] == [(1.0, 1), (1.0, 2)]


def test_an_unfinished_run_can_be_validated_with_any_share(
    tools: Tools, pieces: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    train.train(pieces, plan, tools["progress"].Clock(total=2), tmp_path, 2)
    fine, coarse = tools["validate"].from_checkpoint(tmp_path / "checkpoint.safetensors", 0.0)(torch.rand(1, 3, 64, 64))
    assert (fine.shape, coarse.shape) == ((1, 64, 8, 8), (1, 192, 4, 4))
    assert coarse[:, :64].abs().sum() > 0
    assert coarse[:, 64:].abs().sum() == 0


def test_the_shipped_network_ranks_unseen_materials_better(tools: Tools) -> None:
    """Recipes beyond those of the training run: the separation of spoilt from good patches, over a few episodes."""
    validate = tools["validate"]
    random, trained = (
        np.mean(validate.tasks(extractor("texnet_s", [8, 16], pretrained=known), validate.drawn(4, 0)))
        for known in (False, True)
    )
    assert trained > random + 0.1, (trained, random)
