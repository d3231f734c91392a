"""What every data set becomes: aligned crops and their targets, in memory."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

NO_LABEL = -1


@dataclass(frozen=True)
class FaceSet:
    """Aligned faces with their targets.

    Attributes:
        crops: (N,D,D) or (N,D,D,3) uint8, as `Preprocessing.reduce` returns them.
        targets: (N,K) float32, each row a probability distribution (one-hot for hard labels).
        labels: (N,) int64 index into `expressions`; -1 where there is no agreed label.
        expressions: the K names, in the targets' order.
        names: N file or row names.
    """

    crops: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    expressions: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self):
        counts = [len(self.crops), len(self.targets), len(self.labels), len(self.names)]
        if len(set(counts)) > 1:
            raise ValueError(
                "crops, targets, labels and names need one entry for each face, but there are "
                f"{', '.join(map(str, counts))}."
            )
        if self.targets.shape[1] != len(self.expressions):
            raise ValueError(
                f"targets have {self.targets.shape[1]} columns for {len(self.expressions)} "
                "expressions; give one for each."
            )

    def __len__(self) -> int:
        return len(self.crops)

    def subset(self, indices: np.ndarray) -> "FaceSet":
        """The faces that an index array or boolean mask (N,) chooses."""
        return replace(
            self,
            crops=self.crops[indices],
            targets=self.targets[indices],
            labels=self.labels[indices],
            names=tuple(np.array(self.names)[indices].tolist()),
        )

    def hash(self) -> str:
        """Stands for which faces these are and what they are trained towards."""
        found = hashlib.sha256("\n".join(self.names).encode())
        found.update(np.ascontiguousarray(self.targets))
        return found.hexdigest()

    def labelled(self) -> "FaceSet":
        """The faces that have an agreed label: those that accuracy is measured on."""
        return self.subset(self.labels != NO_LABEL)
