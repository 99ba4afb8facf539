"""The checks of chapter 02, the game: two costs, a step without leaks, the best D, and steps in circles."""

import math
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare, returns

# 2.1: the two costs -----------------------------------------------------------------------------------


def _check_costs(answer: Answer) -> str:
    function = answer.function("costs")
    # Batches of different sizes, so that a mean over both together is another number.
    for real_shape, fake_shape in (((6,), (4,)), ((3, 1), (5, 1)), ((2, 1, 3, 3), (4, 1, 3, 3))):
        real, fake = torch.randn(real_shape), torch.randn(fake_shape) + 0.5
        cost_d, cost_g = _costs(answer, function, real, fake)
        seen = f"On logits of shapes {real_shape} and {fake_shape}, in {{}}, "
        where = "Write down what D lowers for one real and one fake image, and do it by hand."
        compare(
            cost_d, _d_cost(real, fake), _d_mistakes(real, fake), seen=seen.format("L_D"), otherwise=where
        )
        where = "G sees the fakes' logits only; write down what it lowers for one of them."
        compare(cost_g, _g_cost(fake), _g_mistakes(real, fake), seen=seen.format("L_G"), otherwise=where)
    sure = torch.tensor([200.0, 150.0])
    for real, fake in ((sure, -sure), (-sure, sure)):
        try:
            found = torch.tensor(_costs(answer, function, real, fake))
            compare(found, torch.stack([_d_cost(real, fake), _g_cost(fake)]), {}, seen="", otherwise="")
        except CheckFailed as failure:
            raise CheckFailed(
                "On ordinary logits both costs are right, but not where D is sure (logits of 150 and 200): "
                "there sigma is rounded to 0 or 1, and its logarithm is lost or has to be cut off. Work with "
                "the logits themselves."
            ) from failure
    worked = torch.tensor([0.1, 0.9]).logit()
    cost_d, cost_g = _costs(answer, function, worked[:1], worked[1:])
    return f"L_D = {cost_d:.4f} and L_G = {cost_g:.4f} in the worked example, and finite where D is sure."


