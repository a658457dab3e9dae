"""The spatial modulator f_spa: a group's descriptors parted in two, without labels (section 3.2).

Eq. 6 asks for the two clusters with the least distances inside and the greatest between them. Let
c be the signed indicator (+1 on one cluster, -1 on the other), sums run over ordered pairs (i, j),
and d_ij be the squared distance of unit descriptors, d_ij = 2 - 2 x_i'x_j (eq. 7). Then

    -2 sum_{f,b} d_ij + sum_{f,f} d_ij + sum_{b,b} d_ij = c'Dc = -2 c'(X'X - 11')c = -2 c'Gc

With c = sqrt(n) s, |s| = 1, this is n s'Ds (eq. 8) = -2n s'Gs, which is eq. 9 up to the factor 2n.
Relaxed to real s, the best is the unit eigenvector of the largest algebraic eigenvalue of G
(eq. 10; the solvers are in `eigen`).

All N photographs of a group make one such problem over their n = N*h*w descriptors; that is what
makes the parting a co-segmentation. The paper leaves open the eigenvector's sign, its gradient and
how large it is when it reaches the head: these are fields of `SpatialOptions`.

The spatial prior of a group in which a user has marked the object.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import check_choice
from cosseg_jax.models import eigen
from cosseg_jax.types import Ndarray, SpatialPrior

SOLVERS = ("auto", "eigh", "subspace", "squaring")
SIGNS = ("border", "majority", "none")
SCALES = ("sqrt_n", "unit")
GRADIENTS = ("stop", "implicit")
TIE = 1e-4  # a score of the sign below this, in units where S has mean square 1, decides nothing


@dataclasses.dataclass(frozen=True)
class SpatialOptions:
    """How S is computed from the descriptors.

    solver: "eigh" forms G, "subspace" never does; "auto" takes "eigh" for up to `dense_max`
        descriptors a group. Both find the same vector. So does "squaring", less exactly, by
        products alone: for exports.
    dense_max: see `solver`.
    block_size: vectors that "subspace" multiplies at once, 3 or more.
    iterations: the most products of G and a block that "subspace" spends; it stops when accurate,
        after 8 on clustered and some 40 on white-noise descriptors.
    sign: "border": S is lower on the outermost ring of cells than inside, as objects are rarely
        cut by the frame. "majority": the smaller part is the foreground. "none": a sign that
        follows from the features alone and has no meaning.
    scale: "sqrt_n": S has mean square 1, an ideal prior is +-1. "unit": S has length 1.
    gradient: of S into the features. "stop": none. "implicit": that of the eigenvector, damped.
    damping: of "implicit", as a share of the largest eigenvalue (of 1, if that is larger); a gap
        below it counts as if it were about that large, so that the gradient stays bounded where
        eigenvalues meet.
    epsilon: added to a descriptor's squared length before it is divided by its root. Descriptors
        much shorter than epsilon ** 0.5 count as zero; the gradient there is at most
        epsilon ** -0.5 times that at unit ones.

    Raises:
        ValueError: naming the field whose value is not valid.
    """

    solver: str = "auto"
    dense_max: int = 128
    block_size: int = 4
    iterations: int = 160
    sign: str = "border"
    scale: str = "sqrt_n"
    gradient: str = "stop"
    damping: float = 0.01
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_choice("model.spatial.solver", self.solver, SOLVERS)
        check_choice("model.spatial.sign", self.sign, SIGNS)
        check_choice("model.spatial.scale", self.scale, SCALES)
        check_choice("model.spatial.gradient", self.gradient, GRADIENTS)
        for field, least in dict(dense_max=0, block_size=3, iterations=1).items():
            value = getattr(self, field)
            if value < least:
                raise ValueError(f"model.spatial.{field} is {value}; it takes {least} or more")
        for field in ("damping", "epsilon"):
            if not getattr(self, field) > 0:
                value = getattr(self, field)
                raise ValueError(f"model.spatial.{field} is {value}; it takes a number above 0")


def normalise(x: Float[Array, "n d"], epsilon: float) -> Float[Array, "n d"]:
    """Each row at length 1. A zero row stays zero, with a finite gradient."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=1, keepdims=True) + epsilon)


