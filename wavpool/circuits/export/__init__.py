"""Circuits written for other tools: Verilog, C, a drawing, and the chromosome's text."""