def _d_cost(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _g_cost(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


def _d_mistakes(real: Tensor, fake: Tensor) -> dict[str, float | Tensor]:
    right, p_real, p_fake = _d_cost(real, fake), real.sigmoid(), fake.sigmoid()
    together = torch.cat([softplus(-real).flatten(), softplus(fake).flatten()]).mean()
    return {
        "the logarithm is to base 2": right / math.log(2),
        "the logarithm is to base 10": right / math.log(10),
        "the two halves of D's cost are averaged where they are added": right / 2,
        "the fakes are to pass for data, but D wants to reject them": _g_cost(real) + _g_cost(fake),
        "real and fake images have changed places, or their labels have": _d_cost(fake, real),
        "the fakes' half is missing": _g_cost(real),
        "the real images' half is missing": softplus(fake).mean(),
        "the sign is turned: V is what D raises, and its cost is what it lowers": -right,
        "the batch is added up where a mean is wanted": softplus(-real).sum() + softplus(fake).sum(),
        "both batches are thrown together, but each has a mean of its own": 2 * together,
        "both batches are thrown together in one mean, but each has its own": together,
        "the mean is taken before the logarithm": -p_real.mean().log() - (1 - p_fake).mean().log(),
        "the logits are averaged first, but every image has a cost": _d_cost(real.mean(), fake.mean()),
        "sigma is applied twice": _d_cost(p_real, p_fake),
        "the logits are taken for probabilities, or sigma is missing": (1 - real).mean() + fake.mean(),
        "it is the difference of two means, the cost of a Wasserstein critic": fake.mean() - real.mean(),
        "it holds G's cost as well, but nobody lowers the sum": right + _g_cost(fake),
        "the pair is in the wrong order": _g_cost(fake),
    }


def _g_mistakes(real: Tensor, fake: Tensor) -> dict[str, float | Tensor]:
    right, p_fake = _g_cost(fake), fake.sigmoid()
    return {
        "the logarithm is to base 2": right / math.log(2),
        "the logarithm is to base 10": right / math.log(10),
        "the sign is turned: G lowers this number": -right,
        "it is the minimax cost, which is silent where D is sure": -softplus(fake).mean(),
        "G is paid for being detected": softplus(fake).mean(),
        "the batch is added up where a mean is wanted": softplus(-fake).sum(),
        "it is halved": right / 2,
        "it holds a term of the real images, which G has no part in": right + _g_cost(real),
        "it holds a term of the real images, which G cannot change": right + softplus(real).mean(),
        "the mean is taken before the logarithm": -p_fake.mean().log(),
        "the logits are averaged first, but every image has a cost": _g_cost(fake.mean()),
        "sigma is applied twice": _g_cost(p_fake),
        "it is a probability, not its logarithm": 1 - p_fake.mean(),
        "it is made of the real images' logits": _g_cost(real),
        "it is the mean logit, the cost against a Wasserstein critic": -fake.mean(),
        "it holds D's cost as well, but nobody lowers the sum": right + _d_cost(real, fake),
    }


def _costs(
    answer: Answer, function: Callable[..., object], real: Tensor, fake: Tensor
) -> tuple[float, float]:
    """Return the student's L_D and L_G as numbers."""
    found = answer.call("costs(real, fake)", function, real, fake)
    if isinstance(found, int | float) or (isinstance(found, Tensor) and found.numel() == 1):
        raise CheckFailed(
            "costs(real, fake) returns one number, but two players lower two costs: return the pair "
            "(L_D, L_G)."
        )
    if isinstance(found, Tensor):
        found = list(found)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise CheckFailed(f"costs(real, fake) must return the pair (L_D, L_G), but {returns(found)}")
    first, second = found
    return (
        answer.number("L_D in costs(real, fake)", lambda: first),
        answer.number("L_G in costs(real, fake)", lambda: second),
    )


# 2.2: a step without leaks ----------------------------------------------------------------------------

CALL = "step(G, D, g_optimiser, d_optimiser, x, z)"
G_RATE, D_RATE = 0.5, 1.0  # of plain gradient descent, so that a move tells the gradient it came from


def _check_step(answer: Answer) -> str:
    function = answer.function("step")
    points = (
        nn.Sequential(nn.Linear(3, 16), nn.LeakyReLU(0.2), nn.Linear(16, 2)),
        nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
    )
    images = (
        nn.Sequential(
            nn.ConvTranspose2d(4, 8, 4), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)
        ),
        nn.Sequential(nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4)),
    )
    _check_steps(answer, function, *points, x_shape=(8, 2), z_shape=(8, 3))
    _check_steps(answer, function, *images, x_shape=(6, 1, 8, 8), z_shape=(6, 4, 1, 1))
    return "each player has moved along the gradient of its own cost, and of no other."


def _check_steps(
    answer: Answer,
    function: Callable[..., object],
    G: nn.Module,
    D: nn.Module,
    x_shape: tuple[int, ...],
    z_shape: tuple[int, ...],
) -> None:
    """Let the student play three steps, and hold each player's move against the gradient it should follow."""
    g_optimiser = torch.optim.SGD(G.parameters(), lr=G_RATE)
    d_optimiser = torch.optim.SGD(D.parameters(), lr=D_RATE)
    # What the step before has left in the weights if nobody clears it: in G, and in D from either turn.
    left_in_g, left_in_d, left_by_g = (torch.zeros(()) for _ in range(3))
    for number in (1, 2, 3):
        x, z = 1.5 * torch.randn(x_shape) + 1, torch.randn(z_shape)
        g_old, d_old = deepcopy(G), deepcopy(D)
        _play(answer, function, G, D, g_optimiser, d_optimiser, x, z)
        if not all(weight.requires_grad for net in (G, D) for weight in net.parameters()):
            raise CheckFailed(
                f"After {CALL} a network is still frozen: thaw after a turn what was frozen for it."
            )
        fake = g_old(z)
        d_gradient = _gradient(_d_cost(d_old(x), d_old(fake.detach())), d_old)
        against = _gradient(_g_cost(d_old(fake)), d_old)
        mistakes: dict[str, float | Tensor] = {
            "D has not moved": torch.zeros_like(d_gradient),
            "D moved the wrong way: it must lower its cost": -d_gradient,
            "G's cost pulls at D as well": d_gradient + against,
            "only G's cost pulls at D": against,
            "D has seen no fakes": _gradient(_g_cost(d_old(x)), d_old),
            "D has seen fakes only": _gradient(softplus(d_old(fake)).mean(), d_old),
            "real images and fakes have changed places, or their labels have": _gradient(
                softplus(d_old(x)).mean() + _g_cost(d_old(fake)), d_old
            ),
            "D is to call fakes data": _gradient(_g_cost(d_old(x)) + _g_cost(d_old(fake)), d_old),
            "the halves of D's cost are averaged where they are added": d_gradient / 2,
            "G has moved before D": _gradient(_d_cost(d_old(x), d_old(G(z))), d_old),
            "D's gradient still holds what G's turn left there": d_gradient + left_by_g,
            "D's gradient still holds that of the step before": d_gradient + left_in_d,
        }
        compare(
            (_weights(d_old) - _weights(D)) / D_RATE,
            d_gradient,
            mistakes,
            seen=f"In step {number}, D's move: ",
            otherwise="D's move must follow the gradient of L_D on x and on the fakes G(z), as they were "
            "before anyone moved.",
        )
        # D has moved rightly, so it stands where it should for G's turn.
        g_gradient = _gradient(_g_cost(D(fake)), g_old)
        early = _gradient(_g_cost(d_old(fake)), g_old)
        leak = _gradient(softplus(d_old(fake)).mean(), g_old)
        late_leak = _gradient(softplus(D(fake)).mean(), g_old)
        compare(
            (_weights(g_old) - _weights(G)) / G_RATE,
            g_gradient,
            {
                "G has not moved: no gradient reaches it through fakes that are cut off": torch.zeros_like(
                    g_gradient
                ),
                "G moved the wrong way: it must lower its cost": -g_gradient,
                "D's cost pulls at G as well": g_gradient + leak,
                "only D's cost pulls at G": leak,
                "G is paid for being detected": late_leak,
                "G lowers the minimax cost": -late_leak,
                "G was judged by D as it was before D's turn": early,
                "G's gradient still holds that of the step before": g_gradient + left_in_g,
            },
            seen=f"In step {number}, G's move: ",
            otherwise="G's move must follow the gradient of its own cost alone, on the fakes G(z) of the "
            "same z, judged by the D that has just moved.",
        )
        left_by_g = _gradient(_g_cost(D(fake)), D)
        left_in_d = left_in_d + d_gradient + left_by_g
        left_in_g = left_in_g + g_gradient


