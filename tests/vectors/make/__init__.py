"""The parts of the generator, one module for each file. None of them uses the package: they are
written anew after the protocol, so that the vectors and the package prove each other."""
