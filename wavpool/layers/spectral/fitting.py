"""The sinusoid that explains most of a signal."""

import torch
from torch import Tensor

from .nonuniform import cosine_product
from .sinusoids import Family, omegas, waves, window

OVERSAMPLING = 4  # grid points a frequency that the signal can tell apart
HALVINGS = 10  # of the grid's step, in the refinement
CHUNK = 2**22  # values of a grid search at once


def best_frequencies(target: Tensor, steps: int, kind: Family) -> Tensor:
    """Frequencies, `(m,)`, whose waves explain most of the energy of `m` signals of `k` columns.

    A periodogram on a grid, then halving steps to the better neighbour: the maximum of a single tone's periodogram is
    that of the likelihood (D. Rife and R. Boorstyn, IEEE Trans. Information Theory 20, 1974).

    Args:
        target: `(m, n, k)`, float64; the wave is the same in all columns, its amplitude is not.
        steps: frequencies of the whole band.
        kind: of the waves, which are real.
    """
    n, k = target.shape[1:]
    step = steps / (max(steps, n) * OVERSAMPLING)
    grid = torch.arange(0, steps, step, dtype=torch.float64, device=target.device)
    rows = max(1, CHUNK // (len(grid) * k))
    return torch.cat([_refined(part, grid, step, steps, kind) for part in target.split(rows)])


def _refined(target: Tensor, grid: Tensor, step: float, steps: int, kind: Family) -> Tensor:
    lobe = _lobe(target.shape[1], target.device, kind)
    signals = (target * lobe[:, None]).mT.reshape(-1, target.shape[1])
    omega = omegas(grid, steps, kind)
    found = cosine_product(signals, omega, kind.shift, kind.phases[0]).unflatten(0, (len(target), -1))
    energy = cosine_product(lobe.square()[None], 2 * omega, kind.shift, 2 * kind.phases[0])[0] + lobe.square().sum()
    # a wave that is nearly 0 at all samples explains nothing, whatever rounding says
    power = found.square().sum(1) / energy.clamp_min(1e-6 * len(lobe))
    best = grid[power.argmax(1)]
    for _ in range(HALVINGS):
        step /= 2
        candidates = torch.stack([best, best - step, best + step])
        powers = torch.stack([_power(target, each, lobe, steps, kind) for each in candidates])
        best = candidates.gather(0, powers.argmax(0, keepdim=True))[0]
    return best


def _power(target: Tensor, frequency: Tensor, lobe: Tensor, steps: int, kind: Family) -> Tensor:
    rows = waves(omegas(frequency, steps, kind), target.shape[1], kind, torch.float64) * lobe
    energy = rows.square().sum(1).clamp_min(1e-6 * len(lobe))
    return torch.einsum("mn,mnk->mk", rows, target).square().sum(1) / energy


def _lobe(n: int, device: torch.device, kind: Family) -> Tensor:
    return window(n, device) if kind.windowed else torch.ones(n, dtype=torch.float64, device=device)