def _play(answer: Answer, function: Callable[..., object], *arguments: object) -> None:
    try:
        answer.call(CALL, function, *arguments)
    except CheckFailed as failure:
        if "inplace operation" in str(failure):
            raise CheckFailed(
                f"{CALL}: a network moved between an answer and the backward pass through that answer. Ask D "
                "again after its move."
            ) from failure
        if "second time" in str(failure):
            raise CheckFailed(
                f"{CALL}: two backward passes run through one graph. Each turn needs an answer of its own, "
                "and D's turn has to end at D; keeping the graph would only hide that."
            ) from failure
        raise


def _gradient(cost: Tensor, net: nn.Module) -> Tensor:
    found = torch.autograd.grad(cost, list(net.parameters()), retain_graph=True)
    return torch.cat([each.flatten() for each in found])


def _weights(net: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in net.parameters()])


# 2.3: the best discriminator --------------------------------------------------------------------------


def _check_best(answer: Answer) -> str:
    function = answer.function("best_logit")
    what = "best_logit(x, data, generated, real_per_fake)"
    cases = (
        ((0.0, 1.0), (1.5, 0.7), 10.0, (7,)),
        ((0.0, 1.0), (1.5, 0.7), 1.0, (7,)),
        ((-1.2, 0.6), (0.4, 1.9), 0.25, (2, 1, 5)),
        ((0.3, 2.5), (0.3, 0.8), 3.0, (4, 3)),
    )
    for data, generated, ratio, shape in cases:
        x = torch.linspace(-2.3, 2.1, math.prod(shape)).view(shape)
        found = answer.tensor(what, function, x, data, generated, ratio, shape=shape)
        compare(
            found,
            _best(x, data, generated, ratio),
            _best_mistakes(x, data, generated, ratio),
            seen=f"For data {data}, generated {generated} and {ratio:g} real samples for each fake, ",
            otherwise="At one x, write down what a real and a fake sample cost, weighted by how often each "
            "comes, and set the derivative to zero.",
        )
    far = torch.tensor([-60.0, -25.0, 25.0, 60.0])
    data, generated, ratio, _ = cases[0]
    try:
        found = answer.tensor(what, function, far, data, generated, ratio, shape=far.shape)
        compare(found, _best(far, data, generated, ratio), {}, seen="", otherwise="")
    except CheckFailed as failure:
        raise CheckFailed(
            "Near the middle D* is right, but not at x = -60 and 60: there both densities are rounded to 0, "
            "and their ratio is lost. Work with their logarithms."
        ) from failure
    error = (found - _best(far, data, generated, ratio)).abs().max()
    return f"D* for any two Gaussians and any mixture, with an error of at most {error:.1e} at x = -60 to 60."


