"""Stores: the journal, the state store and the control store on each engine, behind the same ports."""
