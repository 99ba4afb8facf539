"""Real image sets, their cards, and the phantoms that stand in for them."""
from pathlib import Path
import os
import numpy as np, torch
from dataclasses import dataclass
from medgan_course.data.batches import Batches

@dataclass
class Dataset:
    name: str
    size: int
    split: str
    images: torch.Tensor
    labels: torch.Tensor
    source: str
    is_surrogate: bool = False
    def __len__(self): return len(self.images)
    def batches(self, batch_size, *, seed=0): return Batches(self.images, self.labels, batch_size, seed=seed)

def load(name, *, size, split="train"):
    suffix = "" if size == 28 else f"_{size}"
    d = np.load(Path(os.environ["MEDGAN_DATA"]) / "medmnist" / f"{name}{suffix}.npz")
    x = torch.from_numpy(d[f"{split}_images"])[:, None].float() / 127.5 - 1
    return Dataset(name, size, split, x, torch.from_numpy(d[f"{split}_labels"])[:, 0].long(), "file")
