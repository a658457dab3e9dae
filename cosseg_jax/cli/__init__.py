"""The command line `cosseg`: one subcommand a file, put together in `main`."""
