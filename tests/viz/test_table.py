"""Tables as HTML and as text."""

from medgan_course import viz


def test_html_escapes_its_values_and_names_rows_and_columns():
    markup = viz.Table(["name", "FD"], [["a < b", 1.5]], caption="lower & better")._repr_html_()
    assert '<th scope="col">FD</th>' in markup
    assert "a &lt; b</th>" in markup
    assert ">1.5</td>" in markup
    assert "lower &amp; better</caption>" in markup


def test_a_column_without_a_name_has_no_empty_heading():
    assert "<thead><tr><td></td><th" in viz.Table(["", "FD"], [["a", 1]])._repr_html_()


def test_text_lines_up_its_columns():
    assert repr(viz.Table(["name", "FD"], [["long name", 1], ["b", 22]])).split("\n") == [
        "name       FD",
        "long name  1 ",
        "b          22",
    ]
