"""Live speech: from a stream of sound to a labelled turn soon after it ends."""
