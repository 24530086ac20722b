"""Opening and making files where another user may write: `shared` for paths of the user's, `owned` for supervise's."""
