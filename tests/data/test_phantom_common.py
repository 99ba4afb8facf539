"""What all phantom families share: numbers that belong to a subject, smooth fields, painting, counting."""

import threading

import pytest
import torch

from medgan_course.data.phantom import common
from medgan_course.data.phantom.common import Phantoms, Subjects
from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError


def drawn(subjects):
    return torch.cat(
        [
            subjects.uniform(0, 1).flatten(1),
            subjects.each(3, 5, 9),
            subjects.normal(2).flatten(1),
            subjects.field(1, 20.0, 8, 100.0).flatten(1),
        ],
        dim=1,
    )


def test_a_subjects_numbers_depend_on_nobody_else():
    together = drawn(Subjects([3, 1, 4], seed=2))
    alone = drawn(Subjects([1], seed=2))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[2])
    assert not torch.equal(alone, drawn(Subjects([1], seed=3)))


def test_classes_left_out_are_everyones_own_and_equally_frequent():
    """Of 3,000, each of three classes has 1,000 with a standard deviation of 26; 5 of these are 130."""
    one = asked(range(3000), classes="abc").labels
    assert asked(range(2999, -1, -1), classes="abc").labels == one[::-1]
    assert all(abs(one.count(kind) - 1000) < 130 for kind in range(3))
    other = asked(range(3000), classes="abc", seed=1).labels
    alike = sum(a == b for a, b in zip(one, other, strict=True))
    assert abs(alike - 1000) < 130
    assert asked(classes=()).labels == []


def test_seeds_share_no_subject():
    """Whatever their distance: also those that a sum, or 32 bits, would have taken for the same."""
    seeds = [0, 1, 4294, 4295, 2**32, 2**32 + 1, 2**64, 10**30]
    many = [
        Subjects(range(50), seed=seed, stream=stream).each(2, 0, 1) for seed in seeds for stream in (0, 1, -1)
    ]
    numbers = torch.cat(many)
    assert len(numbers.unique(dim=0)) == 50 * 3 * len(seeds)
    assert not torch.equal(Subjects([1], seed=23).each(2, 0, 1), Subjects([3], seed=12).each(2, 0, 1))


def test_no_number_is_used_twice():
    subjects = Subjects([3, 4], seed=2)
    numbers = torch.cat([subjects.each(count, 0, 1) for count in (100, 200, 1, 300, 5)], dim=1)
    assert len(numbers.unique()) == 2 * 606
    # However they are asked for, as long as no call is longer than what is left of a block of 256.
    again = Subjects([3, 4], seed=2)
    assert torch.equal(numbers[:, :100], torch.cat([again.each(50, 0, 1), again.each(50, 0, 1)], dim=1))


def test_a_stream_of_its_own_leaves_the_others_alone():
    subjects, disturbed = Subjects([7, 8], seed=0), Subjects([7, 8], seed=0)
    first = subjects.uniform(0, 1)
    apart = disturbed.stream(1).uniform(0, 1)
    assert torch.equal(first, disturbed.uniform(0, 1))
    assert not torch.equal(first, apart)
    assert not torch.equal(apart, disturbed.stream(2).uniform(0, 1))


@pytest.mark.parametrize("dim", [2, 3])
def test_numbers_have_the_shape_of_the_images_they_are_for(dim):
    subjects = Subjects(range(5), seed=0, dim=dim)
    assert subjects.uniform(2, 3).shape == (5, *[1] * dim)
    assert subjects.field(2, 30.0, 12, 90.0).shape == (5, 2, *[12] * dim)
    numbers = Subjects(range(500), seed=0).uniform(2, 3)
    assert numbers.min() >= 2
    assert numbers.max() < 3
    assert abs(numbers.mean() - 2.5) < 0.05


def test_nobody_is_refused():
    with pytest.raises(CourseError, match="no subjects"):
        Subjects([], seed=0)


@pytest.mark.parametrize("dim", [2, 3])
def test_fields_have_mean_0_and_variance_1(dim):
    fields = Subjects(range(60), seed=0, dim=dim).field(3, 25.0, 20, 100.0)
    assert abs(fields.mean()) < 0.05
    assert abs(fields.var() - 1) < 0.1


def test_a_field_is_the_same_however_finely_it_is_sampled():
    coarse = Subjects(range(4), seed=0).field(1, 30.0, 16, 120.0)
    fine = Subjects(range(4), seed=0).field(1, 30.0, 48, 120.0)
    assert (coarse - fine[:, :, 1::3, 1::3]).abs().max() < 1e-5  # centres of every third fine pixel


def test_grid_looks_right_and_down_and_up():
    x, y = common.grid(4, 8.0)
    assert x[0].tolist() == [-3.0, -1.0, 1.0, 3.0]
    assert y[:, 0].tolist() == [-3.0, -1.0, 1.0, 3.0]
    x, y, z = common.grid(2, 8.0, dim=3)
    assert x[0, 0].tolist() == [-2.0, 2.0]
    assert y[0, :, 0].tolist() == [-2.0, 2.0]
    assert z[:, 0, 0].tolist() == [2.0, -2.0]


