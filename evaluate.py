"""Evaluates a network: python evaluate.py --dataset pascal; the same as `cosseg evaluate`."""

from cosseg_jax.commands import evaluate

if __name__ == "__main__":
    evaluate.launch()
