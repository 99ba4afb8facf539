"""Devices and precisions: what is chosen, what is refused, and how float16 is scaled."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from medgan_course.data.batches import Batch, Batches, Stream, Unpaired
from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn, engine, fit

CPU = torch.device("cpu")


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01, fused=True)


def game(scale=1.0, at=(), hook=None):
    """Return a game whose gradients are multiplied by ``scale`` in the steps ``at``."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))

    def cost(game, x):
        y = game["A"](x)
        kinds.add(y.dtype)
        y = y.float().square().mean()
        if game.step in at:
            y.register_hook(lambda gradient: gradient * scale)
        return {"a": y}

    kinds = set()

    def optimiser(parameters):
        made = adam(parameters)
        if hook:
            made.register_step_pre_hook(hook)
        return made

    a_game = Game({"A": Player(net, optimiser=optimiser)}, [Turn("A", cost)])
    a_game.kinds = kinds
    return a_game


X = [torch.linspace(-1, 1, 12).reshape(4, 3)]


def test_float16_trains_as_float32_within_its_rounding():
    half, full = game(), game()
    history = fit(half, X, 40, device="cpu", precision="float16")
    expected = fit(full, X, 40, device="cpu")
    assert half.kinds == {torch.float16}
    assert half["A"][0].weight.dtype == torch.float32
    # float16 has 11 bits; over 40 steps the relative error stays near that of one rounding.
    assert history["A.a"] == pytest.approx(expected["A.a"], rel=0.02, abs=1e-4)
    assert half.scaler.get_scale() == 2**16


def test_a_step_whose_float16_gradient_overflows_is_left_out_and_is_no_divergence():
    skipping, clean = game(1e36, at=(3,)), game()
    history = fit(skipping, X, 6, device="cpu", precision="float16")
    fit(clean, X, 5, device="cpu", precision="float16")
    assert skipping.scaler.get_scale() == 2**15
    assert history["A.a"][3] == history["A.a"][4]  # nobody moved in step 3
    for a, b in zip(skipping["A"].parameters(), clean["A"].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


def test_a_scale_that_keeps_falling_is_divergence():
    with pytest.raises(CourseError, match=r"float16 gradients overflow at every scale .* step \d+"):
        fit(game(float("inf"), at=range(99)), X, 60, device="cpu", precision="float16")


def test_hooks_see_gradients_as_they_are():
    norms = []

    def clip(optimiser, *_):
        parameters = optimiser.param_groups[0]["params"]
        norms.append(nn.utils.clip_grad_norm_(parameters, 0.1).item())

    for precision in ("float16", "float32"):
        fit(game(hook=clip), X, 1, device="cpu", precision=precision)
    assert norms[0] == pytest.approx(norms[1], rel=1e-2)


def test_the_scale_is_in_the_checkpoint(tmp_path):
    whole, resumed = game(1e36, at=(3, 8)), game(1e36, at=(3, 8))
    settings = {"device": "cpu", "precision": "float16"}
    fit(whole, X, 12, **settings)
    fit(game(1e36, at=(3, 8)), X, 6, checkpoint=tmp_path / "game", **settings)
    fit(resumed, X, 12, checkpoint=tmp_path / "game", **settings)
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()
    assert resumed.scaler.get_scale() == 2**14
    assert all(map(torch.equal, resumed["A"].parameters(), whole["A"].parameters()))


@pytest.mark.parametrize(("native", "chosen"), [(True, "bfloat16"), (False, "float16")])
def test_the_precision_of_a_card(monkeypatch, native, chosen):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert engine._precision(None, torch.device("cuda")) == chosen
    assert engine._precision(None, CPU) == engine._precision(None, torch.device("mps")) == "float32"


@pytest.mark.parametrize(
    ("there", "best"), [(("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu"), (("cuda",), "cuda")]
)
def test_the_best_device(monkeypatch, there, best):
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(getattr(torch, kind), "is_available", lambda kind=kind: kind in there)
    assert engine.best_device() == torch.device(best)


def test_a_device_that_is_not_there_is_a_sentence(monkeypatch):
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(getattr(torch, kind), "is_available", lambda: False)
    for device in ("cuda", "cuda:1", "mps", torch.device("cuda")):
        with pytest.raises(CourseError, match=f"device='{device}' was asked for, but torch finds none here"):
            fit(game(), X, 1, device=device)
    with pytest.raises(CourseError, match="device='gpu' is none: choose 'cpu', 'cuda' or 'mps'"):
        fit(game(), X, 1, device="gpu")


def test_apples_random_state_is_kept_like_the_cpus(monkeypatch):
    state = [torch.tensor([1], dtype=torch.uint8)]
    fake = SimpleNamespace(
        get_rng_state=lambda: state[0],
        set_rng_state=lambda new: state.__setitem__(0, new),
        manual_seed=lambda seed: state.__setitem__(0, torch.tensor([seed], dtype=torch.uint8)),
    )
    monkeypatch.setattr(torch, "mps", fake)
    with engine._forked(torch.device("mps")):
        engine._generators(torch.device("mps"))["random_state_mps"].manual_seed(7)
        assert state[0].item() == 7
    assert state[0].item() == 1


@pytest.mark.parametrize(("free", "resident"), [(1000, True), (900, False)])
def test_data_are_put_on_the_card_if_they_leave_half_of_its_memory(monkeypatch, free, resident):
    moved = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(engine, "_on", lambda device, batch: moved.append("batch") or batch)
    monkeypatch.setattr(Stream, "to", lambda self, device: moved.append("all") or self)
    stream = Batches(torch.zeros(100, 1), torch.zeros(100, dtype=torch.int8), 4)  # 400 + 100 bytes
    assert len(engine._batch_source(stream, torch.device("cuda"))(0).images) == 4
    assert moved == (["all"] if resident else ["batch"])


def test_the_bytes_of_nested_streams_are_counted():
    whole = Unpaired(Batch(torch.zeros(3, 2), torch.zeros(3)), torch.zeros(5))
    assert sum(tensor.numel() for tensor in engine._tensors(whole)) == 14
