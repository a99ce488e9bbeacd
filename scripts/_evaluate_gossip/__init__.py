"""Runs the gossip's scenarios in virtual time and writes down what came out."""
