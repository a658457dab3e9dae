"""The spatial modulator f_spa: splits a group's descriptors in two, without labels (section 3.2).

Eq. 6 asks for the two clusters with the smallest distances inside and the largest between them. Let
c_i be +1 on one cluster and -1 on the other, let the sums run over ordered pairs (i, j), and let
d_ij be the squared distance of unit descriptors, d_ij = 2 - 2 x_i'x_j (eq. 7). Then

    -2 sum_{f,b} d_ij + sum_{f,f} d_ij + sum_{b,b} d_ij = c'Dc = -2 c'(X'X - 11')c = -2 c'Gc

With c = sqrt(n) s, |s| = 1, this is n s'Ds (eq. 8) = -2n s'Gs, which is eq. 9 up to the factor 2n.
Relaxed to real s, the best one is the unit eigenvector of the largest algebraic eigenvalue of G
(eq. 10; `eigen` holds the solvers).

Beyond the paper, descriptors can keep their length ("centred"). Let d_ij = |x_i - x_j|^2, where the
group's mean has been subtracted from every x_i, so that X1 = 0. The lengths enter c'Dc as the term
2 (1'c) sum_i c_i |x_i|^2, which is 0 for clusters of equal weight, 1'c = 0; then c'Dc = -2 c'X'Xc.
The best s orthogonal to 1 is the top eigenvector of X'X (1 is one of eigenvalue 0): the
projections of the descriptors on their principal direction (Wei et al. 2019). Subtracting 11' moves
only the eigenvalue of 1, from 0 to -n, so G, its solvers and its gradient serve both cases.

All N images of a group form one problem over their n = N*h*w descriptors, which makes the split a
co-segmentation. The paper does not specify the sign of the eigenvector, its gradient or its scale;
these are fields of `SpatialOptions`.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.models import eigen
from cosseg_jax.types import Ndarray, SpatialPrior

SOLVERS = ("auto", "eigh", "subspace", "squaring")
DESCRIPTORS = ("normalised", "centred")
SIGNS = ("border", "majority", "activation", "none")
SCALES = ("sqrt_n", "unit")
GRADIENTS = ("stop", "implicit")
SMALL = 1e-6  # keeps quotients finite
TIE = 1e-4  # a sign score below this decides nothing; S has mean square 1


@dataclasses.dataclass(frozen=True)
class SpatialOptions:
    """How S is computed from the descriptors. The defaults are the paper's, or follow from it.

    descriptors: "normalised": each at length 1, as printed. "centred": less the group's mean, all
        divided by their root mean square length; S is then their principal direction.
    solver: "eigh" forms G, "subspace" never does; "auto" takes "eigh" for up to `dense_max`
        descriptors a group. "squaring" uses matrix products alone, for exports; it is less exact.
    dense_max: see `solver`.
    block_size: vectors that "subspace" multiplies at once, 3 or more.
    iterations: the most products of G and a block that "subspace" spends. It stops when accurate:
        after 8 on clustered and some 40 on white-noise descriptors.
    sign: "border": S is lower on the outermost ring of cells than inside, as the frame rarely cuts
        objects. "majority": the smaller part is the foreground. "activation": S correlates
        positively with the sum of a descriptor's channels. "none": arbitrary but deterministic.
    scale: "sqrt_n": S has mean square 1, so an ideal prior is +-1. "unit": S has length 1.
    gradient: of S towards the features. "stop": none. "implicit": that of the eigenvector, damped.
    damping: of "implicit", as a share of the largest eigenvalue (of 1, if that is larger). A
        smaller gap counts as about that large, which bounds the gradient where eigenvalues meet.
    epsilon: added to squared lengths before their root divides. Much shorter descriptors than
        epsilon ** 0.5 count as zero; the gradient there is at most epsilon ** -0.5 times as large.

    Raises:
        UserError: naming the field whose value is not valid.
    """

    descriptors: str = "normalised"
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
        check_choice("model.spatial.descriptors", self.descriptors, DESCRIPTORS)
        check_choice("model.spatial.solver", self.solver, SOLVERS)
        check_choice("model.spatial.sign", self.sign, SIGNS)
        check_choice("model.spatial.scale", self.scale, SCALES)
        check_choice("model.spatial.gradient", self.gradient, GRADIENTS)
        for field, least in dict(dense_max=0, block_size=3, iterations=1).items():
            value = getattr(self, field)
            if value < least:
                raise UserError(f"model.spatial.{field} is {value}; it takes {least} or more")
        for field in ("damping", "epsilon"):
            if not getattr(self, field) > 0:
                value = getattr(self, field)
                raise UserError(f"model.spatial.{field} is {value}; it takes a number above 0")


def unit_rows(x: Float[Array, "*M d"], epsilon: float) -> Float[Array, "*M d"]:
    """Each row at length 1. A zero row stays zero, with a finite gradient."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + epsilon)


