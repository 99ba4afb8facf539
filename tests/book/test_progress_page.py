"""What a reader has done is kept in the reader's browser, and said to be kept only where it is."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import progress
import pytest
from browser import HEIGHT, WIDTHS
from playwright.sync_api import Browser, BrowserContext, Page, expect

from medgan_course.exercises import EXERCISES

ROOT = Path(__file__).parents[2]
PAGE, CHAPTER, NOTEBOOK = "book/progress.html", "chapters/04_dcgan.html", "exercises/04_dcgan.html"
FORBIDDEN = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("Access is denied for this document.", "SecurityError"); }
});"""
OURS = "Object.keys(localStorage).find(key => key.startsWith('medgan'))"  # the theme keeps things too
Visit = Callable[[str], Page]


def test_there_is_a_box_for_every_chapter_question_and_exercise() -> None:
    items = re.findall('data-done="([^"]+)"', progress.page(ROOT))
    chapters = sorted({name[:2] for name in EXERCISES})
    assert [item for item in items if "." in item] == list(EXERCISES)
    assert [item for item in items if item.endswith("read")] == [f"{number} read" for number in chapters]
    for number in chapters:
        questions = [int(item.split()[-1]) for item in items if item.startswith(f"{number} quiz")]
        assert questions in ([1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
    assert len(set(items)) == len(items)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": WIDTHS["phone"], "height": HEIGHT}) as opened:
        yield opened


@pytest.fixture
def visit(context: BrowserContext, home: str) -> Visit:
    def to(name: str) -> Page:
        page = context.new_page()
        page.goto(f"{home}/{name}")
        return page

    return to


def so_far(page: Page) -> str:
    return page.get_by_role("status").inner_text()


def test_what_is_ticked_is_there_after_a_reload_until_it_is_taken_back(visit: Visit) -> None:
    page = visit(PAGE)
    assert " 0 of " in so_far(page)
    by_mouse = page.get_by_label("Chapter 2: Read")
    by_mouse.click()
    by_keyboard = page.get_by_label("Chapter 4: Exercise 4.1")
    by_keyboard.focus()
    page.keyboard.press("Space")
    page.reload()
    expect(by_mouse).to_be_checked()
    expect(by_keyboard).to_be_checked()
    assert page.locator("input[data-done]:checked").count() == 2
    assert re.search(r"1 of \d+ chapters read, 0 of \d+ questions answered, 1 of \d+ exercises", so_far(page))
    page.keyboard.press("Tab")
    by_mouse.focus()
    page.keyboard.press("Space")
    page.reload()
    expect(by_mouse).not_to_be_checked()
    expect(by_keyboard).to_be_checked()


@pytest.mark.parametrize("key", [None, "Enter", "Space"])
def test_a_question_is_answered_by_its_right_option_alone(visit: Visit, key: str | None) -> None:
    chapter = visit(CHAPTER)

    def open_first(which: str) -> None:
        option = chapter.locator("details.option").filter(has=chapter.get_by_text(which, exact=True)).first
        summary = option.locator("summary")
        if key:
            summary.press(key)
        else:
            summary.click()
        expect(option).to_have_attribute("open", "")

    answered = chapter.get_by_text("✓ answered")
    open_first("No.")
    expect(answered.filter(visible=True)).to_have_count(0)
    open_first("Right.")
    expect(answered.filter(visible=True)).to_have_count(1)
    chapter.reload()
    expect(answered.filter(visible=True)).to_have_count(1)
    page = visit(PAGE)
    expect(page.get_by_label("Chapter 4: question 1")).to_be_checked()
    assert page.locator("input[data-done]:checked").count() == 1


def test_a_chapter_and_an_exercise_are_ticked_where_they_end_and_other_tabs_hear_of_it(visit: Visit) -> None:
    page, chapter, notebook = visit(PAGE), visit(CHAPTER), visit(NOTEBOOK)
    chapter.get_by_label("I have read this chapter.").check()
    notebook.get_by_label("I have solved this exercise.").nth(1).check()
    expect(page.get_by_label("Chapter 4: Read")).to_be_checked()
    expect(page.get_by_label("Chapter 4: Exercise 4.2")).to_be_checked()
    assert page.locator("input[data-done]:checked").count() == 2
    of_chapter = [name for name in EXERCISES if name.startswith("04.")]
    assert notebook.get_by_label("I have solved this exercise.").count() == len(of_chapter)
    chapter.get_by_role("link", name="What you have done").last.click()
    expect(chapter).to_have_title(re.compile("What you have done"))
    page.get_by_label("Chapter 4: Exercise 4.2").uncheck()
    expect(notebook.get_by_label("I have solved this exercise.").nth(1)).not_to_be_checked()


def test_all_of_it_is_deleted_when_the_reader_confirms(visit: Visit) -> None:
    page = visit(PAGE)
    delete = page.get_by_role("button", name="Delete all of it")
    expect(delete).to_be_disabled()
    page.get_by_label("Chapter 2: Read").check()
    page.once("dialog", lambda asked: asked.dismiss())
    delete.press("Enter")
    expect(page.get_by_label("Chapter 2: Read")).to_be_checked()
    page.once("dialog", lambda asked: asked.accept())
    delete.press("Enter")
    expect(page.get_by_label("Chapter 2: Read")).not_to_be_checked()
    assert page.evaluate(OURS) is None
    page.reload()
    assert page.locator("input[data-done]:checked").count() == 0


@pytest.mark.parametrize("content", ["{", "7", "null", '["04 read", "99.9"]'])
def test_what_a_damaged_store_holds_is_passed_over(visit: Visit, content: str) -> None:
    page = visit(PAGE)
    page.get_by_label("Chapter 2: Read").check()
    page.evaluate(f"content => localStorage.setItem({OURS}, content)", content)
    page.reload()
    page.get_by_label("Chapter 4: Exercise 4.1").check()
    page.reload()
    expect(page.get_by_label("Chapter 4: Exercise 4.1")).to_be_checked()
    expect(page.get_by_label("Chapter 2: Read")).not_to_be_checked()


def test_a_browser_that_forbids_to_keep_says_so_and_offers_no_box(
    context: BrowserContext, visit: Visit
) -> None:
    context.add_init_script(FORBIDDEN)
    page = visit(PAGE)
    assert so_far(page).startswith("This browser forbids the page to keep anything.")
    assert page.locator("input[data-done]:enabled").count() == 0
    chapter = visit(CHAPTER)
    chapter.locator("details.option > summary").first.click()
    assert chapter.locator("details.option[open]").count() == 1
    assert chapter.locator("input[data-done]").count() == 0


def test_without_javascript_the_page_says_so(browser: Browser, home: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{home}/{PAGE}")
        assert so_far(page).startswith("Without JavaScript this page can keep nothing.")
        assert page.locator("input[data-done]:enabled, button#done-delete:enabled").count() == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_a_box_is_large_enough_for_a_finger_and_says_what_it_is_for(
    browser: Browser, home: str, width: str
) -> None:
    with browser.new_context(viewport={"width": WIDTHS[width], "height": HEIGHT}) as context:
        page = context.new_page()
        page.goto(f"{home}/{PAGE}")
        boxes = page.locator("label.done").evaluate_all(
            "all => all.map(e => [e.getBoundingClientRect().height, e.firstChild.ariaLabel])"
        )
        assert min(height for height, _ in boxes) >= 24
        assert all(re.fullmatch(r"Chapter \d: \S.*", name) for _, name in boxes)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= WIDTHS[width]
