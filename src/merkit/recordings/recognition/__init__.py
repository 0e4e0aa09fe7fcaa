"""Words from sound: engines that recognise speech, and what is kept of their output."""
