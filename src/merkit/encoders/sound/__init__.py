"""What the encoders of sound share: a recording's samples, rows of measures, augmentation of spectrograms."""
