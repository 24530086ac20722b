"""Opening and making what lies where somebody else may write: `shared` for paths of the user's, `owned` for our own."""
