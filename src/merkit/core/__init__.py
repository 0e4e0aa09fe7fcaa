"""Types and seams: what flows between the layers, and what each plug-in must offer. No algorithm lives here."""
