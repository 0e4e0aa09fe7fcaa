"""Why an utterance says nothing to a model, as `Segment.reason` has it."""

NO_SPEECH = "no speech"
CHANNELS_CANCEL = "the channels cancel"
NO_WORDS = "no words"