def centred_directions(x: Float[Array, "B N h w C"]) -> Float[Array, "B N h w C"]:
    """Descriptors less the mean of their group, each at length 1."""
    return unit_rows(x - jnp.mean(x, axis=(1, 2, 3), keepdims=True), SMALL)


def centred_rows(x: Float[Array, "n d"], epsilon: float) -> Float[Array, "n d"]:
    """Rows less their mean, with mean square length 1. Equal rows become zero."""
    x = x - jnp.mean(x, axis=0, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(jnp.sum(x**2, axis=1)) + epsilon)


def solve(x: Float[Array, "n d"], options: SpatialOptions) -> Float[Array, " n"]:
    """The unit eigenvector of eq. 10, of either sign, by the solver that the options name."""
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


def _solve_forward(x: Array, options: SpatialOptions) -> tuple[Array, tuple[Array, Array]]:
    s = solve(x, options)
    return s, (x, s)


def _solve_backward(options: SpatialOptions, saved: tuple[Array, Array], v: Array) -> tuple[Array]:
    """v'ds/dx for a cotangent v of s.

    (G - lambda I) ds = -(dG - dlambda) s and s'ds = 0 give v'ds = u'dG s, where u solves
    (lambda I - G) u = v on the complement of s. There lambda I - G is positive semidefinite and its
    smallest eigenvalue is the gap; damping * max(lambda, 1) is added to it.
    """
    x, s = saved
    u = eigen.solve_on_complement(x, s, v, damping=options.damping)
    products = eigen.matmul(jnp.stack([u, s]), x)  # [2, d]: u'x and s'x
    # u' (dx x' + x dx') s = sum_ij dx_ij (u_i (x's)_j + s_i (x'u)_j)
    return (eigen.matmul(jnp.stack([s, u], axis=1), products),)  # [n, d]


# `solve` with the damped implicit derivative of the eigenvector
differentiable_solve = jax.custom_vjp(solve, nondiff_argnums=(1,))
differentiable_solve.defvjp(_solve_forward, _solve_backward)


def border_score(maps: Float[Array, "N h w"]) -> Float[Array, ""]:
    """Mean inside minus mean on the outermost ring; 0 where every cell lies on the ring."""
    inside = maps[:, 1:-1, 1:-1]
    if inside.size == 0:
        return jnp.zeros(())
    ring = (jnp.sum(maps) - jnp.sum(inside)) / (maps.size - inside.size)
    return jnp.mean(inside) - ring


def minority_score(maps: Float[Array, "N h w"]) -> Float[Array, ""]:
    """The third moment, which is positive if the smaller part has the positive values."""
    return jnp.mean(maps**3)


def activation_score(
    maps: Float[Array, "N h w"], features: Float[Array, "N h w d"]
) -> Float[Array, ""]:
    """Covariance of S and the sum of each cell's channels, the latter scaled to variance 1."""
    total = jnp.sum(features, axis=-1)  # [N, h, w]
    total = total - jnp.mean(total)
    return jnp.mean(maps * total) / (jnp.sqrt(jnp.mean(total**2)) + SMALL)


def feature_score(
    maps: Float[Array, "N h w"], features: Float[Array, "N h w d"]
) -> Float[Array, ""]:
    """An arbitrary sign that is the same for every order of the images."""
    d = features.shape[-1]
    projected = eigen.matmul(features.reshape(-1, d), eigen.probe(d, 1))  # [N*h*w, 1]
    return jnp.mean(maps.reshape(-1, 1) * projected)


def orient(
    maps: Float[Array, "N h w"], features: Float[Array, "N h w d"], sign: str
) -> Float[Array, "N h w"]:
    """Turns S, of mean square 1, so that the foreground is positive.

    The option's rule decides. Where its score is within TIE of 0, the next rule does: "border"
    decides nothing on maps without an interior (h or w of 1 or 2), and then the smaller part counts
    as the foreground, as objects mostly cover less than half of an image. The last rule, the sign
    of the features' projection, keeps S in step with the images' order. If all descriptors are
    zero, S keeps the solver's sign.
    """
    border, minority = border_score(maps), minority_score(maps)
    activation, feature = activation_score(maps, features), feature_score(maps, features)
    scores = {
        "border": (border, minority, feature),
        "majority": (minority, border, feature),
        "activation": (activation, border, minority, feature),
        "none": (feature,),
    }[sign]
    decided = scores[-1]
    for score in reversed(scores[:-1]):
        decided = jnp.where(jnp.abs(score) > TIE, score, decided)
    return jnp.where(decided < 0, -maps, maps)


