"""The history of a training as a picture."""

import pytest

from medgan_course import viz
from medgan_course.errors import CourseError
from medgan_course.train import History


@pytest.fixture
def history():
    history = History()
    for step in range(30, 40):
        history.add(step, {"D.gap": 1.0, "G.fool": -2.0} | ({"D.lazy": float(step)} if step % 4 == 0 else {}))
    return history


def test_a_term_is_drawn_at_the_steps_in_which_it_was_logged(history):
    figure = viz.curves(history, smooth=1, equilibrium=False)
    raw, mean = figure.axes[0].lines[4:]
    assert raw.get_xdata().tolist() == mean.get_xdata().tolist() == [32, 36]
    assert raw.get_ydata().tolist() == [32, 36]
    assert figure.axes[0].lines[0].get_xdata().tolist() == list(range(30, 40))


def test_only_the_non_saturating_loss_is_labelled_with_its_formula(history):
    history.add(40, {"D.real": 0.7})
    for equilibrium, label in ((True, r"$-\log\sigma(D(x))$"), (False, "D.real")):
        figure = viz.curves(history, equilibrium=equilibrium)
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert sum(label in text for text in texts) == 1
        assert ("nats" in figure.axes[0].get_ylabel()) == equilibrium


def test_more_terms_than_colours_are_all_drawn_and_look_different():
    terms = {f"A.{index}": [1.0, 2.0] for index in range(12)}
    lines = viz.curves(terms, equilibrium=False).axes[0].lines[1::2]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


def test_an_empty_history_is_a_sentence():
    with pytest.raises(CourseError, match="nothing to draw before the first step"):
        viz.curves(History())
