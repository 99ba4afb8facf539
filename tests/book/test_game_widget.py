"""The game on the page of chapter 2, played in a real browser from the chapter's own cell."""

import json
from collections.abc import Iterator
from typing import Any

import game_state
import numpy as np
import pytest
import torch
from browser import HASTY, NEXT_FRAME, ROOT, WIDTHS, served
from game_page import ADDRESS, STILL, game_page, still
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from medgan_course.metrics.coverage import covered, nearest_mode
from medgan_course.systems import gan

MODULES = "/book/_static/game/"
# The same arithmetic in another order: 20 steps of Adam leave the last digits apart.
TOLERANCE = 1e-9
# Milliseconds for a game of some hundred steps; a busy machine has needed half a minute.
PATIENCE = 300_000


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    with served(ROOT) as address:
        yield address


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def page(browser: Browser, project: str, width: str) -> Iterator[Page]:
    """Yield the opened game where nothing may move, so that only steps asked for are played."""
    with game_page(browser, project, width=width, reduced_motion="reduce") as tab:
        arrive(tab, project)
        yield tab


def arrive(tab: Page, project: str) -> None:
    """Open the page, scroll to the game and wait for it."""
    tab.goto(project + ADDRESS)
    tab.locator("#game").scroll_into_view_if_needed()
    tab.wait_for_selector("#game[data-state=ready]")


def button(tab: Page, name: str) -> Any:
    return tab.get_by_role("button", name=name, exact=True)


def step(tab: Page) -> int:
    return int(tab.locator("#game").get_attribute("data-step") or -1)


def names(tab: Page) -> str:
    return tab.locator(".game-names").inner_text()


def picture(tab: Page) -> str:
    return tab.locator("canvas.game-plane").evaluate("canvas => canvas.toDataURL()")


# The same numbers as the library's.


@pytest.mark.parametrize(
    ("loss", "steps_d"), [("minimax", 1), ("nonSaturating", 2), ("leastSquares", 1), ("wasserstein", 3)]
)
def test_one_seed_is_one_game_in_the_page_and_in_the_library(
    browser: Browser, project: str, loss: str, steps_d: int
) -> None:
    settings = {"loss": loss, "rateG": 2e-3, "rateD": 3e-3, "stepsD": steps_d}
    with game_state.float64():
        game = game_state.played(20, seed=7, **settings)
    with game_page(browser, project) as tab:
        tab.goto(project + ADDRESS)
        played = tab.evaluate(
            """async ([modules, settings]) => {
              const { Game } = await import(modules + "game.js");
              const { ring } = await import(modules + "targets.js");
              const game = new Game(ring.draw, settings, 7);
              for (let step = 0; step < 20; step++) game.play();
              const weights = (net) => net.parameters.flatMap((array) => [...array]);
              return { D: game.history.map((c) => c.D), G: game.history.map((c) => c.G),
                       weights: { D: weights(game.D), G: weights(game.G) } };
            }""",
            [MODULES, settings],
        )
    for player in "DG":
        assert played[player] == pytest.approx(game_state.costs(game.history, player), abs=TOLERANCE)
        weights = torch.cat([p.detach().flatten() for p in game[player].parameters()]).tolist()
        assert played["weights"][player] == pytest.approx(weights, abs=TOLERANCE)


def test_the_penalty_s_gradient_is_that_of_finite_differences(browser: Browser, project: str) -> None:
    """With an oracle that knows neither PyTorch nor the derivation."""
    with game_page(browser, project) as tab:
        tab.goto(project + ADDRESS)
        worst = tab.evaluate(
            """async (modules) => {
              const { Net } = await import(modules + "nets.js");
              const { gradientPenalty } = await import(modules + "losses.js");
              const { Generator } = await import(modules + "random.js");
              const random = new Generator(3);
              const D = new Net([2, 6, 5, 1], 0.2, random);
              const [real, fake, epsilon] = [random.normal(32), random.normal(32), random.uniform(16)];
              const penalty = (gradient = D.zeros()) => gradientPenalty(D, real, fake, epsilon, 1, gradient);
              const gradient = D.zeros();
              penalty(gradient);
              let worst = 0;
              for (const [k, array] of D.parameters.entries()) {
                for (const i of array.keys()) {
                  const [kept, h] = [array[i], 1e-6];
                  array[i] = kept + h;
                  const above = penalty();
                  array[i] = kept - h;
                  const below = penalty();
                  array[i] = kept;
                  worst = Math.max(worst, Math.abs((above - below) / (2 * h) - gradient[k][i]));
                }
              }
              return worst;
            }""",
            MODULES,
        )
    assert worst < 1e-7


