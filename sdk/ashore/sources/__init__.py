"""From a SOURCE on the command line to a ModelSource."""
