import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxsci.data import images, reading
from jaxsci.errors import InputError


def sample(n=12, shape=(5, 7), classes=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % classes


def idx(array):
    """The bytes of an IDX file: 0, 0, type, rank, sizes, numbers, big-endian."""
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    kind = array.dtype.newbyteorder(">")
    head = bytes([0, 0, codes[kind.str[1:]], array.ndim])
    return head + np.array(array.shape, ">u4").tobytes() + array.astype(kind).tobytes()


def write_pair(folder, x, y, zipped=True):
    suffix = ".gz" if zipped else ""
    pack = gzip.compress if zipped else bytes
    (folder / f"digits-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(y.astype(np.uint8))))
    path = folder / f"digits-images-idx3-ubyte{suffix}"
    path.write_bytes(pack(idx(x)))
    return path


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_pairs_come_back_scaled(tmp_path, zipped):
    x, y = sample()
    read = images.read(write_pair(tmp_path, x, y, zipped))
    np.testing.assert_array_equal(read.x, (x / np.float32(255))[..., None])
    np.testing.assert_array_equal(read.y, y)
    assert (read.x.dtype, read.y.dtype, read.classes) == (np.float32, np.int32, 3)


def test_idx_labels_may_be_named(tmp_path):
    x, y = sample()
    (tmp_path / "pictures").write_bytes(idx(x))
    (tmp_path / "answers").write_bytes(idx(y.astype(np.int32)))
    np.testing.assert_array_equal(images.read(tmp_path / "pictures", tmp_path / "answers").y, y)
    with pytest.raises(InputError, match="name the file of labels too"):
        images.read(tmp_path / "pictures")


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_every_type_of_idx_is_read(tmp_path, dtype):
    x = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "x-images").write_bytes(idx(x))
    scale = 1 if dtype[0] == "f" else 255
    np.testing.assert_allclose(images.read_unlabeled(tmp_path / "x-images")[..., 0], x / scale, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
@pytest.mark.parametrize(("dtype", "scale"), [("u1", 255), ("i8", 255), ("f4", 1), ("f8", 1), ("?", 1)])
def test_npz_comes_back(tmp_path, shape, dtype, scale):
    x, y = sample(shape=shape)
    x = x.astype(dtype)
    read = images.read(write(tmp_path / "mine.npz", x=x, y=y))
    np.testing.assert_allclose(read.x, x.reshape(12, 5, 7, -1) / scale, rtol=1e-6)
    assert read.x.dtype == np.float32


def test_images_of_16_bits_are_scaled_by_their_range(tmp_path):
    x = np.array([[[0, 65535]], [[256, 1]]], np.uint16)
    read = images.read(write(tmp_path / "mine.npz", x=x, y=[0, 1]))
    np.testing.assert_allclose(read.x[..., 0], x / 65535, rtol=1e-6)
    dark = write(tmp_path / "dark.npz", x=x[1:] // 256)
    np.testing.assert_allclose(images.read_unlabeled(dark, unit=read.unit)[..., 0], x[1:] // 256 / 65535, rtol=1e-6)
    with pytest.raises(InputError, match="expected whole numbers from 0 to 65535 as in the images for training"):
        images.read_unlabeled(write(tmp_path / "real.npz", x=x / 65535), unit=read.unit)


@pytest.mark.parametrize(
    ("largest", "unit"),
    [(255, 255), (256, 65535), (1000, 65535), (1023, 1023), (4095, 4095), (16383, 16383), (65534, 65535)],
)
def test_images_in_files_of_16_bits_are_scaled_by_those_bits_but_for_saturated_cameras(largest, unit, tmp_path):
    x = np.array([[[0, largest]], [[2, 1]]], np.uint16)
    read = images.read(write(tmp_path / "mine.npz", x=x, y=[0, 1]))
    assert read.unit == unit
    np.testing.assert_allclose(read.x[..., 0], x / unit, rtol=1e-6)
    if unit < 65535:
        with pytest.raises(
            InputError, match=f"from 0 to {unit} as in the images for training, got 0 to 65535; give images of"
        ):
            images.read_unlabeled(write(tmp_path / "other.npz", x=np.array([[[0, 65535]]], np.uint16)), unit=unit)


def test_images_without_labels_are_read_for_prediction(tmp_path):
    x, y = sample()
    expected = (x / np.float32(255))[..., None]
    np.testing.assert_array_equal(images.read_unlabeled(write(tmp_path / "x.npz", x=x)), expected)
    np.testing.assert_array_equal(images.read_unlabeled(write_pair(tmp_path, x, y)), expected)


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_hdf5_and_labels_with_one_column_are_read(tmp_path, names):
    x, y = sample()
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file[names[0]], file[names[1]] = x, y[:, None]
    read = images.read(tmp_path / "mine.h5")
    np.testing.assert_array_equal(read.x, (x / np.float32(255))[..., None])
    np.testing.assert_array_equal(read.y, y)
    assert read.part is None


PART_NAMES = {
    "MedMNIST": ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
    "Keras": ("x_train", "y_train", "x_test", "y_test"),
}


@pytest.mark.parametrize("kind", PART_NAMES)
def test_the_parts_of_a_file_are_kept(tmp_path, kind):
    x, y = sample(n=60)
    names = PART_NAMES[kind]
    cuts = (42, 48) if len(names) == 6 else (48,)
    arrays = [array for pair in zip(np.split(x, cuts), np.split(y[:, None], cuts), strict=True) for array in pair]
    path = write(tmp_path / "parts.npz", **dict(zip(names, arrays, strict=True)))
    read = images.read(path)
    np.testing.assert_array_equal(read.x[..., 0], x / np.float32(255))
    np.testing.assert_array_equal(read.y, y)
    train, validation, test = images.parts(read, seed=1, fractions=(0.7, 0.1, 0.2))
    np.testing.assert_array_equal(test, np.arange(48, 60))
    if kind == "MedMNIST":
        np.testing.assert_array_equal(train, np.arange(42))
        np.testing.assert_array_equal(validation, np.arange(42, 48))
    else:  # an eighth of the training images, of every class
        assert sorted([*train, *validation]) == list(range(48))
        assert set(y[validation]) == {0, 1, 2}
    assert images.read_unlabeled(path).shape == (60, 5, 7, 1)


def test_parts_that_do_not_agree_are_refused(tmp_path):
    x, y = sample()
    with pytest.raises(InputError, match="one shape and type in all parts"):
        images.read(write(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x / 255, y_test=y))
    with pytest.raises(InputError, match="expected images for training and test, got those for training alone"):
        images.read(write(tmp_path / "b.npz", x_train=x, y_train=y))


def test_labels_of_a_run_may_be_absent_and_no_others_may_be_there(tmp_path):
    x, y = sample()
    path = write(tmp_path / "mine.npz", x=x, y=2 * (y % 2))
    assert images.read(path, classes=3).classes == 3
    with pytest.raises(InputError, match="expected labels 0 to 1 as in training, got up to 2, first in row 1"):
        images.read(path, classes=2)
    assert images.read(write(tmp_path / "one.npz", x=x, y=0 * y), classes=2).classes == 2


def test_names_in_a_file_do_not_break_the_line_or_move_the_cursor(tmp_path):
    path = write(tmp_path / "mine.npz", **{"a\n\x1b[2Jb": X})
    with pytest.raises(InputError, match="got a") as caught:
        images.read(path)
    assert str(caught.value).isprintable()


def test_a_small_file_that_unpacks_to_gigabytes_is_read_to_its_declared_size(tmp_path, monkeypatch):
    path = tmp_path / "bomb-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(X) + bytes(2**24)))
    taken = []
    monkeypatch.setattr(reading, "require_memory", lambda path, size, what: taken.append(size))
    with pytest.raises(InputError, match=r"bytes for an array of shape .* got more"):
        images.read_unlabeled(path)
    assert len(taken) == 1


def bad(**changes):
    x, y = sample()
    return {"x": x, "y": y} | changes


X, Y = sample()
BAD = {
    "no y": ({"x": X}, "expected the arrays x.*and y.*got x;"),
    "two axes": (bad(x=X[0]), r"shape \[5, 7\]"),
    "five axes": (bad(x=X[..., None, None]), r"shape \[12, 5, 7, 1, 1\]"),
    "no images": ({"x": X[:0], "y": Y[:0]}, r"shape \[0, 5, 7\]"),
    "complex": (bad(x=X.astype(complex)), "type complex128"),
    "NaN": (bad(x=np.where(np.arange(12)[:, None, None] == 4, np.nan, X)), "NaN or infinity, first in image 4"),
    "too large for float32": (bad(x=X * 1e38), "NaN or infinity"),
    "negative whole numbers": (bad(x=X.astype(int) - 300), "from 0 to 65535"),
    "large whole numbers": (bad(x=X.astype(int) * 1000), "scale the images"),
    "lengths differ": (bad(y=Y[:-1]), r"each of 12 images, got labels of shape \[11\]"),
    "one-hot": (bad(y=np.eye(3)[Y]), r"labels of shape \[12, 3\]; .*argmax"),
    "float labels": (bad(y=Y.astype(float)), "whole numbers as labels, got type float64"),
    "negative label": (bad(y=np.where(Y == 1, -1, Y)), "got -1 in row 1"),
    "gaps": (bad(y=Y * 3), "got up to 6 without 1, 2, 4, 5"),
    "from 1": (bad(y=Y + 1), "got up to 3 without 0"),
    "far away": (bad(y=np.where(Y == 1, 10**12, Y)), "got up to 1000000000000 without 1, 3"),
    "one class": (bad(y=Y * 0), "at least two classes, got label 0 only"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused_in_one_line(tmp_path, arrays, message):
    path = write(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        images.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_loaded(tmp_path):
    with pytest.raises(InputError, match="pickled Python objects, which are never loaded"):
        images.read(write(tmp_path / "mine.npz", x=X, y=np.array([Trap()] * 12, dtype=object)))


DAMAGE = {
    "empty": (lambda whole: b"", "the file is empty"),
    "half": (lambda whole: whole[: len(whole) // 2], "cannot be read|bytes for an array"),
    "inside the header": (lambda whole: whole[:10], "cannot be read|bytes for an array"),
    "other format": (lambda whole: b"GIF89a" * 100, "begins with b'GIF8'"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_idx_files_are_refused_in_one_line(tmp_path, change, message, zipped):
    path = write_pair(tmp_path, *sample(), zipped)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        images.read(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_npz_is_refused(tmp_path):
    path = write(tmp_path / "mine.npz", x=X, y=Y)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read"):
        images.read(path)


def test_an_idx_file_with_too_much_or_absurd_sizes_is_refused(tmp_path):
    path = write_pair(tmp_path, X, Y, zipped=False)
    whole = path.read_bytes()
    for content in (whole + b"x", whole[:4] + b"\xff" * 12 + whole[16:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="bytes for an array"):
            images.read(path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        images.read(tmp_path / "none.npz")
    path = write_pair(tmp_path, X, Y)
    (tmp_path / "digits-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"digits-labels-idx1-ubyte\.gz: no such file"):
        images.read(path)


@pytest.mark.skipif("JAXSCI_DATA" not in os.environ, reason="needs the files that JAXSCI_DATA points to")
def test_the_test_part_of_mnist():
    read = images.read(Path(os.environ["JAXSCI_DATA"]) / "images" / "mnist-t10k-images-idx3-ubyte.gz")
    assert read.x.shape == (10_000, 28, 28, 1)
    assert np.bincount(read.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert read.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert (read.x.min(), read.x.max()) == (0, 1)


def test_arrays_that_are_not_read_are_named(tmp_path):
    path, y = tmp_path / "x.npz", np.arange(6) % 2
    np.savez(path, x=np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8), y=y, groups=y, ids=y)
    assert len(images.read(path).x) == 6
    assert images.unused(path) == ["groups", "ids"]