def test_committed_weights_reach_every_mode_and_the_page_draws_what_torch_draws(page: Page) -> None:
    saved = json.loads(game_state.TARGET.read_text(encoding="utf-8"))
    assert saved["settings"] == game_state.SETTINGS
    points = page.evaluate(
        """async (modules) => {
          const { Game } = await import(modules + "game.js");
          const { Generator } = await import(modules + "random.js");
          const { ring } = await import(modules + "targets.js");
          const { trained } = await import(modules + "trained.js");
          const saved = await trained();
          const game = new Game(ring.draw, saved.settings);
          game.restore(saved);
          return [...game.G.output(new Generator(1).normal(2000))];
        }""",
        MODULES,
    )
    with game_state.float64():
        generator = game_state.generator(saved)
        with torch.no_grad():
            torch.manual_seed(1)
            expected = generator(torch.randn(1000, 2))
    made = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
    assert torch.allclose(made, expected, atol=TOLERANCE)
    modes = nearest_mode(made, gan.RING, sigma=gan.SIGMA)
    assert covered(modes, n_classes=8) == 8


# What is seen.


def test_opens_trained_and_says_so(page: Page) -> None:
    assert step(page) == game_state.STEPS
    assert names(page) == "G has reached the data"
    assert "none is left out" in page.locator(".game-words").inner_text()
    for canvas in page.locator(".game-stage canvas").all():
        assert canvas.get_attribute("role") == "img"
    label = page.locator("canvas.game-plane").get_attribute("aria-label") or ""
    assert "8 of 8 modes" in label
    assert "L_D is 1.39 and L_G is 0.700" in (
        page.locator("canvas.game-costs").get_attribute("aria-label") or ""
    )


def test_what_is_ready_is_drawn(browser: Browser, project: str) -> None:
    with game_page(browser, project, reduced_motion="reduce") as tab:
        tab.add_init_script("window.ResizeObserver = class { observe() {} }")  # one that is late, for good
        arrive(tab, project)
        label = tab.locator("canvas.game-plane").get_attribute("aria-label") or ""
        assert "8 of 8 modes" in label
        assert tab.locator("canvas.game-plane").evaluate("canvas => canvas.width") > 300


def test_a_reader_in_haste_is_not_missed_nor_stopped(browser: Browser, project: str) -> None:
    with game_page(browser, project) as tab:
        tab.add_init_script(HASTY)
        arrive(tab, project)
        button(tab, "Play").click()
        tab.wait_for_function(f"document.querySelector('#game').dataset.step > {game_state.STEPS + 20}")


def test_nothing_is_fetched_before_the_reader_comes_and_nothing_moves_when_it_arrives(
    browser: Browser, project: str, width: str
) -> None:
    with game_page(browser, project, width=width) as tab:
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(project + ADDRESS, wait_until="networkidle")
        assert not [url for url in asked if url.endswith((".js", ".json"))]
        tab.evaluate(
            """() => {
              window.shifts = [];
              new PerformanceObserver((list) => shifts.push(...list.getEntries().map((e) => e.value)))
                .observe({ type: "layout-shift", buffered: true });
            }"""
        )
        before = tab.locator("#game").bounding_box()
        tab.locator("#game").scroll_into_view_if_needed()
        tab.wait_for_selector("#game[data-state=ready]")
        tab.evaluate(NEXT_FRAME)
        after = tab.locator("#game").bounding_box()
        assert before is not None
        assert after is not None
        assert (after["width"], after["height"]) == pytest.approx((before["width"], before["height"]), abs=1)
        assert tab.evaluate("shifts.reduce((sum, value) => sum + value, 0)") < 0.01
        assert all(url.startswith(project) for url in asked)
        sizes = [(ROOT / url.removeprefix(project + "/")).stat().st_size for url in asked if "/game/" in url]
        assert sum(sizes) < 200_000


def test_no_wider_than_the_page(page: Page, width: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    wide = page.locator("#game *").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.className)"
    )
    assert not wide


