"""`clarion doctor`: what an operator has to mend before, or while, Clarion runs on this machine."""
