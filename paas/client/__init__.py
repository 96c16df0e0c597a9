"""`paas -H host …` on a laptop: the commands of a host over ssh. Needs Python's standard library and nothing of the server."""