def test_dark_mode_paints_anew(page: Page) -> None:
    light = picture(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("old => document.querySelector('.game-plane').toDataURL() !== old", arg=light)


def test_still_picture_is_what_the_page_opens_on(browser: Browser, project: str) -> None:
    with Image.open(STILL) as file:
        committed = np.asarray(file.convert("RGB").resize((98, 122)), dtype=float)
    shown = np.asarray(still(browser, project).resize((98, 122)), dtype=float)
    # WebP and fonts differ by a few levels, another picture by dozens where it differs.
    assert np.abs(committed - shown).max(axis=2).mean() < 4, "it has changed: run tests/book/game_page.py"


# Every control, by mouse and by keyboard.


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_buttons(page: Page, by: str) -> None:
    def press(name: str) -> None:
        if by == "mouse":
            button(page, name).click()
        else:
            button(page, name).press("Enter")

    before = picture(page)
    press("Step")
    assert step(page) == game_state.STEPS + 1
    assert picture(page) != before
    assert f"Step {game_state.STEPS + 1}" in page.get_by_role("status").inner_text()
    press("Reset")
    assert (step(page), names(page)) == (0, "Untrained")
    press("100 steps")
    expect(page.locator("#game")).to_have_attribute("data-step", "100")
    press("is learnt")
    assert step(page) == game_state.STEPS


def test_every_control_is_reached_with_the_tab_key_and_has_a_name(page: Page) -> None:
    page.locator("#game").evaluate("figure => { figure.tabIndex = -1; figure.focus(); }")
    reached = []
    for _ in range(11):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.do ?? document.activeElement.name"))
    buttons = ["play", "step", "reset", "trained", "collapse", "oscillation"]
    assert reached == [*buttons, "target", "loss", "rateG", "rateD", "stepsD"]
    for name in ("Data", "Loss"):
        expect(page.get_by_role("combobox", name=name)).to_be_visible()
    for name in ("Learning rate of G", "Learning rate of D", "D steps per G step"):
        expect(page.get_by_role("slider", name=name)).to_be_visible()


def test_sliders_are_moved_by_keys_and_by_the_mouse(page: Page) -> None:
    rate = page.get_by_role("slider", name="Learning rate of G")
    rate.press("ArrowRight")
    assert rate.get_attribute("aria-valuetext") == "0.0013"
    rate.press("End")
    assert rate.get_attribute("aria-valuetext") == "10"
    steps = page.get_by_role("slider", name="D steps per G step")
    box = steps.bounding_box()
    assert box is not None
    steps.click(position={"x": box["width"] - 4, "y": box["height"] / 2})
    assert steps.get_attribute("aria-valuetext") == "8"


@pytest.mark.parametrize("loss", game_state.LOSSES)
def test_every_loss_is_played(page: Page, loss: str) -> None:
    page.get_by_role("combobox", name="Loss").select_option(loss)
    assert step(page) == 0
    button(page, "Step").click()
    assert step(page) == 1
    assert names(page) == "Learning"


def test_data_are_chosen_and_drawn_by_mouse_and_keys(page: Page) -> None:
    ring = picture(page)
    data = page.get_by_role("combobox", name="Data")
    data.select_option("moons")
    moons = picture(page)
    data.select_option("drawing")
    lungs = picture(page)
    plane = page.locator("canvas.game-plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 60, steps=5)
    page.mouse.up()
    line = picture(page)
    plane.press("Space")
    for _ in range(3):
        plane.press("ArrowRight")
    plane.press("Space")
    page.keyboard.press("Tab")
    two_lines = picture(page)
    assert len({ring, moons, lungs, line, two_lines}) == 5
    button(page, "100 steps").click()
    expect(page.locator("#game")).to_have_attribute("data-step", "100")
    button(page, "Back to the lungs").click()
    assert picture(page) not in (line, two_lines)


# Time.


def test_plays_only_when_asked_slowly_when_asked_and_not_out_of_sight(browser: Browser, project: str) -> None:
    with game_page(browser, project) as tab:
        arrive(tab, project)
        tab.wait_for_timeout(300)
        assert step(tab) == game_state.STEPS, "it plays by itself"
        button(tab, "Play").click()
        tab.wait_for_function(f"document.querySelector('#game').dataset.step > {game_state.STEPS + 20}")
        button(tab, "Pause").press("Enter")
        paused = step(tab)
        assert f"Step {paused}" in tab.get_by_role("status").inner_text()
        button(tab, "Slow").press("Space")
        assert button(tab, "Slow").get_attribute("aria-pressed") == "true"
        button(tab, "Play").click()
        tab.wait_for_function(f"document.querySelector('#game').dataset.step > {paused}")
        shown = tab.evaluate(
            """() => new Promise((resolve) => {
              const [figure, seen] = [document.getElementById("game"), []];
              new MutationObserver(() => seen.push(Number(figure.dataset.step)) === 3 && resolve(seen))
                .observe(figure, { attributeFilter: ["data-step"] });
            })"""
        )
        assert shown == [shown[0], shown[0] + 1, shown[0] + 2], "a slow game shows every step"
        tab.evaluate("scrollTo(0, 0)")
        expect(button(tab, "Play")).to_have_count(1)


def test_reduced_motion_leaves_steps_alone(page: Page) -> None:
    expect(button(page, "100 steps")).to_be_visible()
    expect(button(page, "Slow")).to_be_hidden()
    page.wait_for_timeout(200)
    assert step(page) == game_state.STEPS


# What happens is named.


@pytest.mark.parametrize(
    ("press", "name", "measured"),
    [("collapses", "Mode collapse", "of 8 modes"), ("oscillates", "Oscillation", "steps")],
)
def test_failures_are_provoked_and_named(page: Page, press: str, name: str, measured: str) -> None:
    button(page, press).click()
    said = page.get_by_role("status")
    expect(said).to_contain_text(name, timeout=PATIENCE)
    assert names(page).startswith(name)
    assert measured in page.locator(".game-words").inner_text()
    first = step(page), page.locator(".game-words").inner_text()
    button(page, "is learnt").click()
    assert names(page) == "G has reached the data"
    button(page, press).click()
    expect(said).to_contain_text(name, timeout=PATIENCE)
    assert (step(page), page.locator(".game-words").inner_text()) == first, "the same every time"


def test_provoked_collapse_is_watched_where_things_may_move(browser: Browser, project: str) -> None:
    with game_page(browser, project) as tab:
        arrive(tab, project)
        button(tab, "collapses").click()
        expect(button(tab, "Pause")).to_be_visible()
        expect(tab.get_by_role("status")).to_contain_text("Mode collapse", timeout=PATIENCE)


def test_an_absurd_learning_rate_is_named_and_reset_mends_it(page: Page) -> None:
    page.get_by_role("slider", name="Learning rate of G").press("End")
    button(page, "100 steps").click()
    expect(page.locator("#game")).to_have_attribute("data-step", f"{game_state.STEPS + 100}")
    assert names(page) == "Divergence"
    assert "Reset" in page.locator(".game-words").inner_text()
    button(page, "Reset").click()
    assert names(page) == "Untrained"
    assert page.get_by_role("slider", name="Learning rate of G").get_attribute("aria-valuetext") == "0.001"


DIAGNOSE = """async ([modules, loss, history, looks]) => {
  const { diagnose } = await import(modules + "diagnosis.js");
  const { ring } = await import(modules + "targets.js");
  const game = { settings: { loss }, step: history.length, moved: 1, history };
  return diagnose(game, looks, ring).map(({ name, stop }) => [name, Boolean(stop)]);
}"""


def look(step: int, **measured: float) -> dict[str, float]:
    """Return a measurement of a generator that has reached everything, except for what is ``measured``."""
    well = {"reached": 8, "inside": 0.95, "spread": 1.0, "away": 0.05, "angle": 0.0, "slope": 0.5}
    return {"step": step, **well, **measured}


def diagnosed(tab: Page, looks: list[dict[str, float]], *, g: Any = 0.7, loss: str = "nonSaturating") -> Any:
    history = [{"step": i, "D": 1.4, "G": g(i) if callable(g) else g} for i in range(looks[-1]["step"])]
    # JSON has no NaN; the page's own arithmetic has.
    script = DIAGNOSE.replace("history, looks])", "given, looks])").replace(
        "const game", "const history = given.map((c) => ({ ...c, G: c.G ?? NaN })); const game"
    )
    return tab.evaluate(script, [MODULES, loss, history, looks])


def test_names_follow_from_what_is_measured(browser: Browser, project: str) -> None:
    every = range(10, 510, 10)
    wave = lambda i: 0.7 + 0.1 * np.sin(2 * np.pi * i / 90)  # noqa: E731
    with game_page(browser, project) as tab:
        tab.goto(project + ADDRESS)
        good = [look(i) for i in every]
        assert diagnosed(tab, good) == [["G has reached the data", False]]
        assert diagnosed(tab, [look(i, reached=5) for i in every]) == [["Learning", False]]
        lump = [look(i, reached=1, spread=0.1) for i in every]
        assert diagnosed(tab, lump) == [["Mode collapse", False]]
        assert diagnosed(tab, [*good[:-5], *lump[-5:]]) != [["Mode collapse", False]], (
            "50 steps are no collapse"
        )
        assert diagnosed(tab, lump[:5]) == [["Learning", False]], "nor is a game that has just begun"
        once_round = [look(i, away=1.0, angle=2 * np.pi * i / 250) for i in every]
        assert diagnosed(tab, once_round) == [["G has reached the data", False]]
        turning = [look(i, away=1.0, angle=2 * np.pi * i / 80) for i in every]
        assert diagnosed(tab, turning) == [["Oscillation", False]]
        to_and_fro = [look(i, away=1.0, angle=np.sin(i)) for i in every]
        assert diagnosed(tab, to_and_fro) == [["G has reached the data", False]]
        assert diagnosed(tab, good, g=wave) == [["Oscillation", False]]
        assert diagnosed(tab, good, g=lambda i: 0.7 + 1e-3 * i) == [["G has reached the data", False]]
        noise = np.random.default_rng(0).normal(size=600)
        assert diagnosed(tab, good, g=lambda i: 0.7 + 0.1 * noise[i]) == [["G has reached the data", False]]
        assert diagnosed(tab, [look(i, slope=0.01) for i in every], loss="minimax") == [["Saturation", False]]
        assert diagnosed(tab, [look(i, away=40.0) for i in every]) == [["Divergence", False]]
        assert diagnosed(tab, good, g=lambda i: None if i == 499 else 0.7) == [["Divergence", True]]


@pytest.mark.parametrize("steps", [60, 90, 120])
def test_the_period_of_a_cost_is_found_in_noise(browser: Browser, project: str, steps: int) -> None:
    noise = np.random.default_rng(1).normal(size=400)
    values = np.sin(2 * np.pi * np.arange(400) / steps) + 0.3 * noise + 0.01 * np.arange(400)
    with game_page(browser, project) as tab:
        tab.goto(project + ADDRESS)
        found = tab.evaluate(
            "async ([modules, values]) => (await import(modules + 'diagnosis.js')).period(values)",
            [MODULES, values.tolist()],
        )
    assert found == pytest.approx(steps, rel=0.05)


# Bad input: a sentence, and the still picture.


def test_without_scripts_the_still_picture_tells_it(browser: Browser, project: str, width: str) -> None:
    with game_page(browser, project, width=width, java_script_enabled=False) as tab:
        tab.goto(project + ADDRESS)
        image = tab.locator(".game-stage img")
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        assert "orange dots" in (image.get_attribute("alt") or "").lower()
        expect(tab.locator(".game-key")).to_be_visible()
        assert tab.locator("#game button").count() == 0


def troubled(tab: Page, project: str) -> str:
    """Open a game that cannot be played; return its sentence."""
    tab.goto(project + ADDRESS)
    tab.locator("#game").scroll_into_view_if_needed()
    sentence = tab.get_by_role("alert")
    expect(sentence).to_be_visible()
    expect(tab.locator(".game-stage img")).to_be_visible()
    return sentence.inner_text()


@pytest.mark.parametrize("missing", ["widget.js", "nets.js", "trained.json"])
def test_what_does_not_arrive_is_said(browser: Browser, project: str, width: str, missing: str) -> None:
    with game_page(browser, project, width=width) as tab:
        tab.route(f"**/{missing}", lambda route: route.abort())
        assert "picture stands still" in troubled(tab, project)


def test_offline_after_arrival_it_plays_on(page: Page) -> None:
    page.context.set_offline(True)
    button(page, "collapses").click()
    expect(page.get_by_role("status")).to_contain_text("Mode collapse", timeout=PATIENCE)


def altered(weights: dict[str, Any]) -> str:
    text = weights["weights"]
    return json.dumps({**weights, "weights": ("B" if text[0] != "B" else "C") + text[1:]})


@pytest.mark.parametrize(
    "change", [altered, lambda _: "{", lambda _: "{}", lambda saved: json.dumps(saved)[:900]]
)
def test_altered_weights_are_refused(browser: Browser, project: str, change: Any) -> None:
    saved = json.loads(game_state.TARGET.read_text(encoding="utf-8"))
    with game_page(browser, project) as tab:
        tab.route("**/trained.json", lambda route: route.fulfill(body=change(saved)))
        assert "altered" in troubled(tab, project)


def test_without_a_canvas_it_says_so(browser: Browser, project: str) -> None:
    with game_page(browser, project) as tab:
        tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        assert "canvas" in troubled(tab, project)
