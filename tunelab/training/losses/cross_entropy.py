"""Cross-entropy of class labels: several classes, and two with a single output."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Floats, Ints
from tunelab.training.losses.base import Loss
from tunelab.training.plan import Plan


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of ``p = softmax(z)``, one output for each class.

    For a row with logits ``z``, label ``c`` and ``C`` classes::

        p_k  = exp(z_k) / sum_j exp(z_j)
        loss = -log p_c = log(sum_j exp(z_j)) - z_c

    In training, with label smoothing ``s`` and class weights ``w``::

        t_k  = (1 - s) * [k = c] + s / C
        loss = -w_c * sum_k t_k * log p_k           dz = w_c * (p - t) / batch

    The greatest logit is taken out before ``exp``, so that neither overflow nor ``log(0)`` can
    occur for finite logits.

    Source: Goodfellow et al. (2016), section 6.2.2.3; label smoothing from Szegedy et al. (2016),
    arXiv:1512.00567, section 7.

    A batch's gradient is divided by its number of rows, as in Keras. PyTorch and scikit-learn's
    networks divide by the sum of the rows' weights, so that there a batch of rare classes counts
    no more than another; PyTorch also weights each smoothed term by the weight of its own class,
    not of the row's label. Without class weights all agree.

    Args:
        n_classes: At least 2.
        label_smoothing: Share ``s`` of the target that is spread evenly over all classes, in
            [0, 1).
        class_weights: Weight of each class, shape (n_classes,), at least 0; None weights no class.

    Raises:
        ValueError: If an argument is out of range.

    >>> loss = SoftmaxCrossEntropy(3, label_smoothing=0.3)
    >>> loss.columns(np.array([2])).round(3)
    array([[0.1, 0.1, 0.8]])
    >>> loss.each(np.array([[0.0], [0.0], [np.log(2.0)]]), np.array([2])).round(3)  # -log(2 / 4)
    array([0.693])
    """

    def __init__(
        self,
        n_classes: int,
        *,
        label_smoothing: float = 0.0,
        class_weights: npt.ArrayLike | None = None,
    ) -> None:
        if n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, got {n_classes}")
        self.label_smoothing = _checked_smoothing(label_smoothing)
        self.class_weights = _checked_weights(class_weights, n_classes)
        self.n_outputs = n_classes
        self.n_columns = n_classes + (class_weights is not None)

    def columns(self, y: Ints | Floats) -> Floats:
        """Smoothed one-hot rows and, with class weights, the weight of the row's label."""
        labels = y.astype(np.intp)
        columns = np.full((len(y), self.n_columns), self.label_smoothing / self.n_outputs)
        columns[np.arange(len(y)), labels] += 1.0 - self.label_smoothing
        if self.class_weights is not None:
            columns[:, -1] = self.class_weights[labels]
        return columns

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``w_c * (softmax(z) - t) / batch``."""
        batch = outputs.shape[1]
        row = plan.buffer(batch)
        p = plan.buffer(*outputs.shape)
        plan.call(np.maximum.reduce, outputs, 0, None, row)
        plan.call(np.subtract, outputs, row, p)
        plan.call(np.exp, p, p)
        plan.call(np.dot, np.ones(self.n_outputs, plan.dtype), p, row)
        plan.call(np.divide, p, row, p)
        plan.call(np.subtract, p, targets[: self.n_outputs], p)
        share = plan.scalar(1.0 / batch)
        if self.class_weights is not None:
            plan.call(np.multiply, targets[-1], share, row)
            share = row
        plan.call(np.multiply, p, share, p)
        return p

    def evaluate(self, outputs: Floats, y: Ints | Floats) -> tuple[Floats, Floats]:
        """``log(sum(exp(z))) - z_c`` and ``softmax(z)``."""
        p = outputs - outputs.max(axis=0)
        of_label = p[y, np.arange(len(y))]
        np.exp(p, out=p)
        total = p.sum(axis=0)
        p /= total
        losses: Floats = np.log(total, out=total)
        losses -= of_label
        return losses, p

    def predictions(self, outputs: Floats) -> Floats:
        """``softmax(z)`` over the first axis, shape (n_classes, rows)."""
        p: Floats = np.exp(outputs - outputs.max(axis=0))
        p /= p.sum(axis=0)
        return p


class BinaryCrossEntropy(Loss):
    """Cross-entropy of two classes from one output: ``p = sigmoid(z)`` is that of class 1.

    For a row with logit ``z`` and label ``y``, 0 or 1::

        p    = 1 / (1 + exp(-z))
        loss = -y * log p - (1 - y) * log(1 - p) = softplus((1 - 2 * y) * z)

    In training, with label smoothing ``s`` and class weights ``w``::

        t    = (1 - s) * y + s / 2
        loss = w_y * (softplus(z) - t * z)          dz = w_y * (p - t) / batch

    This is the softmax cross-entropy of the logits ``(0, z)``: with a second output, a network
    would learn the same probabilities with twice the weights in its last layer.

    ``softplus(u) = max(u, 0) + log(1 + exp(-|u|))`` can neither overflow nor lose a small loss.

    Source: Goodfellow et al. (2016), section 6.2.2.2. The smoothing is Keras', ``s / 2`` for
    either class; PyTorch's ``BCEWithLogitsLoss`` has none. Class weights as in
    SoftmaxCrossEntropy; PyTorch's ``pos_weight`` weights class 1 alone.

    How it is computed: ``p = (1 + tanh(z / 2)) / 2`` is stable for every ``z``, so with
    ``2 * t - 1`` as the target column the gradient takes four calls.

    Args:
        label_smoothing: Share of the target that is spread evenly over both classes, in [0, 1).
        class_weights: Weight of either class, shape (2,), at least 0; None weights none.

    Raises:
        ValueError: If an argument is out of range.

    >>> loss = BinaryCrossEntropy()
    >>> z = np.array([[0.0, 100.0, -1000.0]])
    >>> loss.each(z, np.array([1, 1, 1]))
    array([6.93147181e-01, 3.72007598e-44, 1.00000000e+03])
    >>> loss.predictions(z)
    array([[5.00000000e-01, 3.72007598e-44, 1.00000000e+00],
           [5.00000000e-01, 1.00000000e+00, 0.00000000e+00]])
    """

    n_outputs = 1

    def __init__(
        self, *, label_smoothing: float = 0.0, class_weights: npt.ArrayLike | None = None
    ) -> None:
        self.label_smoothing = _checked_smoothing(label_smoothing)
        self.class_weights = _checked_weights(class_weights, 2)
        self.n_columns = 1 + (class_weights is not None)

    def columns(self, y: Ints | Floats) -> Floats:
        """``2 * t - 1``, and with class weights the weight of the row's label."""
        columns = np.empty((len(y), self.n_columns))
        columns[:, 0] = (1.0 - self.label_smoothing) * (2.0 * y - 1.0)
        if self.class_weights is not None:
            columns[:, 1] = self.class_weights[y.astype(np.intp)]
        return columns

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``w_y * (tanh(z / 2) - (2 * t - 1)) / (2 * batch)``."""
        dz = plan.buffer(*outputs.shape)
        plan.call(np.multiply, outputs, plan.scalar(0.5), dz)
        plan.call(np.tanh, dz, dz)
        plan.call(np.subtract, dz, targets[:1], dz)
        plan.call(np.multiply, dz, plan.scalar(0.5 / outputs.shape[1]), dz)
        if self.class_weights is not None:
            plan.call(np.multiply, dz, targets[1:], dz)
        return dz

    def evaluate(self, outputs: Floats, y: Ints | Floats) -> tuple[Floats, Floats]:
        """``softplus((1 - 2 * y) * z)``, and ``1 - p`` and ``p``."""
        u = np.where(y == 1, -outputs[0], outputs[0])
        losses: Floats = np.log1p(np.exp(-np.abs(u)))
        losses += np.maximum(u, 0.0)
        return losses, self.predictions(outputs)

    def predictions(self, outputs: Floats) -> Floats:
        """``1 - p`` and ``p``, shape (2, rows); the smaller of the two keeps all its digits."""
        z = outputs[0]
        smaller: Floats = np.exp(-np.abs(z))
        greater = 1.0 / (1.0 + smaller)
        smaller *= greater
        is_positive = z >= 0.0
        return np.stack(
            [np.where(is_positive, smaller, greater), np.where(is_positive, greater, smaller)]
        )


def balanced_class_weights(labels: Ints, n_classes: int) -> npt.NDArray[np.float64]:
    """Weights that make every class count alike: ``n / (n_present * n_class)``.

    The mean weight over the rows is 1, so that the loss keeps its scale and a learning rate its
    meaning. As scikit-learn's ``compute_class_weight``, only classes that have rows count as
    present; the others' weight is never used.

    Source: King & Zeng (2001), Political Analysis 9.

    Args:
        labels: 0..n_classes-1, shape (rows,).
        n_classes: Number of classes.

    >>> balanced_class_weights(np.array([0, 0, 0, 1]), 2)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(labels, minlength=n_classes)
    return len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1.0))


def _checked_smoothing(label_smoothing: float) -> float:
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
    return label_smoothing


def _checked_weights(
    class_weights: npt.ArrayLike | None, n_classes: int
) -> npt.NDArray[np.float64] | None:
    if class_weights is None:
        return None
    weights = np.asarray(class_weights, np.float64)
    if weights.shape != (n_classes,) or not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise ValueError(
            f"class_weights must be {n_classes} finite numbers of at least 0, got {class_weights}"
        )
    return weights
