"""Audio and video files as samples and frames."""
