"""One way from a file to the network, for every kind of file a camera or a person may bring."""

import io
import os
import struct

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow  # an independent reader and writer, to check ours against

from blemish.core.errors import FormatError, ImageError, InputError
from blemish.imaging.images import Imaging, resize, resize_mask
from blemish.imaging.reading import read, read_mask


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth colour picture, 24 high and 40 wide, whose channels and axes cannot be confused."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([x * 6, y * 10, 200 - x * 2 - y], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("tif", 0), ("webp", 0.05), ("jpg", 0.05)])
def test_every_kind_of_file_reads_as_rgb(tmp_path, photo, suffix, tolerance) -> None:
    path = tmp_path / f"a.{suffix}"
    Pillow.fromarray(photo).save(path, **({"quality": 95} if tolerance else {}))
    image = read(path)
    assert image.shape == (24, 40, 3)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, photo / 255, atol=max(tolerance, 1e-6))


def test_modes_grey_palette_alpha_bilevel(tmp_path, photo) -> None:
    rgb = Pillow.fromarray(photo)
    expected = {
        "L": np.repeat(np.asarray(rgb.convert("L"))[..., None], 3, 2),
        "P": np.asarray(rgb.convert("P").convert("RGB")),
        "RGBA": photo,
        "LA": np.repeat(np.asarray(rgb.convert("L"))[..., None], 3, 2),
        "1": np.repeat(np.asarray(rgb.convert("1"))[..., None], 3, 2) * 255,
    }
    for mode, pixels in expected.items():
        path = tmp_path / f"{mode}.png"
        rgb.convert(mode).save(path)
        np.testing.assert_allclose(read(path), pixels / 255, atol=1e-6, err_msg=mode)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix, channels) -> None:
    ramp = np.linspace(0, 65535, 24 * 40 * channels).astype(np.uint16).reshape(24, 40, channels).squeeze()
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), ramp[..., ::-1] if channels == 3 else ramp)
    image = read(path)
    np.testing.assert_allclose(image, (ramp if channels == 3 else ramp[..., None]) / 65535 * np.ones(3), atol=1e-6)
    assert len(np.unique(image)) > 900  # clipped or eight-bit reading would leave 256 levels at most


