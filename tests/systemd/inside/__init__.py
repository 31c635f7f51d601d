"""What runs inside the machine, with the standard library and the installed agenthost alone: the cases, their report.

Outside, the same modules are read for the names of the cases.
"""
