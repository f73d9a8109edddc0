"""The command `invdetect`: words in, files, tables and an exit status out. Everything it does, the orchestrators do."""