def _log_normal(x: Tensor, mean: float, deviation: float) -> Tensor:
    return -(((x - mean) / deviation) ** 2) / 2 - math.log(deviation) - math.log(2 * math.pi) / 2


def _best(x: Tensor, data: tuple[float, float], generated: tuple[float, float], ratio: float) -> Tensor:
    return _log_normal(x, *data) - _log_normal(x, *generated) + math.log(ratio)


def _best_mistakes(
    x: Tensor, data: tuple[float, float], generated: tuple[float, float], ratio: float
) -> dict[str, float | Tensor]:
    right, p, q = _best(x, data, generated, ratio), _log_normal(x, *data), _log_normal(x, *generated)
    z_p, z_q = ((x - mean) / deviation for mean, deviation in (data, generated))
    as_variance = [(mean, math.sqrt(deviation)) for mean, deviation in (data, generated)]
    return {
        "it is the probability, where its logit is wanted": right.sigmoid(),
        "data and generated samples have changed places": -right,
        "data and generated samples have changed places, but not their numbers": q - p + math.log(ratio),
        "the mixture is left out: one real sample for each fake": p - q,
        "the mixture is the wrong way round": p - q - math.log(ratio),
        "the mixture enters as it is: what is added to a logit is a logarithm": p - q + ratio,
        "the logit is multiplied by how frequent real samples are": (p - q) * ratio,
        "it is the ratio of the densities without its logarithm": right.exp(),
        "it is the difference of the densities, where their ratio tells": ratio * p.exp() - q.exp(),
        "the standard deviation is taken for the variance": _best(x, as_variance[0], as_variance[1], ratio),
        "the height of the bells is forgotten: a narrow one is also a high one": (z_q**2 - z_p**2) / 2
        + math.log(ratio),
        "the one half in the exponent is missing": z_q**2
        - z_p**2
        + math.log(generated[1] / data[1])
        + math.log(ratio),
        "the logarithm is to base 2": right / math.log(2),
        "the logarithm is to base 10": right / math.log(10),
        "only the density of the data counts, but D compares two": p + math.log(ratio),
    }


# 2.4: a game in circles -------------------------------------------------------------------------------

Value = Callable[[Tensor, Tensor], Tensor]


def _check_play(answer: Answer) -> str:
    function = answer.function("play")
    games: dict[str, tuple[Value, Callable[[float, float], tuple[float, float]]]] = {
        "xy": (lambda x, y: x * y, lambda x, y: (y, x)),
        "xy + 0.3x^2 - 0.1y^2": (
            lambda x, y: x * y + 0.3 * x**2 - 0.1 * y**2,
            lambda x, y: (y + 0.6 * x, x - 0.2 * y),
        ),
    }
    last: dict[str, float] = {}
    for name, (value, slopes) in games.items():
        for turns in ("simultaneous", "alternating"):
            for start, rate, steps in (((1.0, 0.0), 0.3, 60), ((-0.5, 1.5), 0.1, 7)):
                what = f'play(value, {start[0]}, {start[1]}, rate={rate}, steps={steps}, turns="{turns}")'
                path = answer.tensor(
                    what, function, value, *start, rate, steps, turns, shape=(steps + 1, 2)
                ).double()
                played = {how: _path(slopes, start, rate, steps, move) for how, move in _moves(turns).items()}
                right = played.pop("")
                # Late positions of a game that diverges would hide early ones behind their size.
                size = right.norm(dim=1, keepdim=True).clamp_min(1)
                compare(
                    path / size,
                    right / size,
                    {how: wrong / size for how, wrong in played.items()}
                    | {"the path begins after the first step": torch.cat([right[1:], right[-1:]]) / size},
                    seen=f"With {turns} turns and V = {name} ",
                    otherwise="Do the first two steps by hand, from the slopes of V at the place where each "
                    "player stands, and compare them with the first rows of the path.",
                )
                if name == "xy":
                    last.setdefault(turns, path.norm(dim=1)[-1].item())
    return (
        f"after 60 steps on xy the radius is {last['simultaneous']:.2f} with simultaneous turns "
        f"and {last['alternating']:.2f} with alternating ones."
    )


