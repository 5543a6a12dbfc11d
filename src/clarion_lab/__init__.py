"""Rigs around Clarion: simulator, load generator, benches, chaos, demo and generated pages. Clarion runs without them."""
