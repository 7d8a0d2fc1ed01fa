"""Simulated PLCs on loopback: witnesses that share no line with what they test."""
