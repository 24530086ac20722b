"""The pure part: it is told what happened and when, and says what to do. It reads no clock, file or process."""
