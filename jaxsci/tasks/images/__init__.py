"""Images of your own: classification and compression."""