def _group_prior(features: Float[Array, "N h w d"], options: SpatialOptions) -> SpatialPrior:
    """The modulator of one group: S [N, h, w] and its loss, a scalar."""
    *grid, d = features.shape
    rows = unit_rows if options.descriptors == "normalised" else centred_rows
    x = rows(features.reshape(-1, d), options.epsilon)  # [n, d]
    n = x.shape[0]
    if options.gradient == "implicit":
        s = differentiable_solve(x, options)
    else:
        s = solve(jax.lax.stop_gradient(x), options)
    # Hellmann-Feynman: the eigenvalue's gradient is that of s'Gs with s held constant
    constant = jax.lax.stop_gradient(s)
    energy = jnp.sum(eigen.matmul(constant[None], x) ** 2) - jnp.sum(constant) ** 2
    root = jnp.sqrt(n)  # not n**0.5, which a symbolic N does not support
    maps = orient(s.reshape(grid) * root, jax.lax.stop_gradient(features), options.sign)
    return SpatialPrior(maps if options.scale == "sqrt_n" else maps / root, -energy / n)


def spatial_modulator(features: Float[Array, "B N h w d"], options: SpatialOptions) -> SpatialPrior:
    """S and the spatial loss of each group, in float32 whatever the features' type.

    Any N, h, w, d >= 1. `loss` is -s'Gs / n = -lambda_max / n, in [-1, 0] for n >= 2; for centred
    descriptors, minus the share of their variance along the principal direction. Its gradient
    reaches the features through X and is exact. `values` has a gradient only if the options say so.

    Corner cases. Where the largest eigenvalue is multiple, S is some vector of its eigenspace,
    always the same for the same features, but not necessarily one that follows the images' order.
    Where all descriptors are zero or equal, G is 0 on everything orthogonal to the constant, and S
    means nothing. A single descriptor has |S| = 1, there being no other unit vector.
    """
    features = features.astype(jnp.float32)
    return jax.vmap(lambda group: _group_prior(group, options))(features)


def prompted_prior(
    features: Float[Array | Ndarray, "N h w d"],
    prior: Float[Array | Ndarray, "N h w"],
    shown: Float[Array | Ndarray, "N h w"],
    excluded: Float[Array | Ndarray, "N h w"],
) -> Float[Array, "N h w"]:
    """S turned and drawn towards cells that resemble what prompts show.

    Two prototypes, the mean descriptor of what was shown and that of what was excluded and of the
    rest of the images in which something was shown, split the group's unit descriptors by which one
    is nearer. Where nothing was shown, the mean of the group takes the first one's place. The
    result is the sum of this split and of S, turned to agree with it, both with mean square 1; it
    has mean square 1 itself.

    Args:
        features: the fused maps of the group.
        prior: S as the spatial modulator found it.
        shown, excluded: the share of each image's marked region that lies in each of its cells; sum
            1 in an image with such a region, 0 elsewhere.
    """
    x = jnp.asarray(features).astype(jnp.float32)
    x = unit_rows(x, SMALL)
    inside, outside = jnp.asarray(shown), jnp.asarray(excluded)
    most = jnp.max(inside, axis=(1, 2), keepdims=True)
    rest = jnp.where(most > 0, 1 - inside / jnp.maximum(most, SMALL), 0.0)
    rest = rest / jnp.maximum(jnp.sum(rest, axis=(1, 2), keepdims=True), SMALL)
    inside = jnp.where(jnp.sum(inside) > 0, inside, jnp.ones_like(inside))
    near, far = (
        jnp.einsum("nhw,nhwd->d", cells, x) / jnp.maximum(jnp.sum(cells), SMALL)
        for cells in (inside, rest + outside)
    )
    split = jnp.einsum("nhwd,d->nhw", x, near - far) - (near @ near - far @ far) / 2
    split = _mean_square_one(split)
    agreement = jnp.sum(jnp.asarray(prior) * split)
    return _mean_square_one(jnp.where(agreement < 0, -prior, prior) + split)


def _mean_square_one(x: Float[Array, "N h w"]) -> Float[Array, "N h w"]:
    return x / jnp.sqrt(jnp.mean(x**2) + SMALL)
