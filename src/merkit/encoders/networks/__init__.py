"""What the encoders made of a pretrained network share: its files, its layers, frozen and trained use."""
