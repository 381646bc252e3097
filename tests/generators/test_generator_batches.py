"""The loader and the augmentation: exact values, determinism in (seed, epoch), and no float copy of a whole split."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

import generators
from generators import AUGMENTS, Augment, BatchLoader, DataError, Split
from generators.augment import Draw, named_augment
from generators.data import to_gray

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


def make_split(count=50, shape=(3, 8, 8), seed=0) -> Split:
    draw = torch.Generator().manual_seed(seed)
    return Split(torch.randint(0, 256, (count, *shape), generator=draw, dtype=torch.uint8), torch.arange(count))


def collect(loader):
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_gray_equals_pillow_on_every_colour_of_a_grid():
    levels = torch.tensor([0, 1, 2, 29, 76, 77, 127, 128, 149, 150, 151, 200, 253, 254, 255, *list(range(3, 250, 7))])
    colours = torch.cartesian_prod(levels, levels, levels).to(torch.uint8)  # (n ** 3, 3)
    expected = np.asarray(Image.fromarray(colours[None].numpy(), "RGB").convert("L"))
    assert np.array_equal(to_gray(colours[:, :, None, None]).flatten(), expected[0])


def test_floats_are_the_bytes_over_255():
    split = make_split()
    images, labels = collect(BatchLoader(split, 16))
    assert images.dtype == torch.float32
    assert torch.equal(images, split.images.float() / 255)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, split.labels)


def test_normalisation_with_the_split_s_own_statistics():
    split = make_split(200)
    mean, std = split.mean_std()
    pixels = split.images.double() / 255
    assert torch.allclose(torch.tensor(mean).double(), pixels.mean((0, 2, 3)), atol=1e-7)
    assert torch.allclose(torch.tensor(std).double(), pixels.std((0, 2, 3), correction=0), atol=1e-7)
    images, _ = collect(BatchLoader(split, 64, mean=mean, std=std))
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.std((0, 2, 3)) - 1).abs().max() < 1e-3
    shifted, _ = collect(BatchLoader(split, 64, mean=0.5, std=0.5))
    assert torch.allclose(shifted, split.images.float() / 255 * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16, 16, 16, 2]), (True, [16, 16, 16])])
def test_batch_sizes(drop_last, sizes):
    loader = BatchLoader(make_split(), 16, shuffle=True, drop_last=drop_last)
    assert [len(labels) for _, labels in loader] == sizes
    assert len(loader) == len(sizes)


@given(count=st.integers(1, 40), batch_size=st.integers(1, 50), replicas=st.integers(1, 5), drop=st.booleans())
@settings(max_examples=60, deadline=None)
def test_lengths(count, batch_size, replicas, drop):
    split = make_split(count, (1, 2, 2))
    for rank in range(replicas):
        loader = BatchLoader(split, batch_size, shuffle=True, drop_last=drop, num_replicas=replicas, rank=rank)
        assert len(list(loader)) == len(loader)


def test_shuffling_is_a_permutation_of_seed_and_epoch():
    split = make_split()

    def order(seed, epoch):
        loader = BatchLoader(split, 7, shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        images, labels = collect(loader)
        assert torch.equal(images, split.images[labels].float() / 255)
        return labels.tolist()

    orders = [order(seed, epoch) for seed, epoch in itertools.product(range(3), range(3))]
    assert all(sorted(one) == list(range(50)) for one in orders)
    assert len({tuple(one) for one in orders}) == 9
    assert order(1, 2) == order(1, 2)


@pytest.mark.parametrize("augment", [None, *AUGMENTS])
def test_a_resumed_run_sees_the_same_batches(augment):
    split = make_split()
    whole = BatchLoader(split, 16, shuffle=True, seed=4, augment=augment)
    epochs = []
    for epoch in range(3):
        whole.set_epoch(epoch)
        epochs.append(collect(whole))
    resumed = BatchLoader(split, 16, shuffle=True, seed=4, augment=augment)
    resumed.set_epoch(2)
    torch.randn(5)  # the global generator has no part in it
    for again, before in zip(collect(resumed), epochs[2], strict=True):
        assert torch.equal(again, before)
    assert not torch.equal(epochs[1][0], epochs[2][0])


def test_augmentation_leaves_the_order_alone_and_does_not_depend_on_the_batch_size():
    split = make_split()
    plain = collect(BatchLoader(split, 16, shuffle=True, seed=1))
    small, large = (collect(BatchLoader(split, size, shuffle=True, seed=1, augment="crop_flip")) for size in (3, 50))
    assert torch.equal(plain[1], small[1])
    assert torch.equal(small[1], large[1])
    assert torch.equal(small[0], large[0])
    assert not torch.equal(plain[0], small[0])


@pytest.mark.parametrize("shuffle", [False, True])
def test_replicas_share_the_images_of_one_pass(shuffle):
    split = make_split(50)
    single = BatchLoader(split, 50, shuffle=shuffle, seed=2, augment="crop_flip")
    images, labels = collect(single)
    filled = torch.arange(52) % 50
    for rank in range(4):
        part = BatchLoader(split, 5, shuffle=shuffle, seed=2, augment="crop_flip", num_replicas=4, rank=rank)
        part_images, part_labels = collect(part)
        assert torch.equal(part_labels, labels[filled[rank::4]])
        assert torch.equal(part_images, images[filled[rank::4]])


def test_lightning_sets_the_epoch():
    utilities = pytest.importorskip("lightning.fabric.utilities.data")
    loader = BatchLoader(make_split(), 16, shuffle=True)
    utilities._set_sampler_epoch(loader, 5)
    assert loader.epoch == 5


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_crop_shifts_the_content(padding):
    """Each image is the window of its padded self at the drawn place; the reference pads and slices one by one."""
    images = make_split(40, (2, 6, 9)).images
    augment = Augment(pad=3, flip=True, padding=padding)
    draw = augment.draw(40, (6, 9), torch.Generator().manual_seed(1))
    result = augment.apply(images, draw)
    mode = "constant" if padding == "zero" else "reflect"
    for image, cropped, (down, right), flip in zip(images, result, draw.shift.tolist(), draw.flip, strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), mode=mode)
        window = padded[:, 3 + down : 9 + down, 3 + right : 12 + right]
        assert np.array_equal(cropped, window[:, :, ::-1] if flip else window)
    assert set(draw.shift.flatten().tolist()) == set(range(-3, 4))
    assert 5 < int(draw.flip.sum()) < 35


def test_flip_of_a_padded_window_is_the_mirrored_window():
    images = make_split(4, (1, 5, 5)).images
    shift, centre = torch.tensor([[1, -2]] * 4), torch.zeros(4, 2, dtype=torch.long)
    augment = Augment(pad=2, flip=True)
    straight = augment.apply(images, Draw(shift, torch.zeros(4, dtype=torch.bool), centre))
    mirrored = augment.apply(images, Draw(shift, torch.ones(4, dtype=torch.bool), centre))
    assert torch.equal(mirrored, straight.flip(-1))


def test_flip_alone_gives_the_image_or_its_mirror():
    images = make_split(200).images
    result, _ = collect(BatchLoader(Split(images, torch.arange(200)), 64, augment="flip"))
    same = (result == images.float() / 255).flatten(1).all(1)
    mirrored = (result == images.flip(-1).float() / 255).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 60 < int(same.sum()) < 140


def test_alternating_flips_show_both_sides_of_every_image_in_two_epochs():
    split = Split(make_split(60).images, torch.arange(60))
    loader = BatchLoader(split, 16, shuffle=True, seed=3, augment=Augment(flip="alternate"))
    plain, mirrored = split.images.float() / 255, split.images.flip(-1).float() / 255
    sides = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        images, labels = collect(loader)
        flipped = (images == mirrored[labels]).flatten(1).all(1)
        assert torch.equal(images, torch.where(flipped[:, None, None, None], mirrored[labels], plain[labels]))
        sides.append(flipped[labels.argsort()])
    assert 15 < int(sides[0].sum()) < 45
    assert torch.equal(sides[1], ~sides[0])
    assert torch.equal(sides[2], sides[0])
    assert torch.equal(sides[3], sides[1])


def test_cutout_blackens_one_square():
    images = torch.full((300, 2, 12, 12), 9, dtype=torch.uint8)
    augment = Augment(cutout=4)
    draw = augment.draw(300, (12, 12), torch.Generator().manual_seed(0))
    holes = augment.apply(images, draw) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    areas = holes[:, 0].flatten(1).sum(1)
    assert int(areas.max()) == 16
    assert int(areas.min()) >= 4
    for hole, (row, column) in zip(holes[:, 0], draw.centre.tolist(), strict=True):
        expected = torch.zeros(12, 12, dtype=torch.bool)
        expected[max(0, row - 2) : row + 2, max(0, column - 2) : column + 2] = True
        assert torch.equal(hole, expected)


def test_augmentation_leaves_the_split_as_it_was():
    split = make_split()
    before = split.images.clone()
    for name in AUGMENTS:
        for images, _ in BatchLoader(split, 16, augment=name, mean=0.5, std=0.5):
            images.zero_()
    assert torch.equal(split.images, before)


def test_names_scale_with_the_image():
    assert named_augment("crop_flip_cutout", 32) == Augment(pad=4, flip=True, cutout=16)
    assert named_augment("crop", (28, 40)) == Augment(pad=3)
    assert named_augment("crop_reflect", 8) == Augment(pad=1, padding="reflect")
    assert named_augment("crop_alternate_reflect", 32) == Augment(pad=2, flip="alternate", padding="reflect")


class LargestFloat(TorchDispatchMode):
    """Records the number of elements of the largest float tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.largest = max(self.largest, result.numel())
        return result