def test_white_level_of_a_twelve_bit_camera(tmp_path) -> None:
    path = tmp_path / "twelve.png"
    cv2.imwrite(str(path), np.array([[0, 2048, 4095, 5000]] * 8, np.uint16))
    np.testing.assert_allclose(read(path, white=4095)[0, :, 0], [0, 2048 / 4095, 1, 1], atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, photo, orientation) -> None:
    from PIL import ImageOps

    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Pillow.fromarray(photo).save(path, exif=exif, quality=98)
    with Pillow.open(path) as reference:
        expected = np.asarray(ImageOps.exif_transpose(reference)) / 255
    np.testing.assert_allclose(read(path), expected, atol=0.03)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_mask_is_turned_as_its_image_is(tmp_path, suffix, orientation) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[2:6, 3:9] = 255
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    Pillow.fromarray(pixels).save(path, exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    np.testing.assert_array_equal(read_mask(path, above=127), read(path)[..., 0] > 0.5)


def tiff(path, pixels: np.ndarray, **tags: list[int]):
    """Write pixels, (H, W) or (H, W, C), as one strip; `tags` are those of the name `tNUMBER`, short integers."""
    height, width = pixels.shape[:2]
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    known = {256: [width], 257: [height], 258: [pixels.itemsize * 8] * count, 259: [1], 262: [1 if count == 1 else 2]}
    known |= {277: [count], 278: [height], 279: [pixels.nbytes], 273: [8]}
    known |= {int(name[1:]): values for name, values in tags.items()}
    data, spilt, start = pixels.tobytes(), b"", 8 + pixels.nbytes
    entries, after = b"", start + 2 + 12 * len(known) + 4
    for tag, values in sorted(known.items()):
        kind, code = (4, "I") if tag in (273, 279) else (3, "H")
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            packed, spilt = struct.pack("<I", after + len(spilt)), spilt + packed
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", start)
    path.write_bytes(head + data + struct.pack("<H", len(known)) + entries + struct.pack("<I", 0) + spilt)
    return path


def test_tiffs_are_read_rightly_or_refused(tmp_path, photo) -> None:
    path, deep, grey = tmp_path / "a.tif", photo.astype(np.uint16) * 257, photo[..., 0]
    planes = np.ascontiguousarray(deep.transpose(2, 0, 1))
    for pixels, tags in [(photo, {}), (deep, {}), (grey, {}), (grey.astype(np.uint16) * 257, {})]:
        expected = np.broadcast_to(photo if pixels.ndim == 3 else grey[..., None], photo.shape) / 255
        np.testing.assert_allclose(read(tiff(path, pixels, **tags)), expected, atol=1e-6)
    np.testing.assert_allclose(read(tiff(path, grey, t262=[0]))[..., 0], 1 - grey / 255, atol=1e-6)
    with pytest.raises(ImageError, match=r"more than 8 bits in which 0 is white.*Save it as PNG"):
        read(tiff(path, grey.astype(np.uint16) * 257, t262=[0]))
    with pytest.raises(ImageError, match=r"more than 8 bits whose colours are stored one after the other"):
        read(tiff(path, planes.reshape(24, 40, 3), t284=[2]))
    for signed in (np.int8, np.int16):
        with pytest.raises(ImageError, match="another kind of numbers than unsigned integers"):
            read(tiff(path, (grey // 2).astype(signed), t339=[2]))


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_colours_under_transparency_are_never_dimmed(tmp_path, photo, alpha) -> None:
    clear = np.dstack([photo, np.full(photo.shape[:2], alpha, np.uint8)])
    for suffix in ("png", "bmp", "tif"):
        path = tmp_path / f"clear.{suffix}"
        Pillow.fromarray(clear).save(path)
        if suffix == "tif" and alpha < 255:
            with pytest.raises(ImageError, match=r"in part transparent.*Save it as PNG"):
                read(path)
            with pytest.raises(ImageError, match="in part transparent"):
                read_mask(path)
        else:
            np.testing.assert_allclose(read(path), photo / 255, atol=1e-6)


def test_arrays_are_read_like_files(photo) -> None:
    np.testing.assert_array_equal(read(photo), read(Pillow.fromarray(photo)))
    np.testing.assert_allclose(read(photo.astype(np.float64) / 255), photo / 255, atol=1e-6)
    assert read(photo[..., 0]).shape == (24, 40, 3)
    np.testing.assert_array_equal(read(np.dstack([photo, photo[..., :1]])), read(photo))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 24, 40), np.uint8),
        np.zeros((24, 40, 2), np.uint8),
        np.zeros((0, 40, 3), np.uint8),
        np.full((8, 8), 7.0),
        np.full((8, 8), np.nan),
        np.full((8, 8), -0.1),
        np.zeros((8, 8), np.int32),
    ],
)
def test_senseless_arrays_are_refused(array) -> None:
    with pytest.raises(ImageError, match=r"allowed|float"):
        read(array)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.98))
def test_a_cut_off_file_is_an_error_never_half_a_picture(suffix, share, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(noise).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
    with pytest.raises(ImageError, match=r"cut\."):
        read(path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"RIFF"]),
)
def test_any_bytes_are_an_image_or_a_clear_error(data, start, tmp_path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(start + data)
    with pytest.raises(ImageError, match=r"x\.png"):
        read(path)


def test_absent_folder_and_text_files(tmp_path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        read(tmp_path)
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageError, match="not a PNG, JPEG"):
        read(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path) -> None:
    path = tmp_path / "bomb.png"
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"60000 x 60000 pixels; the limit is 80,000,000"):
        read(path)
    assert cv2.imwrite(str(tmp_path / "big.png"), np.zeros((30, 30), np.uint8))
    with pytest.raises(ImageError, match="limit is 899"):
        read(tmp_path / "big.png", max_pixels=899)


def test_one_pixel_is_too_small_and_limits_can_be_set(tmp_path) -> None:
    """A picture of one pixel is too small and limits can be set."""
    assert cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1), np.uint8))
    with pytest.raises(ImageError, match="1 x 1 pixels is too small"):
        Imaging()(tmp_path / "dot.png")
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 30), np.uint8))
    with pytest.raises(ImageError, match="limit is 500"):
        Imaging(max_pixels=500)(tmp_path / "a.png")


