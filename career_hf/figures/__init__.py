"""Pictures: frames in, figures out, in the one style of `figures.style`."""
