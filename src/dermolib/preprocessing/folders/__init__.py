"""Hair removal over whole folders, parallel and resumable."""
