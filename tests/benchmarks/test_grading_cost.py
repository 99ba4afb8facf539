"""The class of the rehearsal has every trick in it, and the sample that both ways grade has none."""

from collections import Counter

from benchmarks import grading


def test_a_class_of_a_hundred_has_every_trick_more_than_once():
    counts = Counter(map(grading.kind, range(100)))
    assert sum(counts[trick] for trick in grading.TRICKS) == 10
    assert min(counts[trick] for trick in grading.TRICKS) >= 2
    assert counts.keys() == {*grading.TRICKS, "right", "unfinished"}


def test_the_sample_is_of_honest_students():
    assert {grading.kind(index) for index in range(grading.SAMPLE)} == {"right", "unfinished"}


def test_the_table_is_of_one_submission():
    ways = {"plain": {"n": 4, "cpu_seconds": 20.0, "clock_seconds": 40.0}}
    assert grading.table("04_dcgan", ways).rows == [["plain", "4", "5.0", "10.0"]]
