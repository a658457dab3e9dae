"""Trains the network: python train.py --config configs/hrnet.py; the same as `cosseg train`."""

from cosseg_jax.commands import train

if __name__ == "__main__":
    train.launch()