def test_paint_hides_what_has_a_higher_number():
    painted = torch.tensor([14, 14, 3, 7], dtype=torch.uint8)
    common.paint(painted, torch.tensor([True, False, True, True]), 5)
    assert painted.tolist() == [5, 14, 3, 5]


def test_shares_are_counted():
    painted = torch.tensor([[[0, 1, 2, 2], [1, 1, 2, 2]]], dtype=torch.uint8)
    counted = common.shares(painted, 3, 2)
    assert counted.shape == (1, 3, 1, 2)
    assert counted[0, :, 0, 0].tolist() == [0.25, 0.75, 0.0]
    assert counted[0, :, 0, 1].tolist() == [0.0, 0.0, 1.0]
    volume = torch.stack([painted, torch.zeros_like(painted)], dim=1)  # (1, 2, 2, 4)
    assert common.shares(volume, 3, 2)[0, :, 0, 0, 0].tolist() == [0.625, 0.375, 0.0]


def some(numbers):
    n = len(numbers)
    tissues = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(n, 3, 2, 2)
    return Phantoms(
        images={"ct": torch.zeros(n, 1, 2, 2)},
        scales={"ct": Scale(-1000, 1000, "HU")},
        tissue_names=("air", "fat", "bone"),
        tissues=tissues,
        lesion=torch.zeros(n, 1, 2, 2, dtype=torch.bool),
        lesion_columns=("present",),
        lesions=torch.zeros(n, 1, 1),
        labels=torch.zeros(n, dtype=torch.long),
        severity=torch.zeros(n),
        subject=torch.tensor(numbers),
        seed=0,
        facts={"level": torch.tensor(numbers).float()},
    )


def test_truth_joins_and_answers():
    whole = Phantoms.joined([some([1, 2]), some([5])])
    assert len(whole) == 3
    assert whole.subject.tolist() == [1, 2, 5]
    assert whole.images["ct"].shape == (3, 1, 2, 2)
    assert whole.facts["level"].tolist() == [1.0, 2.0, 5.0]
    assert whole.tissue_names == ("air", "fat", "bone")
    assert whole.label_map.unique().tolist() == [1]
    assert torch.allclose(whole.share("air", "bone"), torch.tensor(0.5))
    with pytest.raises(CourseError, match="did you mean 'bone'"):
        whole.share("bones")


def test_scale_is_turned_back():
    scale = Scale(-1000.0, 400.0, "HU")
    values = torch.tensor([-1000.0, -300.0, 400.0])
    assert scale.normalised(values).tolist() == [-1.0, 0.0, 1.0]
    assert torch.allclose(scale.restored(scale.normalised(values)), values)
    assert scale.normalised(torch.tensor(3000.0)) == 1
    with pytest.raises(CourseError, match="low must be below high"):
        Scale(1.0, 1.0, "HU")


def asked(subjects=(0, 1), **others):
    return common.checked(
        "knee",
        subjects,
        **{"size": 32, "seed": 0, "classes": ("well", "ill"), "known": ("t1", "ct")} | others,
    )


def test_what_is_asked_for_comes_back_as_lists():
    got = asked((i for i in (4, 2)), labels=iter(torch.tensor([1, 0])), contrasts=(c for c in ("ct",)))
    assert (got.numbers, got.labels, got.contrasts, len(got)) == ([4, 2], [1, 0], ("ct",), 2)
    assert asked([10**9], seed=10**30).numbers == [10**9]
    assert list(common.numbered([1, 1, 0], 7)) == [7, 8, 9]
    for labels, first in ((3, 0), ([0], 0.5)):
        with pytest.raises(CourseError):
            common.numbered(labels, first)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_few_are_computed_at_a_time(threads):
    extent, who = torch.tensor([0.1, 0.2, 0.3]), []

    def draw(own, labels, mine, nothing, size):
        who.append((threading.get_ident(), torch.get_num_threads(), nothing, size))
        return own.numbers.tolist(), labels.tolist(), mine

    parts = asked((5, 6, 7), labels=[1, 0, 1]).in_parts(draw, 2, extent, None, size=9)
    assert [numbers for numbers, *_ in parts] == [[5, 6], [7]]
    assert [labels for _, labels, _ in parts] == [[1, 0], [1]]
    assert torch.equal(torch.cat([mine for *_, mine in parts]), extent)
    # One thread a part, in the calling thread if there is but one; nothing has changed afterwards.
    assert {one[1:] for one in who} == {(1, None, 9)}
    assert (threading.get_ident() in {one[0] for one in who}) == (threads == 1)
    asked((5, 6), labels=[1, 0]).in_parts(draw, 2, extent[:2], None, size=9)
    assert who[-1] == (threading.get_ident(), 1, None, 9)
    assert torch.get_num_threads() == threads