Slopes = Callable[[float, float], tuple[float, float]]
Move = Callable[[Slopes, float, float, float], tuple[float, float]]


def _at_once(x_sign: int, y_sign: int) -> Move:
    def move(slopes: Slopes, x: float, y: float, rate: float) -> tuple[float, float]:
        along_x, along_y = slopes(x, y)
        return x + x_sign * rate * along_x, y + y_sign * rate * along_y

    return move


def _x_first(x_sign: int, y_sign: int) -> Move:
    def move(slopes: Slopes, x: float, y: float, rate: float) -> tuple[float, float]:
        x = x + x_sign * rate * slopes(x, y)[0]
        return x, y + y_sign * rate * slopes(x, y)[1]

    return move


def _y_first(slopes: Slopes, x: float, y: float, rate: float) -> tuple[float, float]:
    y = y + rate * slopes(x, y)[1]
    return x - rate * slopes(x, y)[0], y


def _moves(turns: str) -> dict[str, Move]:
    """Return the right way to move, under the name "", and wrong ones."""
    order = _at_once if turns == "simultaneous" else _x_first
    return {
        "": order(-1, 1),
        "y has seen where x has gone, but both move at once": _x_first(-1, 1),
        "y has not seen where x has gone: its slope is that of the old place": _at_once(-1, 1),
        "y moves before x": _y_first,
        "both players go down: y wants V high": order(-1, -1),
        "both players go up: x wants V low": order(1, 1),
        "x goes up and y goes down, the wrong way for both": order(1, -1),
        "each player follows the other's slope": lambda slopes, x, y, rate: order(-1, 1)(
            lambda a, b: slopes(a, b)[::-1], x, y, rate
        ),
        "the rate is left out": lambda slopes, x, y, rate: order(-1, 1)(slopes, x, y, 1.0),
        "the slopes are those of xy, whatever game is handed in": lambda slopes, x, y, rate: order(-1, 1)(
            lambda a, b: (b, a), x, y, rate
        ),
        "x never moves": order(0, 1),
        "y never moves": order(-1, 0),
    }


def _path(slopes: Slopes, start: tuple[float, float], rate: float, steps: int, move: Move) -> Tensor:
    path = [start]
    for _ in range(steps):
        path.append(move(slopes, *path[-1], rate))
    return torch.tensor(path, dtype=torch.float64)


EXERCISES = {
    "02.1": Exercise(
        _check_costs,
        hints=(
            "Three things are wrong in the listing, in three lines. Take D's answers 0.1 and 0.9 and do each "
            "logarithm by hand: which of the two printed numbers is not a natural one?",
            "D pays for every real image it rejects and for every fake it accepts: two means, one over each "
            "batch, added. G pays for every fake that is rejected. Neither pays for the other.",
            "The chapter writes both halves of L_D, and L_G, with one function of a logit or of its "
            "negative. It stays finite where the logarithm of sigma does not.",
        ),
    ),
    "02.2": Exercise(
        _check_step,
        hints=(
            "How often does D answer on the fakes in the listing, and how many costs are sent back through "
            "that one answer? Each turn needs its own.",
            "In D's turn G must not be reached: which one word cuts the fakes off from the network that made "
            "them? And when is a gradient of the turn before cleared?",
            "D's turn first: clear, cost on x and on the fakes that are cut off, backward, step. Then G's: "
            "clear, D's new answer on the same fakes, this time not cut off, backward, step.",
        ),
        needs=("torch._dynamo",),  # an optimiser does
    ),
    "02.3": Exercise(
        _check_best,
        hints=(
            "Stand at one x. Among many samples, how often does a real one fall there, and how often a fake "
            "one, if there are r real samples for each fake?",
            "D's expected cost there is a p-part times -log s and a q-part times -log(1 - s), where r "
            "multiplies one of them. Its best s is a share; its logit is the logarithm of a ratio.",
            "The logarithm of a ratio of products is a sum and difference of logarithms, and the logarithm "
            "of a normal density is a parabola. `torch.distributions.Normal(...).log_prob` gives it.",
        ),
    ),
    "02.4": Exercise(
        _check_play,
        hints=(
            "x lowers V and y raises it: which sign belongs to which slope?",
            "Simultaneous: both slopes are taken at the same place, before anyone moves. Alternating: y's "
            "slope is taken where x has gone.",
            "For alternating turns call `slopes` twice, the second time with the new x.",
        ),
        needs=("torch._dynamo",),  # torch.func does
    ),
}
