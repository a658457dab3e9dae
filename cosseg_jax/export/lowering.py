"""JAX's operations in ONNX's words: those that the networks of this package are made of.

What depends on constants alone is computed here and now, so that the weights of a resizing or the
scale of a batch norm are constants of the graph. Loops and eigenvalues have no counterpart.

The library jax2onnx is no substitute. Version 0.17.1 with JAX 0.10.2 fails at the antialiased
resizing in the fusion, which all networks of this package have: for N = 3 with "resize with
antialias=True is not supported yet", for an open N with "Symbolic dimension 'N' used in a context
that requires a constant". It requires orbax-checkpoint below 0.11.37, where we need 0.12.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from onnx import helper

from cosseg_jax.export.onnx_graph import Graph, Shape, Tensor

ELEMENTWISE = {
    "abs": "Abs",
    "add": "Add",
    "add_any": "Add",
    "and": "And",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "exp": "Exp",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
UNCHANGED = ("stop_gradient", "copy", "copy_p", "optimization_barrier")
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2")
LAST, FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min  # ends of a slice that takes all


def lower(graph: Graph, closed: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Adds a closed jaxpr to the graph; its outputs.

    Raises:
        NotImplementedError: naming an operation, or a use of one, that is not known here.
    """
    jaxpr = closed.jaxpr
    known: dict[Any, Tensor] = {}
    for variable, value in zip(jaxpr.constvars, closed.consts, strict=True):
        known[variable] = Tensor(value, np.shape(value))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Tensor:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return Tensor(np.asarray(atom.val, aval.dtype), ())
        return known[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        for variable, value in zip(
            equation.outvars, _lower(graph, equation, operands), strict=True
        ):
            known[variable] = value
    return [read(atom) for atom in jaxpr.outvars]


def _lower(graph: Graph, equation: Any, operands: list[Tensor]) -> list[Tensor]:
    name, params = equation.primitive.name, equation.params
    shapes = [variable.aval.shape for variable in equation.outvars]
    fixed = all(graph.multiple(side) is None for shape in shapes for side in shape)
    if name == "broadcast_in_dim":
        return [_broadcast(graph, operands[0], **params)]
    if name in UNCHANGED:
        return operands
    if name in CALLS:
        return lower(graph, params.get("jaxpr") or params["call_jaxpr"], operands)
    if name != "dim_as_value" and fixed and all(operand.constant for operand in operands):
        values = _computed(equation, graph, operands)
        return [Tensor(value, shape) for value, shape in zip(values, shapes, strict=True)]
    if name in ELEMENTWISE or name in OF_EACH:
        sources = [operand.source for operand in operands]
        if name in ELEMENTWISE:
            found = graph.add(ELEMENTWISE[name], *sources)
        else:
            found = OF_EACH[name](graph, equation, *sources)
        return [Tensor(found, _together([operand.shape for operand in operands]))]
    if name not in OF_ALL:
        raise NotImplementedError(f"operation {name} of JAX cannot be written as ONNX")
    sources = [
        graph.full(operand, atom.aval.shape)
        for operand, atom in zip(operands, equation.invars, strict=True)
    ]
    found = OF_ALL[name](graph, equation, *sources)
    found = found if isinstance(found, list) else [found]
    return [Tensor(source, shape) for source, shape in zip(found, shapes, strict=True)]


def _computed(equation: Any, graph: Graph, operands: list[Tensor]) -> list[Any]:
    """The outputs of an operation on constants."""
    values = [
        graph.full(operand, atom.aval.shape)
        for operand, atom in zip(operands, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*(_on_device(x) for x in values), **equation.params)
    return list(found) if equation.primitive.multiple_results else [found]


def _on_device(value: Any) -> jax.Array:
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


def _broadcast(
    graph: Graph, operand: Tensor, *, shape: Shape, broadcast_dimensions: Any, **_: Any
) -> Tensor:
    """Sides of 1 where the operand has none; ONNX broadcasts them as needed."""
    held: list[Any] = [1] * len(shape)
    for place, side in zip(broadcast_dimensions, operand.shape, strict=True):
        held[place] = side
    if operand.constant:
        return Tensor(jnp.reshape(operand.source, held), tuple(held))
    return Tensor(graph.reshaped(operand.source, tuple(held)), tuple(held))


def _together(shapes: Sequence[Shape]) -> Shape:
    """The shape that broadcasting gives."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(
        next((side for side in sides if side != 1), 1) for sides in zip(*padded, strict=True)
    )


# Operations that look at every entry by itself


def _cast(graph: Graph, equation: Any, x: Any) -> str:
    dtype = np.dtype(equation.params["new_dtype"])
    return graph.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(dtype))


def _integer_pow(graph: Graph, equation: Any, x: Any) -> str:
    dtype = equation.invars[0].aval.dtype
    return graph.add("Pow", x, np.asarray(equation.params["y"], dtype))


def _select(graph: Graph, equation: Any, chosen: Any, *cases: Any) -> str:
    if len(cases) != 2:
        raise NotImplementedError(f"select_n among {len(cases)} cannot be written as ONNX")
    return graph.add("Where", chosen, cases[1], cases[0])


OF_EACH: dict[str, Callable[..., Any]] = {
    "convert_element_type": _cast,
    "integer_pow": _integer_pow,
    "ne": lambda graph, _, x, y: graph.add("Not", graph.add("Equal", x, y)),
    "rsqrt": lambda graph, _, x: graph.add("Reciprocal", graph.add("Sqrt", x)),
    "select_n": _select,
    "square": lambda graph, _, x: graph.add("Mul", x, x),
}


# Operations on whole arrays


def _dot_general(graph: Graph, equation: Any, x: Any, y: Any) -> str:
    ((left, right), (left_batch, right_batch)) = equation.params["dimension_numbers"]
    ranks = [len(atom.aval.shape) for atom in equation.invars]
    if not left_batch and ranks[1] == 2 and left == (ranks[0] - 1,) and right == (0,):
        return graph.add("MatMul", x, y)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in range(ranks[0])]
    second = [""] * ranks[1]
    for mine, other in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        second[other] = first[mine]
    second = [letter or next(letters) for letter in second]
    kept = [first[place] for place in left_batch]
    kept += [x for place, x in enumerate(first) if place not in (*left, *left_batch)]
    kept += [x for place, x in enumerate(second) if place not in (*right, *right_batch)]
    equation_text = f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
    return graph.add("Einsum", x, y, equation=equation_text)


def _convolution(graph: Graph, equation: Any, x: Any, kernel: Any) -> str:
    params = equation.params
    numbers = params["dimension_numbers"]
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise NotImplementedError("transposed convolutions cannot be written as ONNX here")
    padding = np.array(params["padding"])  # [spatial, 2]
    found = graph.add(
        "Conv",
        graph.add("Transpose", x, perm=numbers.lhs_spec),
        _transposed(graph, kernel, numbers.rhs_spec),
        strides=params["window_strides"],
        pads=padding.T.ravel().tolist(),
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    return graph.add("Transpose", found, perm=np.argsort(numbers.out_spec).tolist())


def _transposed(graph: Graph, x: Any, perm: Sequence[int]) -> Any:
    if isinstance(x, str):
        return graph.add("Transpose", x, perm=perm)
    return np.transpose(np.asarray(x), perm)


def _max_pool(graph: Graph, equation: Any, x: Any) -> str:
    """Over rows and columns of [M, h, w, C]."""
    params = equation.params
    window, strides = params["window_dimensions"], params["window_strides"]
    padding = np.array(params["padding"])
    plain = {*params["base_dilation"], *params["window_dilation"]} == {1}
    if len(window) != 4 or window[0] != 1 or window[3] != 1 or not plain:
        raise NotImplementedError(f"a maximum over windows {window} cannot be written as ONNX here")
    found = graph.add(
        "MaxPool",
        graph.add("Transpose", x, perm=[0, 3, 1, 2]),
        kernel_shape=window[1:3],
        strides=strides[1:3],
        pads=padding[1:3].T.ravel().tolist(),
    )
    return graph.add("Transpose", found, perm=[0, 2, 3, 1])


def _reduction(operator: str) -> Callable[..., Any]:
    def reduce(graph: Graph, equation: Any, x: Any) -> Any:
        axes = np.array(equation.params["axes"], np.int64)
        return graph.add(operator, x, axes, keepdims=0) if len(axes) else x

    return reduce


def _pad(graph: Graph, equation: Any, x: Any, value: Any) -> str:
    low, high, inner = np.array(equation.params["padding_config"]).T
    if (low < 0).any() or (high < 0).any() or inner.any():
        raise NotImplementedError("pad that cuts or spreads cannot be written as ONNX here")
    return graph.add("Pad", x, np.concatenate([low, high]).astype(np.int64), value)


def _slice(graph: Graph, equation: Any, x: Any) -> str:
    params, shape = equation.params, equation.invars[0].aval.shape
    ends = [
        LAST if end == side else end
        for end, side in zip(params["limit_indices"], shape, strict=True)
    ]
    steps = params["strides"] or (1,) * len(shape)
    bounds = [np.array(x, np.int64) for x in (params["start_indices"], ends)]
    axes = np.arange(len(shape))
    return graph.add("Slice", x, *bounds, axes, np.array(steps, np.int64))


def _window(graph: Graph, equation: Any, x: Any, starts: Any) -> str:
    """A gather at a place that is known: a slice, without the sides that it collapses."""
    params, (operand, places) = equation.params, equation.invars
    numbers = params["dimension_numbers"]
    if isinstance(starts, str) or len(places.aval.shape) != 1 or numbers.operand_batching_dims:
        raise NotImplementedError("a gather at computed places cannot be written as ONNX here")
    first = np.zeros(len(operand.aval.shape), np.int64)
    first[list(numbers.start_index_map)] = starts
    ends = [
        LAST if size == side else start + size
        for start, size, side in zip(first, params["slice_sizes"], operand.aval.shape, strict=True)
    ]
    found = graph.add("Slice", x, first, np.array(ends, np.int64), np.arange(len(first)))
    return _reshape(graph, equation, found)


def _reverse(graph: Graph, equation: Any, x: Any) -> str:
    axes = np.array(equation.params["dimensions"], np.int64)
    return graph.add(
        "Slice", x, np.full_like(axes, -1), np.full_like(axes, FIRST), axes, -(axes**0)
    )


def _iota(graph: Graph, equation: Any) -> str:
    params, shape = equation.params, equation.outvars[0].aval.shape
    place = params["dimension"]
    end = graph.add("Reshape", graph.size(shape[place]), np.zeros(0, np.int64))
    counted = graph.add("Range", np.array(0), end, np.array(1))
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(params["dtype"]))
    counted = graph.add("Cast", counted, to=dtype)
    held = tuple(side if axis == place else 1 for axis, side in enumerate(shape))
    return graph.full(Tensor(graph.reshaped(counted, held), held), shape)


def _dimension(graph: Graph, equation: Any) -> str:
    dtype = np.dtype(equation.outvars[0].aval.dtype)
    size = graph.add("Reshape", graph.size(equation.params["dim"]), np.zeros(0, np.int64))
    return graph.add("Cast", size, to=helper.np_dtype_to_tensor_dtype(dtype))


def _top(graph: Graph, equation: Any, x: Any) -> list[str]:
    values, places = graph.add(
        "TopK", x, np.array([equation.params["k"]], np.int64), outputs=2, axis=-1
    )
    return [
        values,
        graph.add("Cast", places, to=helper.np_dtype_to_tensor_dtype(np.dtype("int32"))),
    ]


def _reshape(graph: Graph, equation: Any, x: Any) -> str:
    return graph.reshaped(x, equation.outvars[0].aval.shape)


OF_ALL: dict[str, Callable[..., Any]] = {
    "concatenate": lambda graph, equation, *x: graph.add(
        "Concat", *x, axis=equation.params["dimension"]
    ),
    "conv_general_dilated": _convolution,
    "dim_as_value": _dimension,
    "dot_general": _dot_general,
    "expand_dims": _reshape,
    "gather": _window,
    "iota": _iota,
    "pad": _pad,
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    "reduce_sum": _reduction("ReduceSum"),
    "reduce_window_max": _max_pool,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "squeeze": _reshape,
    "top_k": _top,
    "transpose": lambda graph, equation, x: _transposed(graph, x, equation.params["permutation"]),
}