def solve(x: Float[Array, "n d"], options: SpatialOptions) -> Float[Array, " n"]:
    """The unit eigenvector of eq. 10 by the solver that the options name; of either sign."""
    dense = options.solver == "eigh" or (
        options.solver == "auto" and x.shape[0] <= options.dense_max
    )
    if dense:
        return eigen.dense_eigenvector(x)
    if options.solver == "squaring":
        return eigen.squared_eigenvector(x)
    return eigen.subspace_eigenvector(
        x, block_size=options.block_size, iterations=options.iterations
    )


def _forward(x: Array, options: SpatialOptions) -> tuple[Array, tuple[Array, Array]]:
    s = solve(x, options)
    return s, (x, s)


def _backward(options: SpatialOptions, saved: tuple[Array, Array], v: Array) -> tuple[Array]:
    """v'ds/dx for a cotangent v of s.

    From (G - lambda I) ds = -(dG - dlambda) s and s'ds = 0 follows v'ds = u'dG s, where u solves
    (lambda I - G) u = v on the complement of s. There lambda I - G is positive semidefinite, its
    least eigenvalue being the gap; damping * max(lambda, 1) is added to it.
    """
    x, s = saved
    u = eigen.solve_on_complement(x, s, v, damping=options.damping)
    through = eigen.matmul(jnp.stack([u, s]), x)  # [2, d]: u'x and s'x
    # u' (dx x' + x dx') s = sum_ij dx_ij (u_i (x's)_j + s_i (x'u)_j)
    return (eigen.matmul(jnp.stack([s, u], axis=1), through),)  # [n, d]


# as `solve`, with the damped implicit derivative of the eigenvector
differentiable_solve = jax.custom_vjp(solve, nondiff_argnums=(1,))
differentiable_solve.defvjp(_forward, _backward)


def border_score(maps: Float[Array, "N h w"]) -> Float[Array, ""]:
    """Mean inside minus mean on the outermost ring; 0 where every cell lies on the ring."""
    inside = maps[:, 1:-1, 1:-1]
    if inside.size == 0:
        return jnp.zeros(())
    ring = (jnp.sum(maps) - jnp.sum(inside)) / (maps.size - inside.size)
    return jnp.mean(inside) - ring


def minority_score(maps: Float[Array, "N h w"]) -> Float[Array, ""]:
    """The third moment. The smaller part has the larger values; positive if it is positive."""
    return jnp.mean(maps**3)


def feature_score(maps: Float[Array, "N h w"], x: Float[Array, "n d"]) -> Float[Array, ""]:
    """Of either sign, yet the same for every order of the photographs."""
    direction = eigen.probe(x.shape[1], 1)
    return jnp.mean(maps.reshape(-1, 1) * eigen.matmul(x, direction))


def orient(maps: Float[Array, "N h w"], x: Float[Array, "n d"], sign: str) -> Float[Array, "N h w"]:
    """Turns S, of mean square 1, to the foreground side.

    The rule of the option decides; where it is within TIE of undecided, the next one does. "border"
    is undecided on maps without an interior (h or w of 1 or 2): there the smaller part is taken for
    the foreground, as objects mostly cover less than half of a photograph. Where that is undecided
    as well (parts of exactly one half) the features decide, so that S still follows the order of
    the photographs. If all descriptors are zero, S keeps the solver's sign.
    """
    border, minority = border_score(maps), minority_score(maps)
    feature = feature_score(maps, x)
    scores = {
        "border": (border, minority, feature),
        "majority": (minority, border, feature),
        "none": (feature,),
    }[sign]
    decided = scores[-1]
    for score in reversed(scores[:-1]):
        decided = jnp.where(jnp.abs(score) > TIE, score, decided)
    return jnp.where(decided < 0, -maps, maps)


