"""Writes inputs, and what NumPy gives for them: python inputs.py FOLDER."""

import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
random = np.random.default_rng(0)
x, w = random.standard_normal((4, 32)), random.standard_normal((32, 256))
w[:, 7], w[:, 200] = x[0], x[1]  # one of the largest scores is among the first 64, one is not
w[:, 8] = w[:, 7]  # of equal scores the first one counts
at = (x @ w).argmax(1)
assert at[0] == 7
assert at[1] == 200
np.save(folder / "x.npy", x.astype(np.float32))
np.save(folder / "w.npy", w.astype(np.float32))
np.save(folder / "at.npy", at)
