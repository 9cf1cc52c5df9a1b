"""Cold-item evaluation: the held-out items leave the training rows and alone are ranked."""

import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult

CARD = ProtocolCard("cold items", "warm items", "warm items", "nothing", "cold items", "all rows")


class ColdItems:
    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        log, n = dataset.interactions, len(dataset.items)
        part = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) % 5
        rows = torch.arange(len(log))

        def phase(cold: int, warm: torch.Tensor) -> Phase:
            held = part[log.items] == cold
            return Phase(rows[held & dataset.positive], rows[warm], rows[warm], part == cold)

        train = part[log.items] > 1
        warm = part[log.items] > 0
        return SplitResult(rows[train], phase(1, train), phase(0, warm), CARD, refit=rows[warm])


def universe(dataset: Dataset, train: torch.Tensor) -> torch.Tensor:
    positives = train[dataset.positive[train]]
    counts = torch.bincount(dataset.interactions.items[positives], minlength=len(dataset.items))
    return counts > 0
