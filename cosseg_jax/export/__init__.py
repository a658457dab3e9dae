"""For use without this package: a trained network as one file, masks as other tools' files."""
