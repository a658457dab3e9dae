"""The command line `cosseg`. Each subcommand is a `Command` in a file of its own.

The way of `cosseg segment`: `inputs` turns paths into groups, `segment` runs the network on them,
`outputs` writes their files.
"""
