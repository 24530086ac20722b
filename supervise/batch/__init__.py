"""Batches: many tasks of one command, handed to an engine (`submit`), and what has become of each (`collect`).

`tasks` makes the words of each task, `batch_record` keeps the batch on disk, `engines` is the table of the engines with
what each has to offer, and `collection` joins the reports of the tasks with what the engine says. One task is one
supervised run, which writes its report; the engine starts it, and repeats it where a machine has failed.
"""
