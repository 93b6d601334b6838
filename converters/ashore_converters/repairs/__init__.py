"""Repairs of a float model that make it lose less when it is quantized, each kept only where it measurably helps."""
