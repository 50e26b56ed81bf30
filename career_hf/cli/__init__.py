"""The command `career-hf`: each command parses, calls one public function and prints."""
