"""Claims, the protocol that tests them, and the cards that keep what came out.

A system's file has a function ``experiment`` that says what is compared; ``medgan run`` does the rest: seeds,
resumption, intervals, verdicts, the card. This is a whole one::

    def budget() -> Budget:
        return choose(smoke=Budget(...), cpu=Budget(...), gpu=Budget(...))

    def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
        train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))

        def dcgan_arm(run: Run) -> Outcome:
            game = dcgan(budget.size, base=budget.base, seed=run.seed)
            run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
            return {"brightness": sample(game).mean(dim=(1, 2, 3))}  # one value an image

        def real_arm(run: Run) -> Outcome:  # a reference row: nothing is trained
            return {"brightness": test.images.mean(dim=(1, 2, 3))}

        return Experiment(
            data=[train, test],
            arms={"DCGAN": dcgan_arm, "real images": real_arm},
            claims=[
                Claim(
                    "Generated images are at least as bright as grey -0.5.",
                    metric="brightness",
                    variant="DCGAN",
                    better="higher",
                    margin=-0.5,
                    references=["real images"],
                )
            ],
        )

``medgan run dcgan --set steps=200 --set dataset=mednist`` sets the fields of the budget and the keyword
parameters of ``experiment``, with the types they have there. Nothing is trained in ``experiment`` itself;
what every arm needs (data, features of the real images) is made there once. :class:`Domain` does that for
generators of whole images.

A system that keeps a trained network has a function ``training`` as well. ``medgan train dcgan --set
steps=200`` calls it and writes the network with its card::

    def training(run: Run, *, size: int = 64, steps: int = 17_000) -> Trained:
        train = data.load("pneumoniamnist", size=size, split="train")
        game = dcgan(size, seed=run.seed)
        history = run.fit(game, train.batches(64, seed=run.seed), steps)
        return Trained(game.averaged("G"), Generator, {"size": size}, train, history)
"""

from medgan_course.experiments.card import ResultsCard
from medgan_course.experiments.claim import Claim, Outcome
from medgan_course.experiments.domain import Domain
from medgan_course.experiments.runner import Experiment, Run, Trained, run, train

__all__ = ["Claim", "Domain", "Experiment", "Outcome", "ResultsCard", "Run", "Trained", "run", "train"]
