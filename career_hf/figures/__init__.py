"""Pictures: frames in, figures out."""