def test_only_a_batch_at_a_time_is_float():
    split = make_split(400)
    loader = BatchLoader(split, 10, shuffle=True, augment="crop_flip_cutout", mean=0.5, std=0.5)
    with LargestFloat() as record:
        for _ in loader:
            pass
    assert record.largest == 10 * 3 * 8 * 8 or record.largest == 400 * 2  # a batch, or the draws of the epoch
    assert loader.split.images.data_ptr() == split.images.data_ptr()


@pytest.mark.parametrize("device", DEVICES)
def test_devices_agree(device):
    split = make_split(64)
    options = {"shuffle": True, "seed": 3, "augment": "crop_flip_cutout", "mean": 0.4, "std": 0.2}
    expected = collect(BatchLoader(split, 16, **options))
    images, labels = collect(BatchLoader(split, 16, device=device, **options))
    assert images.device.type == device
    assert labels.device.type == device
    assert torch.allclose(images.cpu(), expected[0], atol=1e-6)
    assert torch.equal(labels.cpu(), expected[1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch_size": 0}, "batch size must be at least 1"),
        ({"augment": "mixup"}, "no augmentation is called 'mixup'; choose one of crop, flip"),
        ({"mean": (0.1, 0.2)}, "mean takes one number or one for each of the 3 channels"),
        ({"std": 0.0}, "must be positive"),
        ({"num_replicas": 2, "rank": 2}, "rank must lie between 0 and 1"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(DataError, match=reason):
        BatchLoader(make_split(), **({"batch_size": 4} | options))


def test_wrong_augmentations():
    for options in ({"pad": -1}, {"cutout": -1}, {"padding": "edge"}, {"flip": "never"}):
        with pytest.raises(DataError):
            Augment(**options)
    with pytest.raises(DataError, match="use zero padding"):
        next(iter(BatchLoader(make_split(), 4, augment=Augment(pad=8, padding="reflect"))))
    with pytest.raises(ValueError, match="images must be uint8"):
        Split(torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize("module", [generators, generators.batches], ids=lambda module: module.__name__)
def test_examples_of_the_documentation(module):
    pytest.importorskip("sklearn")
    failures, count = doctest.testmod(module)
    assert count > 0
    assert failures == 0