def test_errors_name_the_file_and_white_levels_are_checked(tmp_path) -> None:
    """Errors name the file and impossible white levels are refused."""
    assert cv2.imwrite(str(tmp_path / "thin.png"), np.zeros((40, 5), np.uint8))
    with pytest.raises(ImageError, match=r"thin\.png: an image of 5 x 40 pixels is too small"):
        Imaging()(tmp_path / "thin.png")
    with pytest.raises(ImageError, match="4095 cannot be its white level"):
        read(tmp_path / "thin.png", white=4095)
    big_endian = np.arange(0, 64 * 64, dtype=">u2").reshape(64, 64)
    np.testing.assert_array_equal(read(big_endian), read(big_endian.astype(np.uint16)))


def test_masks_of_all_encodings(tmp_path) -> None:
    values = np.zeros((10, 12), np.uint8)
    values[2, 3], values[4, 5], values[6, 7] = 1, 100, 255
    cv2.imwrite(str(tmp_path / "m.png"), values)
    assert read_mask(tmp_path / "m.png").sum() == 3
    assert read_mask(tmp_path / "m.png", above=127).sum() == 1
    opaque = np.dstack([values] * 3 + [np.full_like(values, 255)])
    cv2.imwrite(str(tmp_path / "rgba.png"), opaque)
    assert read_mask(tmp_path / "rgba.png").sum() == 3


def test_shrinking_averages_every_pixel() -> None:
    """Fine textures must not alias: the mean survives and stripes of one pixel become their average."""
    stripes = np.zeros((200, 300), np.float32)
    stripes[:, ::2] = 1
    np.testing.assert_allclose(resize(stripes, (50, 75)), 0.5, atol=1e-6)
    noise = np.random.default_rng(0).random((128, 96), dtype=np.float32)
    blocks = noise.reshape(32, 4, 24, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(noise, (32, 24)), blocks, atol=1e-6)
    np.testing.assert_allclose(
        resize(stripes, (400, 75)), 0.5, atol=1e-6
    )  # one axis grows, the other must still average


def test_restore_puts_every_pixel_back_where_it_came_from() -> None:
    """A bright dot at a known place of an odd-shaped image comes back at that place, through crop and region."""
    for imaging in (
        Imaging(size=(64, 64)),
        Imaging(size=(64, 96), crop=(56, 80)),
        Imaging(size=(64, 64), roi=(40, 20, 240, 150)),
        Imaging(size=(96, 64), crop=(80, 56), roi=(40, 20, 240, 150)),
    ):
        image = np.zeros((170, 260, 3), np.float32)
        image[84:90, 140:146] = 1
        seen = imaging.prepare(image)
        assert seen.shape == (*imaging.input_size, 3)
        back = imaging.restore(seen[..., 0], (170, 260))
        y, x = np.unravel_index(back.argmax(), back.shape)
        assert abs(y - 86.5) <= 3
        assert abs(x - 142.5) <= 3
        assert back.shape == (170, 260)


def test_what_is_ignored_cannot_matter() -> None:
    ignore = np.zeros((10, 10), bool)
    ignore[:, :5] = True
    imaging = Imaging(size=(32, 32), ignore=ignore)
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 60, 80, 3), dtype=np.float32)
    two[:, 40:] = one[:, 40:]
    np.testing.assert_array_equal(imaging.prepare(one), imaging.prepare(two))
    restored = imaging.restore(rng.random((32, 32), dtype=np.float32), (60, 80))
    assert (restored[:, :40] == restored.min()).all()
    np.testing.assert_array_equal(imaging.valid((60, 80)), np.arange(80)[None].repeat(60, 0) >= 40)


def test_masks_follow_images_through_crop_and_region() -> None:
    imaging = Imaging(size=(64, 64), crop=(48, 48), roi=(10, 10, 110, 90))
    mask = np.zeros((100, 120), bool)
    mask[45:55, 55:65] = True
    seen_mask = imaging.prepare_mask(mask)
    seen_image = imaging.prepare(np.repeat(mask[..., None], 3, 2).astype(np.float32))[..., 0] > 0.5
    assert seen_mask.shape == (48, 48)
    assert (seen_mask ^ seen_image).sum() <= 0.35 * seen_mask.sum()
    assert resize_mask(mask, (100, 120)) is mask