def test_a_part_that_fails_is_heard_of(threads):
    def draw(own, labels):
        raise CourseError(f"no {own.numbers.tolist()}")

    with pytest.raises(CourseError, match=r"no \[0\]"):
        asked(range(5)).in_parts(draw, 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"subjects": []}, "no subjects"),
        ({"subjects": None}, "subjects is None: give a list"),
        ({"subjects": 3}, "subjects is 3: give a list"),
        ({"subjects": [-1]}, "Subject -1"),
        ({"subjects": [2**63]}, "from 0 to 9223372036854775807"),
        ({"subjects": [0.5]}, "Subject 0.5 is not a whole number"),
        ({"labels": [0]}, "2 subjects but 1 labels"),
        ({"labels": [0, 2]}, r"Label 2 .* 0 \(well\), 1 \(ill\)"),
        ({"labels": [-1, 0]}, "Label -1"),
        ({"labels": [0, "1"]}, "Label '1' is not a whole"),
        ({"size": 15}, "knee needs at least 16"),
        ({"size": 32.0}, "size 32.0 is not a whole"),
        ({"size": "64"}, "size '64' is not a whole"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed None is not a whole"),
        ({"contrasts": ("t11",)}, "did you mean 't1'"),
        ({"contrasts": "ct"}, r"\('ct',\)"),
        ({"dim": 4}, "dim is 4"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(CourseError, match=sentence) as caught:
        asked(**wrong)
    assert "\n" not in str(caught.value)


def test_a_knob_is_one_number_or_one_for_each():
    assert common.one_each("severity", 0.5, 3, 0, 1).tolist() == [0.5, 0.5, 0.5]
    assert common.one_each("severity", (i / 2 for i in range(3)), 3, 0, 1).tolist() == [0.0, 0.5, 1.0]
    assert common.one_each("tumour", torch.tensor([True, False]), 2, 0, 1).tolist() == [1.0, 0.0]
    assert common.one_each("tumour", True, 2, 0, 1).tolist() == [1.0, 1.0]
    for value, sentence in (
        ([0.5], "3 subjects but 1 of severity"),
        (1.5, "severity is 1.5: choose a number from 0 to 1"),
        ([0, 1, float("nan")], "severity is nan"),
        ("0.5", "severity"),
        (None, "severity is None"),
    ):
        with pytest.raises(CourseError, match=sentence):
            common.one_each("severity", value, 3, 0, 1)
    with pytest.raises(CourseError, match="fov is 0: choose a number from 20 to 250 mm"):
        common.within("fov", 0, 20, 250, "mm")


def test_bytes_are_those_of_a_file():
    assert common.bytes_of(torch.tensor([[[-1.0, 0.0, 1.0, -0.996]]])).tolist() == [[0, 128, 255, 1]]
    assert common.bytes_of(torch.zeros(2, 3, 5, 4)).shape == (2, 5, 4, 3)


def test_columns_of_a_table():
    hu, gain = common.columns("body", "hu", "gain")
    assert (hu[0].item(), gain[0].item()) == (-1000.0, 0.0)  # air has none
    assert len(hu) == len(common.tissue_table("body"))
    (t1,) = common.columns("head", "t1", tissues=("fat", "white"))
    assert t1.tolist() == [350.0, 500.0]


def test_pixels_have_the_mean_of_their_tissues():
    tissues = torch.tensor([[0.25, 0.75], [1.0, 0.0]]).view(2, 2, 1, 1)
    assert common.mixed(torch.tensor([8.0, 40.0]), tissues).flatten().tolist() == [32.0, 8.0]
    assert common.mixed(torch.tensor([[8.0, 40.0], [1.0, 2.0]]), tissues).shape == (2, 1, 1, 1)


def test_a_table_of_lesions_is_empty_where_there_is_none():
    present = torch.tensor([[True, False], [False, True]])
    rows = common.lesion_rows(present, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0], [6.0]]))
    assert rows.tolist() == [[[1, 1, 5], [0, 0, 0]], [[0, 0, 0], [1, 4, 6]]]
    assert common.lesion_rows(present[:, :1, None], torch.ones(2, 1, 1)).shape == (2, 1, 2)


def test_coarser_pixels_are_whole():
    common.divisible(30, "low", ("rgb",), 4)
    common.divisible(32, "low", ("rgb", "low"), 4)
    with pytest.raises(CourseError, match='size is 30, but "low" needs a multiple of 4'):
        common.divisible(30, "low", ("low",), 4)


def test_one_of_several():
    assert common.one_of("cameras", None, 2, "abc") is None
    assert common.one_of("cameras", 2, 3, "abc").tolist() == [2, 2, 2]
    for value, sentence in (([0, 0.5], "whole numbers from 0 to 2"), ([0, 3], "from 0 to 2"), ([1], "but 1")):
        with pytest.raises(CourseError, match=sentence):
            common.one_of("cameras", value, 2, "abc")
