"""The command line: one file per noun; each calls a service and prints. Heavy imports stay in the commands."""
