"""The cache of frozen features: the same maps bit for bit, computed once, bounded, safe beside damaged files."""

import pytest
import torch

from blemish.features import extractor
from blemish.features.cache import FeatureCache, digests
from blemish.features.frozen import Features, caching


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    sizes: list[int] = []
    compute = Features.compute

    def counting(self, image):
        sizes.append(len(image))
        return compute(self, image)

    monkeypatch.setattr(Features, "compute", counting)
    return sizes


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_cached_features_are_bit_for_bit_those_computed(tmp_path, images, counted) -> None:
    """Looked up is computed bit for bit in any order and by another cache."""
    net = extractor("texnet_s", (8, 16))
    plain = net(images[:3]), net(images[3:])
    with FeatureCache(tmp_path, digests(images)).open():
        assert same(net(images[:3]), plain[0])
        assert same(net(images[3:]), plain[1])
    assert counted == [3] * 4
    mixed = [5, 0, 3]
    with FeatureCache(tmp_path, digests(images)).open() as cache:
        found = extractor("texnet_s", (8, 16))(images[mixed])  # another object, the same network
    assert counted == [3] * 4
    assert (cache.looked_up, cache.computed) == (3, 0)
    assert same(found, [torch.cat([one, other])[mixed] for one, other in zip(*plain, strict=True)])
    assert caching.get() is None


def test_other_networks_and_batch_sizes_are_kept_apart(tmp_path, images, counted) -> None:
    """Other networks layers precisions and batch sizes are kept apart."""
    cache = FeatureCache(tmp_path, digests(images))
    nets = [
        extractor("texnet_s", (8, 16)),
        extractor("texnet_s", (16,)),
        extractor("texnet_s", (8, 16), pretrained=False),
    ]
    nets.append(extractor("texnet_s", (8, 16)))
    nets[-1].precision = "bfloat16"
    plain = [net(images) for net in nets]
    with cache.open():
        for _ in range(2):
            assert all(same(net(images), kept) for net, kept in zip(nets, plain, strict=True))
        counted.clear()
        nets[0](images[:1])  # may round differently alone: it is computed alone
    assert counted == [1]


def test_only_announced_images_are_kept(tmp_path, images, counted) -> None:
    net = extractor("texnet_s", (16,))
    with FeatureCache(tmp_path, digests(images[:3])).open():
        for _ in range(2):
            net(images)  # half of them unknown
            net(images[3:])
    assert counted == [6, 3, 6, 3]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_gradient_through_the_network_is_not_cut(tmp_path, images) -> None:
    net = extractor("texnet_s", (16,))
    with FeatureCache(tmp_path, digests(images)).open():
        net(images)
        asked = images.clone().requires_grad_()
        net(asked)[0].sum().backward()
    assert asked.grad is not None


def test_it_stays_within_its_limit_and_the_longest_unused_goes(tmp_path, images) -> None:
    net = extractor("texnet_s", (16,))
    with FeatureCache(tmp_path, digests(images)).open():
        net(images[:2])
    (first,) = tmp_path.rglob("*.safetensors")
    limit = int(2.5 * first.stat().st_size)
    cache = FeatureCache(tmp_path, digests(images), limit=limit)
    with cache.open():
        net(images[2:4])
        net(images[4:])
    files = list(tmp_path.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= limit
    assert first not in files
    assert len(files) == 2


def test_a_damaged_file_is_computed_anew(tmp_path, images, counted) -> None:
    net = extractor("texnet_s", (16,))
    with FeatureCache(tmp_path, digests(images)).open():
        plain = net(images)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:200])
    with FeatureCache(tmp_path, digests(images)).open() as cache:
        assert same(net(images), plain)
    assert cache.computed == len(images)
    with FeatureCache(tmp_path, digests(images)).open() as cache:
        assert same(net(images), plain)
    assert cache.looked_up == len(images)


def test_another_users_file_is_neither_touched_nor_removed(tmp_path, images, monkeypatch) -> None:
    net = extractor("texnet_s", (16,))
    with FeatureCache(tmp_path, digests(images)).open():
        plain = net(images)

    def forbidden(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("blemish.features.cache.os.utime", forbidden)
    with FeatureCache(tmp_path, digests(images)).open() as cache:
        assert same(net(images), plain)
    assert cache.looked_up == len(images)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_room_is_made_around_another_users_file(tmp_path, images, monkeypatch) -> None:
    """Room is made around another users file that may not be removed."""
    net = extractor("texnet_s", (16,))
    plain = net(images)

    def forbidden(*args: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with FeatureCache(tmp_path, digests(images)).open():
        net(images[:2])
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", forbidden)
        cache = FeatureCache(tmp_path, digests(images), limit=1)
        cache._make_room(1)
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    with FeatureCache(tmp_path, digests(images), limit=1).open():
        assert same(net(images), plain)


def test_a_full_disk_is_said_and_the_maps_are_computed(tmp_path, images) -> None:
    net = extractor("texnet_s", (16,))
    (tmp_path / "file").touch()
    with FeatureCache(tmp_path / "file", digests(images)).open():
        with pytest.warns(UserWarning, match="features are no longer kept"):
            found = net(images)
        assert same(net(images), found)
