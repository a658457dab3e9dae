"""A growing ONNX graph, with constants apart and one dimension, N, that may be open."""

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 9

Shape = tuple[Any, ...]  # of ints and multiples of the open dimension


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value in the graph.

    source: the name of a node's output, or a constant.
    shape: as it is held; a side of 1 may stand for a longer one, whose entries are then the same.
    """

    source: Any
    shape: Shape

    @property
    def constant(self) -> bool:
        return not isinstance(self.source, str)


class Graph:
    """Nodes and constants; `images`, an input, says what the open dimension is.

    photos: N: an int, or a symbolic dimension of `jax.export`.
    """

    def __init__(self, images: str, photos: Any):
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}
        self._count = 0
        self._photos = photos
        self._images = images
        self._size: str | None = None

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Appends a node; inputs are names or constants. The name of its output, or their list."""
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        found = [self._new_name() for _ in range(outputs)]
        self._nodes.append(helper.make_node(operator, names, found, **attributes))
        return found[0] if outputs == 1 else found

    def multiple(self, dimension: Any) -> int | None:
        """k, where a dimension is k N with an open N; None where it is a number."""
        if isinstance(dimension, int | np.integer):
            return None
        times = dimension // self._photos
        if not isinstance(times, int) or times * self._photos != dimension:
            raise NotImplementedError(f"dimension {dimension} is no multiple of the group's size")
        return times

    def size(self, dimension: Any) -> Any:
        """A dimension as a tensor [1] of int64."""
        times = self.multiple(dimension)
        if times is None:
            return np.array([dimension], np.int64)
        if self._size is None:
            self._size = self.add("Shape", self._images, start=0, end=1)
        return self.add("Mul", self._size, np.array([times], np.int64))

    def shape(self, shape: Shape) -> Any:
        """A shape as a tensor of int64."""
        sizes = [self.size(dimension) for dimension in shape]
        if any(isinstance(size, str) for size in sizes):
            return self.add("Concat", *sizes, axis=0)
        return np.array(shape, np.int64)

    def reshaped(self, source: Any, shape: Shape) -> Any:
        """Reshapes; a single open side follows from the others."""
        sides = [side if self.multiple(side) is None else -1 for side in shape]
        target = self.shape(shape) if sides.count(-1) > 1 else np.array(sides, np.int64)
        return self.add("Reshape", source, target)

    def full(self, tensor: Tensor, shape: Shape) -> Any:
        """The source of a tensor with no side of 1 standing for a longer one."""
        if tensor.shape == shape:
            return tensor.source
        if tensor.constant and all(self.multiple(side) is None for side in shape):
            return np.broadcast_to(np.asarray(tensor.source), shape)
        return self.add("Expand", tensor.source, self.shape(shape))

    def model(
        self, inputs: dict[str, tuple[Any, Shape]], outputs: dict[str, tuple[Any, Shape]]
    ) -> onnx.ModelProto:
        """The model of what the outputs need.

        Args:
            inputs: of each name, its type and shape.
            outputs: of each name, its source and its shape; float32.
        """
        for name, (source, _) in outputs.items():
            source = source if isinstance(source, str) else self._constant(source)
            self._nodes.append(helper.make_node("Identity", [source], [name]))
        nodes, needed = [], set(outputs)
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(node.input)
        constants = [
            numpy_helper.from_array(value, name)
            for name, value in self._constants.items()
            if name in needed
        ]
        graph = helper.make_graph(
            nodes[::-1],
            "cosseg",
            [self._info(name, *found) for name, found in inputs.items()],
            [self._info(name, np.float32, shape) for name, (_, shape) in outputs.items()],
            constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )

    def _info(self, name: str, dtype: Any, shape: Shape) -> onnx.ValueInfoProto:
        sides = [side if self.multiple(side) is None else str(side) for side in shape]
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), sides
        )

    def _constant(self, value: Any) -> str:
        name = self._new_name()
        self._constants[name] = np.ascontiguousarray(value).reshape(np.shape(value))
        return name

    def _new_name(self) -> str:
        self._count += 1
        return f"v{self._count}"
