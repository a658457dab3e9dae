"""The network that the paper's authors released, as in their code (github.com/cj4L/SSNM-Coseg).

It differs from the paper, and from `models.ssnm`, in every part but the backbone; docs/paper.md has
a table. It is here to run the released weights, not to be trained.
"""