def test_settings_survive_json() -> None:
    import json

    ignore = np.random.default_rng(0).random((33, 21)) > 0.5
    before = Imaging(size=(64, 80), crop=(32, 40), roi=(1, 2, 300, 400), ignore=ignore, white=4095.0, max_pixels=7)
    after = Imaging.from_dict(json.loads(json.dumps(before.as_dict())))
    for name in ("size", "crop", "roi", "white", "max_pixels"):
        assert getattr(after, name) == getattr(before, name)
    assert after.ignore is not None
    np.testing.assert_array_equal(after.ignore, ignore)
    with pytest.raises(FormatError, match="imaging"):
        Imaging.from_dict({"size": (64, 64), "zoom": 2})


@pytest.mark.parametrize(
    "settings_",
    [
        {"size": (4, 64)},
        {"size": (64,)},
        {"size": (64, 64), "crop": (80, 64)},
        {"roi": (10, 10, 5, 20)},
        {"white": 0.0},
        {"ignore": np.ones((4, 4), bool)},
    ],
)
def test_impossible_settings_are_refused(settings_) -> None:
    with pytest.raises(InputError):
        Imaging(**settings_)


def test_a_region_larger_than_the_image_says_so(photo) -> None:
    with pytest.raises(ImageError, match=r"\(0, 0, 100, 100\) does not fit in an image of 40 x 24"):
        Imaging(roi=(0, 0, 100, 100))(photo)


def sized_tiff(*tags: tuple[int, int, int]) -> bytes:
    """A TIFF of 40 x 30 grey pixels; `tags` (number, kind, value) say how large it is."""
    entries = [*tags, (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8 + 2 + 12 * (len(tags) + 7) + 4)]
    entries += [(277, 3, 1), (278, 4, 30), (279, 4, 40 * 30)]
    packed = b"".join(struct.pack("<HHIi", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + b"\0\0\0\0" + bytes(40 * 30)


@pytest.mark.parametrize(
    "size",
    [
        [(256, 4, 40), (257, 4, 30)],
        [(256, 9, 40), (257, 9, 30)],  # signed numbers, which decoders take as well
        [(256, 8, 40), (257, 6, 30)],
        [(256, 4, 40), (256, 4, 1), (257, 4, 30), (257, 4, 1)],  # said twice: decoders take the first
    ],
)
def test_the_limit_of_pixels_holds_however_a_tiff_says_its_size(tmp_path, size) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(sized_tiff(*size))
    assert read(path).shape == (30, 40, 3)
    with pytest.raises(ImageError, match=r"holds 40 x 30 pixels; the limit is 1,199"):
        read(path, max_pixels=1199)


def test_a_tiff_without_a_size_is_refused(tmp_path) -> None:
    path = tmp_path / "x.tif"
    for size in ([], [(256, 4, 40)], [(256, 9, -40), (257, 9, 30)], [(256, 11, 40), (257, 11, 30)]):
        path.write_bytes(sized_tiff(*size))
        with pytest.raises(ImageError, match="does not say how large it is"):
            read(path)


def test_what_never_ends_or_is_far_too_large_is_not_read(tmp_path) -> None:
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("endless.png", "pipe.png"):
        with pytest.raises(ImageError, match="cannot be opened: it is not a regular file"):
            read(tmp_path / name)
    with (tmp_path / "film.png").open("wb") as stream:
        stream.truncate(2**41)
    with pytest.raises(
        ImageError, match=r"film\.png has 2,199,023,255,552 bytes, more than an image of 80,000,000 pixels"
    ):
        read(tmp_path / "film.png")


@pytest.mark.parametrize("roi", [(0, 0, 5), (0, 0, 5, 6, 7), (0, 0, 5.5, 6.5), (0, 0, True, "6")])
def test_a_region_is_four_whole_numbers(roi) -> None:
    with pytest.raises(InputError, match=r"must be \(left, top, right, bottom\), whole"):
        Imaging(roi=roi)
    with pytest.raises(FormatError, match="damaged"):
        Imaging.from_dict({**Imaging().as_dict(), "roi": list(roi)})
