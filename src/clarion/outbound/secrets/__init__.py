"""Stores of secrets that are given by reference, one file each."""
