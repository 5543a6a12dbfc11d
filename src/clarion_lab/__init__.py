"""Rigs around Clarion: simulator, load generator, benches, chaos runs, demo and generated pages. Clarion runs without
them."""
