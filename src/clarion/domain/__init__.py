"""The words and laws of Clarion: frozen values, the state machine, outcomes and reasons. Imports nothing of ours."""