def _group_prior(features: Float[Array, "N h w d"], options: SpatialOptions) -> SpatialPrior:
    """The modulator of one group: S [N, h, w] and its loss, a scalar."""
    *grid, d = features.shape
    x = normalise(features.reshape(-1, d), options.epsilon)  # [n, d]
    n = x.shape[0]
    if options.gradient == "implicit":
        s = differentiable_solve(x, options)
    else:
        s = solve(jax.lax.stop_gradient(x), options)
    # Hellmann-Feynman: the eigenvalue's gradient is that of s'Gs with s held constant
    constant = jax.lax.stop_gradient(s)
    energy = jnp.sum(eigen.matmul(constant[None], x) ** 2) - jnp.sum(constant) ** 2
    root = jnp.sqrt(n)  # not n**0.5, which N of any number does not have
    maps = orient(s.reshape(grid) * root, jax.lax.stop_gradient(x), options.sign)  # [N, h, w]
    return SpatialPrior(maps if options.scale == "sqrt_n" else maps / root, -energy / n)


def spatial_modulator(features: Float[Array, "B N h w d"], options: SpatialOptions) -> SpatialPrior:
    """S and the spatial loss of each group, in float32 whatever the features' type.

    Any N, h, w, d >= 1. `loss` is -s'Gs / n = -lambda_max / n, in [-1, 0] for n >= 2; its gradient
    reaches the features through X and its normalisation, and is exact. `indicator` has a gradient
    only if the options say so.

    Corner cases. Where the largest eigenvalue is multiple, S is some vector of its eigenspace,
    always the same for the same features, but not necessarily one that follows the photographs'
    order. Where all descriptors are zero or equal, G is 0 on everything orthogonal to the constant:
    S then means nothing. A single descriptor has |S| = 1, there being no other unit vector.
    """
    features = features.astype(jnp.float32)
    return jax.vmap(lambda group: _group_prior(group, options))(features)


EPSILON = 1e-6


def prompted_prior(
    features: Float[Array | Ndarray, "N h w d"],
    indicator: Float[Array | Ndarray, "N h w"],
    photo: int,
    weights: Float[Array | Ndarray, "h w"],
) -> Float[Array, "N h w"]:
    """S turned and drawn towards what is like the marked region of one photograph.

    The marked descriptors' mean and that of the same photograph's others part the group's unit
    descriptors by which of the two is nearer. The eigenvector, of the sign that agrees with this
    parting, and the parting itself have equal shares; the result has mean square 1 like S.

    Args:
        features: the fused maps of the group.
        indicator: S as the spatial modulator found it.
        photo: the marked photograph.
        weights: of its cells, of sum 1: how much of the mark lies in each.
    """
    x = normalise(jnp.asarray(features).reshape(-1, features.shape[-1]), EPSILON)
    x = x.reshape(features.shape).astype(jnp.float32)  # [N, h, w, d]
    inside = jnp.asarray(weights)
    outside = 1 - inside / jnp.max(inside)
    outside = outside / jnp.maximum(jnp.sum(outside), EPSILON)
    near, far = (jnp.einsum("hw,hwd->d", share, x[photo]) for share in (inside, outside))
    parting = jnp.einsum("nhwd,d->nhw", x, near - far) - (near @ near - far @ far) / 2
    parting = _mean_square_one(parting)
    eigenvector = jnp.asarray(indicator)
    agreement = jnp.sum(eigenvector * parting)
    return _mean_square_one(jnp.where(agreement < 0, -eigenvector, eigenvector) + parting)


def _mean_square_one(x: Float[Array, "N h w"]) -> Float[Array, "N h w"]:
    return x / jnp.sqrt(jnp.mean(x**2) + EPSILON)
