"""The pure core: events with their times go in, actions come out. It reads no clock, no file and no process."""
