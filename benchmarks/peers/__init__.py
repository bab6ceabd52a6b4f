"""One program for each competitor: it reads a job on stdin, as JSON, and prints one line, the answer."""
