"""Parts of this package for use inside other libraries' training loops."""
